"""Swin's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision import functional as F
from minivision import models
from minivision.models.shifted_windows import in_windows, position_bias, region_mask, relative_position_index
from minivision.models.swin import Block, PatchMerging, SwinConfig, WindowAttention, merged
from minivision.published import load_weights

TINY = models.entry("swin_tiny_patch4_window7_224").config
ONE = SwinConfig(8, (2,), (2,), window_size=4, patch_size=1, img_size=8, in_chans=1)  # one stage: 2 x 2 windows


def filled(module):
    """In float64, its state by rule."""
    return fill(module).to(np.float64)


def tokens(*shape):
    """A map (B, H, W, C)."""
    return noise("map", shape).astype(np.float64)


# ------------------------------------------------------------------------------------------------------------- cost


def trunk_macs(config):
    """Section 3.2: attention in windows costs 4 h w C^2 + 2 M^2 h w C, and the two layers after it 8 h w C^2."""
    P, area, total = config.patch_size, config.input_shape[1] * config.input_shape[2], 0
    for i, depth in enumerate(config.depths):
        hw, C, M = area // (P << i) ** 2, config.dim(i), config.windows(i)[0]
        total += hw * (2 * C * C if i else P * P * config.in_chans * C)  # merging: 4 C' to 2 C', C = 2 C'
        total += depth * (4 * hw * C * C + 2 * M[0] * M[1] * hw * C + 8 * hw * C * C)
    return total


def test_the_trunk_costs_4_times_as_much_at_448_and_9_times_at_672():
    """Exactly: windows of 7 x 7 divide every map of the three sizes."""
    assert [trunk_macs(replace(TINY, img_size=size)) for size in (224, 448, 672)] == [
        4_489_798_656,
        17_959_194_624,
        40_408_187_904,
    ]
    assert (4 * 4_489_798_656, 9 * 4_489_798_656) == (17_959_194_624, 40_408_187_904)


@pytest.mark.parametrize(
    "config",
    [
        replace(TINY, num_classes=0),
        *(replace(TINY, num_classes=0, embed_dim=8, num_heads=(1, 1, 1, 1), img_size=size) for size in (448, 672)),
        replace(ONE, num_classes=0, img_size=(12, 4)),
    ],
    ids=["tiny", "narrow at 448", "narrow at 672", "one stage"],
)
def test_the_cost_is_that_of_section_3(config):
    model = mv.create_model("swin_tiny_patch4_window7_224", **vars(config))
    assert mv.profile(model, config.input_shape).macs == trunk_macs(config)


def test_attention_in_windows_is_linear_in_the_image_where_global_attention_is_not():
    """One window as large as the image is global attention: its 2 (h w)^2 C grows 16 times."""
    sizes = [replace(ONE, img_size=side, window_size=window) for window in (4, 16) for side in (8, 16)]
    small, large, all_small, all_large = (trunk_macs(config) for config in sizes)
    assert large == 4 * small
    assert all_large - 4 * all_small == 2 * 2 * 8 * (256**2 - 4 * 64**2)


def test_tiny_is_near_resnet50_and_small_near_resnet101():
    for name, other in [("swin_tiny_patch4_window7_224", "resnet50"), ("swin_small_patch4_window7_224", "resnet101")]:
        own, theirs = models.entry(name), models.entry(other)
        assert 1.0 < own.params / theirs.params < 1.15
        assert 1.0 < own.macs / theirs.macs < 1.15


# --------------------------------------------------------------------------------------------------- shifted windows


def definition(attention, x, group):
    """Eq. 4 for every patch among those of its own group.  x (B, H, W, C), group (H, W) -> (B, H, W, C)"""
    B, H, W, C = x.shape
    rows, columns = np.indices((H, W)).reshape(2, -1)
    qkv = attention.qkv(mv.tensor(x.reshape(B, H * W, C))).numpy()
    q, k, v = qkv.reshape(B, H * W, 3, attention.num_heads, -1).transpose(2, 0, 3, 1, 4)
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    M = attention.window[0]
    together = group.reshape(-1)[:, None] == group.reshape(-1)
    i, j = np.nonzero(together)
    displacement = (rows[i] - rows[j] + M - 1) * (2 * M - 1) + columns[i] - columns[j] + M - 1
    scores[..., i, j] += attention.relative_position_bias_table.numpy()[displacement].T
    scores[..., ~together] = -np.inf
    p = np.exp(scores - scores.max(-1, keepdims=True))
    y = (p / p.sum(-1, keepdims=True)) @ v
    return attention.proj(mv.tensor(y.swapaxes(1, 2).reshape(B, H, W, C))).numpy()


def grid(side, window, shift):
    """The number of each patch's window on the grid that begins `shift` before the image.  (side, side)"""
    along = (np.arange(side) + window - shift) // window
    return 10 * along[:, None] + along


@pytest.mark.parametrize(("side", "shift"), [(8, 0), (8, 2), (12, 2), (8, 1)])
def test_masked_windows_of_the_rolled_map_are_the_ragged_windows_of_the_shifted_grid(side, shift):
    """With as many windows: 2 x 2 where the shifted grid has 3 x 3."""
    attention, x = filled(WindowAttention(ONE, 0, (4, 4))), tokens(2, side, side, 8)
    y = in_windows(attention, mv.tensor(x), (4, 4), (shift, shift)).numpy()
    group = grid(side, 4, shift)
    np.testing.assert_allclose(y, definition(attention, x, group), rtol=0, atol=1e-13)
    assert len(np.unique(group)) == (side // 4 + bool(shift)) ** 2
    if shift:
        assert len(region_mask((side, side), (4, 4), (shift, shift), np.dtype(float))) == (side // 4) ** 2


def gradient(block, at):
    """How much the outputs of one patch depend on each patch of the map.  (8, 8)"""
    x = mv.tensor(tokens(1, 8, 8, 8), requires_grad=True)
    block(x)[0, at[0], at[1]].sum().backward()
    return np.abs(x.grad.numpy()[0]).max(axis=-1)


def test_without_a_shift_no_gradient_crosses_the_border_of_a_window():
    found = gradient(filled(Block(ONE, 0, False, 0.0)), (3, 3))
    assert found[:4, :4].min() > 0.0
    found[:4, :4] = 0.0
    assert not found.any()


def test_with_a_shift_gradients_cross_it_and_do_not_cross_the_seam_of_the_roll():
    block = filled(Block(ONE, 0, True, 0.0))
    assert block.shift == (2, 2)
    inner, corner = gradient(block, (3, 3)), gradient(block, (0, 0))
    assert inner[2:6, 2:6].min() > 0.0
    assert corner[:2, :2].min() > 0.0
    inner[2:6, 2:6] = corner[:2, :2] = 0.0
    assert max(inner.max(), corner.max()) < np.exp(-90.0)  # what a score of -100 leaves


def test_the_nine_regions():
    """The first window is one region, the last holds four, and a pair may meet where both come from one."""
    mask = region_mask((8, 8), (4, 4), (2, 2), np.dtype(np.float32))
    assert (mask.shape, mask.dtype, set(mask.ravel())) == ((4, 1, 16, 16), np.float32, {0.0, -100.0})
    assert [len(np.unique(each[0], axis=0)) for each in mask] == [1, 2, 2, 4]
    np.testing.assert_array_equal(mask, mask.swapaxes(2, 3))
    sides = region_mask((8, 4), (4, 4), (2, 0), np.dtype(np.float32))  # one side alone
    assert [len(np.unique(each[0], axis=0)) for each in sides] == [1, 2]


def test_the_last_stage_is_one_window_without_a_shift():
    model = mv.create_model("swin_tiny_patch4_window7_224")
    shifts = [[block.shift for block in stage.blocks] for stage in model.layers]
    assert shifts == [[(0, 0), (3, 3)] * n for n in (1, 1, 3)] + [[(0, 0), (0, 0)]]
    assert replace(TINY, img_size=448).windows(3) == ((7, 7), (3, 3))
    assert replace(TINY, img_size=(448, 64)).windows(3) == ((7, 2), (3, 0))


# ------------------------------------------------------------------------------------------------- bias and merging


def test_the_bias_of_a_pair_is_that_of_its_displacement():
    table = noise("table", (5 * 7, 2)).astype(np.float64)
    bias, places = position_bias(mv.tensor(table), (3, 4)).numpy(), np.argwhere(np.ones((3, 4)))
    assert bias.shape == (2, 12, 12)
    assert set(relative_position_index((3, 4))) == set(range(35))
    for i, query in enumerate(places):
        for j, key in enumerate(places):
            dh, dw = query - key
            np.testing.assert_array_equal(bias[:, i, j], table.reshape(5, 7, 2)[dh + 2, dw + 3])


def test_merging_takes_rows_before_columns():
    x = tokens(2, 4, 6, 3)
    parts = [x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]]
    np.testing.assert_array_equal(merged(mv.tensor(x)).numpy(), np.concatenate(parts, axis=-1))
    odd = merged(mv.tensor(x[:, :3, :5])).numpy()
    np.testing.assert_array_equal(odd, merged(mv.tensor(np.pad(x[:, :3, :5], ((0, 0), (0, 1), (0, 1), (0, 0))))).numpy())


def test_each_merging_halves_the_sides_and_doubles_the_channels():
    y = PatchMerging(6)(mv.tensor(tokens(2, 8, 4, 6).astype(np.float32)))
    assert y.shape == (2, 4, 2, 12)
    model = mv.create_model(
        "swin_tiny_patch4_window7_224", embed_dim=8, num_heads=(1, 1, 1, 1), depths=(1, 1, 1, 1), num_classes=0
    )
    with mv.no_grad():
        maps = list(model.forward_maps(mv.tensor(np.zeros((1, 3, 224, 224), np.float32))))
    assert [y.shape[1:] for y in maps] == [(8, 56, 56), (16, 28, 28), (32, 14, 14), (64, 7, 7)]


# ---------------------------------------------------------------------------------------------------- what users ask


def official(state):
    """A state in the authors' layout: merging at the end of a stage, no "fc", and buffers."""
    names = {f"layers.{i + 1}.downsample": f"layers.{i}.downsample" for i in range(3)} | {"head.fc": "head"}
    found = {}
    for key, value in state.items():
        old = next((name for name in names if key.startswith(name + ".")), "")
        found[names.get(old, "") + key.removeprefix(old)] = value
    buffers = ("attn.relative_position_index", "attn_mask", "attn.relative_coords_table")
    return found | {f"layers.0.blocks.1.{name}": np.zeros((2, 2)) for name in buffers}


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256"])
def test_the_authors_files_load(name):
    small = {"embed_dim": 8, "depths": (1, 2, 1, 1), "num_heads": (1, 1, 1, 1), "window_size": 2, "img_size": 64}
    wanted = fill(mv.create_model(name, **small)).state_dict()
    published = official(wanted)
    assert {"head.weight", "layers.0.downsample.norm.weight"} <= published.keys()
    assert "layers.3.downsample.norm.weight" not in published
    for arrays in (published, wanted):
        model = mv.create_model(name, **small)
        load_weights(model, {f"model.{key}": value for key, value in arrays.items()})
        assert all(np.array_equal(wanted[key], value) for key, value in model.state_dict().items())


def test_drop_path_grows_with_depth():
    model = mv.create_model("swin_digits", drop_path_rate=0.6)
    rates = [block.drop_path.drop_prob for layer in model.layers for block in layer.blocks]
    assert rates == pytest.approx([0.0, 0.2, 0.4, 0.6])
    x = mv.tensor(noise("input", (4, 1, 8, 8)))
    np.testing.assert_array_equal(model.eval()(x).numpy(), fill_as(model, mv.create_model("swin_digits"))(x).numpy())
    assert np.abs(model.train()(x).numpy() - model(x).numpy()).max() > 1e-3


def fill_as(model, other):
    """Another model with this one's state, in evaluation mode."""
    other.load_state_dict(model.state_dict())
    return other.eval()


def test_without_classes_the_model_gives_features():
    features, classes = (filled(mv.create_model("swin_digits", num_classes=n)) for n in (0, 10))
    x = mv.tensor(noise("input", (2, 1, 8, 8)).astype(np.float64))
    assert features(x).shape == (2, 64)
    np.testing.assert_array_equal(classes.head(features(x)).numpy(), classes(x).numpy())


def test_a_padded_map_is_attended_to_as_zeros():
    """Eq. 4 on the map with zeros at its end, which are cut off again."""
    attention, x = filled(WindowAttention(ONE, 0, (4, 4))), tokens(1, 6, 8, 8)
    wide = np.pad(x, ((0, 0), (0, 2), (0, 0), (0, 0)))
    found = in_windows(attention, mv.tensor(x), (4, 4), (0, 0)).numpy()
    np.testing.assert_allclose(found, definition(attention, wide, grid(8, 4, 0))[:, :6], rtol=0, atol=1e-13)
    shifted = in_windows(attention, mv.tensor(x[:, :4]), (4, 4), (1, 0)).numpy()
    windows = F.window_partition(mv.tensor(np.roll(x[:, :4], -1, 1)), 4).flatten(1, 2)
    again = F.window_reverse(attention(windows, region_mask((4, 8), (4, 4), (1, 0), x.dtype)).unflatten(1, (4, 4)), 4, (4, 8))
    np.testing.assert_allclose(shifted, np.roll(again.numpy(), 1, 1), rtol=0, atol=1e-13)


@pytest.mark.parametrize("shape", [(2, 3, 30, 32), (2, 1, 32, 32), (3, 32, 32), (2, 3, 0, 32)])
def test_an_image_of_the_wrong_shape(shape):
    with pytest.raises(mv.ShapeError, match=r"images should be \(B, 3, H, W\) with H and W multiples of 4"):
        mv.create_model("swin_tiny_patch4_window7_224")(mv.tensor(np.zeros(shape, np.float32)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"depths": (2, 0)}, r"depths has the blocks of each stage, .* got \(2, 0\) and \(2, 4\)"),
        ({"num_heads": (2,)}, r"num_heads as many numbers, got \(2, 2\) and \(2,\)"),
        ({"num_heads": (2, 5)}, "stage 1 has 64 channels, which should be a multiple of its 5 heads"),
        ({"window_size": 0}, "window_size counts patches along a side, at least 1, got 0"),
        ({"img_size": 9, "patch_size": 2}, "img_size 9 must be a positive multiple of patch_size 2"),
    ],
)
def test_a_configuration_that_cannot_be_built(wrong, message):
    with pytest.raises(ValueError, match=message):
        mv.create_model("swin_digits", **wrong)
