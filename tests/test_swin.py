"""Swin's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision import models
from minivision.models._resize import resize_bias
from minivision.models.swin import PatchMerging, SwinConfig, merged
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


# ------------------------------------------------------------------------------------------------ stages and merging


def test_the_last_stage_is_one_window_without_a_shift():
    model = mv.create_model("swin_tiny_patch4_window7_224")
    shifts = [[block.shift for block in stage.blocks] for stage in model.layers]
    assert shifts == [[(0, 0), (3, 3)] * n for n in (1, 1, 3)] + [[(0, 0), (0, 0)]]
    assert replace(TINY, img_size=448).windows(3) == ((7, 7), (3, 3))
    assert replace(TINY, img_size=(448, 64)).windows(3) == ((7, 2), (3, 0))


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


RESIZED = {  # ((3, -1, 2), (0, 5, -4), (1, 1, -2)) by torch.nn.functional.interpolate(..., mode="bicubic"), as the authors do
    (3, 3): [3.754944, 1.101824, -1.576, 0.614816, 2.974592, 1.778208, 1.856912, 1.616, 0.327488, -0.672448, -0.48, 2.588, 5.0,
             -0.148, -4.864, 0.147552, 1.845968, 2.984, -0.619168, -3.802432, 1.14208, 1.084288, 0.616, -0.902048, -2.040704],
    (1, 3): [-0.48, 2.588, 5.0, -0.148, -4.864],
    (1, 1): [5.0],
}  # fmt: skip


@pytest.mark.parametrize("window", RESIZED)
def test_biases_of_another_window_are_interpolated_as_by_the_reference(window):
    table = np.array([3.0, -1.0, 2.0, 0.0, 5.0, -4.0, 1.0, 1.0, -2.0])
    found = resize_bias(np.stack([table, -2.0 * table], axis=1), window)
    np.testing.assert_allclose(found, np.outer(RESIZED[window], [1.0, -2.0]), rtol=0, atol=1e-12)


def test_a_model_takes_the_weights_of_another_window():
    """Its tables are interpolated; one that is of no square window, or of other heads, is refused."""
    small = {"depths": (2,), "num_heads": (2,), "num_classes": 0}
    model, larger = (fill(mv.create_model("swin_digits", window_size=size, **small)) for size in (4, 8))
    state, name = model.state_dict(), "layers.0.blocks.1.attn.relative_position_bias_table"
    for given in (state, {key: mv.tensor(value) for key, value in state.items()}):
        load_weights(larger, given)
        np.testing.assert_array_equal(larger.state_dict()[name], resize_bias(state[name], (8, 8)))
    assert larger.state_dict()[name].shape == (15 * 15, 2)
    wide = mv.create_model("swin_digits", img_size=(8, 2), **small)
    wide.load_state_dict(state)
    assert wide.state_dict()[name].shape == (7 * 3, 2)
    for wrong in (state[name][:48], state[name][:, :1], state[name][:36]):
        with pytest.raises(mv.CheckpointError, match=r"blocks\.1\.attn\.relative_position_bias_table"):
            larger.load_state_dict({**state, name: wrong})


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
