"""CSWin's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision import functional as F
from minivision import models
from minivision.models.cswin import Block, CSWinConfig, LePEAttention, Merge, cross, halves
from minivision.published import load_weights

TINY = models.entry("cswin_tiny_224").config
ONE = CSWinConfig(8, (1, 1), (2, 2), (2, 1), patch_size=1, img_size=8, in_chans=1)  # a map of 8 x 8 in stripes of 2


def filled(module):
    """In float64, its state by rule."""
    return fill(module).to(np.float64)


def tokens(*shape):
    """A map (B, H, W, C)."""
    return noise("map", shape).astype(np.float64)


def block(width, dim=8, heads=2):
    """One block, filled."""
    return filled(Block(dim, heads, width, 4.0, True, 0.0))


def reach(function, shape, at):
    """How much the outputs of one patch depend on each patch of a map (H, W, C).  -> (H, W)"""
    x = mv.tensor(tokens(1, *shape), requires_grad=True)
    function(x)[0, at[0], at[1]].sum().backward()
    return np.abs(x.grad.numpy()[0]).max(axis=-1)


# ------------------------------------------------------------------------------------------------------------- attention


def definition(attention, qkv, group):
    """LePE attention of every patch among those of its group, by loops.  qkv (B, H, W, 3 C), group (H, W) -> (B, H, W, C)"""
    B, H, W, C3 = qkv.shape
    C, D = C3 // 3, C3 // (3 * attention.num_heads)
    weight, bias = (attention.get_v.weight.numpy()[:, 0], attention.get_v.bias.numpy())
    y = np.zeros((B, H, W, C))
    for b, i, j in np.ndindex(B, H, W):
        inside = group == group[i, j]
        for h in range(attention.num_heads):
            channels = slice(h * D, (h + 1) * D)
            q, k, v = (qkv[b, ..., n * C : (n + 1) * C][..., channels] for n in range(3))
            scores = np.exp(k[inside] @ q[i, j] / np.sqrt(D))
            y[b, i, j, channels] = scores @ v[inside] / scores.sum()
        y[b, i, j] += bias
        for dy, dx in np.ndindex(3, 3):
            r, s = i + dy - 1, j + dx - 1
            if 0 <= r < H and 0 <= s < W and inside[r, s]:
                y[b, i, j] += weight[:, dy, dx] * qkv[b, r, s, 2 * C :]
    return y


@pytest.mark.parametrize("window", [(6, 2), (2, 4), (6, 4), (3, 2), (6, 1)])
def test_attention_and_its_convolution_stay_inside_a_window(window):
    attention, qkv = filled(LePEAttention(4, 2)), tokens(2, 6, 4, 12)
    rows, columns = np.arange(6) // window[0], np.arange(4) // window[1]
    group = 10 * rows[:, None] + columns
    found = attention(mv.tensor(qkv), window).numpy()
    np.testing.assert_allclose(found, definition(attention, qkv, group), rtol=0, atol=1e-13)


@pytest.mark.parametrize("attend", [lambda x: block(8).attention(x), lambda x: block(None).attention(x)], ids=["stripe", "whole"])
def test_a_stripe_as_wide_as_the_map_is_the_whole_map(attend):
    """sw = W: both halves attend to all, each by itself, as in the last stage but for the convolutions' names."""
    x = tokens(1, 8, 8, 8)
    found = reach(attend, (8, 8, 8), (0, 7))
    assert found.min() > 0.0
    wide, whole = block(8), block(None)
    state = whole.state_dict()
    for name in ("weight", "bias"):
        first, second = np.split(state.pop(f"attns.0.get_v.{name}"), 2)
        state |= {f"attns.0.get_v.{name}": first, f"attns.1.get_v.{name}": second}
    wide.load_state_dict(state)
    np.testing.assert_allclose(wide(mv.tensor(x)).numpy(), whole(mv.tensor(x)).numpy(), rtol=0, atol=1e-13)
    qkv = tokens(1, 8, 8, 24)
    stripes = filled(LePEAttention(8, 2))
    q, k, v = (mv.tensor(qkv[..., 8 * i : 8 * i + 8].reshape(1, 64, 2, 4)).transpose(1, 2) for i in range(3))
    everywhere = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(1, 8, 8, 8)
    positions = stripes.get_v(mv.tensor(qkv[..., 16:]).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    np.testing.assert_allclose(stripes(mv.tensor(qkv), (8, 8)).numpy(), (everywhere + positions).numpy(), rtol=0, atol=1e-13)


@pytest.mark.parametrize(("width", "at"), [(1, (2, 5)), (2, (2, 5)), (4, (7, 0))])
def test_a_block_sees_a_cross(width, at):
    """Exactly: the rows and the columns of the two stripes that a patch lies in."""
    found = reach(block(width), (8, 8, 8), at)
    rows, columns = (np.arange(8) // width == n // width for n in at)
    wanted = rows[:, None] | columns
    np.testing.assert_array_equal(found > 0.0, wanted)
    assert wanted.sum() == width * (8 + 8 - width)


def test_two_blocks_see_everything_even_in_stripes_of_one():
    first, second = block(1), block(1)
    assert reach(lambda x: second(first(x)), (8, 8, 8), (2, 5)).min() > 0.0


def test_a_half_of_the_channels_sees_one_direction():
    attend = block(2)
    vertical, horizontal = cross((8, 8), 2)
    assert (vertical, horizontal) == ((8, 2), (2, 8))
    for part, (rows, columns) in enumerate([(slice(None), slice(4, 6)), (slice(2, 4), slice(None))]):
        found = reach(lambda x, i=part: attend.attns[i](halves(attend.qkv(x), 2)[i], cross((8, 8), 2)[i]), (8, 8, 8), (2, 5))
        assert found[rows, columns].min() > 0.0
        found[rows, columns] = 0.0
        assert not found.any()


def test_halves_are_those_of_queries_keys_and_values():
    qkv = tokens(2, 3, 4, 24)
    first, second = (part.numpy() for part in halves(mv.tensor(qkv), 2))
    np.testing.assert_array_equal(first, qkv[..., [*range(4), *range(8, 12), *range(16, 20)]])
    np.testing.assert_array_equal(second, qkv[..., [*range(4, 8), *range(12, 16), *range(20, 24)]])
    (whole,) = halves(mv.tensor(qkv), 1)
    np.testing.assert_array_equal(whole.numpy(), qkv)


def test_positions_act_on_the_values():
    """The convolution changes no weight of attention: what it adds is linear in the values, whatever queries and keys are."""
    attention, qkv = filled(LePEAttention(4, 2)), tokens(1, 4, 4, 12)
    with_positions, other = attention(mv.tensor(qkv), (4, 2)).numpy(), qkv.copy()
    other[..., :8] = noise("other queries and keys", (1, 4, 4, 8))
    again = attention(mv.tensor(other), (4, 2)).numpy()
    for parameter in attention.get_v.parameters():
        mv.nn.init.zeros_(parameter)
    found = with_positions - attention(mv.tensor(qkv), (4, 2)).numpy()
    np.testing.assert_allclose(again - attention(mv.tensor(other), (4, 2)).numpy(), found, rtol=0, atol=1e-14)
    assert np.abs(found).max() > 0.1


def test_a_map_that_stripes_do_not_divide_is_padded_around_with_zeros():
    attention, qkv = filled(LePEAttention(4, 2)), tokens(1, 5, 6, 12)
    wide = np.pad(qkv, ((0, 0), (1, 2), (0, 0), (0, 0)))
    found = attention(mv.tensor(qkv), (4, 6)).numpy()
    np.testing.assert_allclose(found, attention(mv.tensor(wide), (4, 6)).numpy()[:, 1:6], rtol=0, atol=1e-14)


# ------------------------------------------------------------------------------------------------------------------ cost


def trunk_macs(config):
    """A block's attention costs H W C (4 C + sw H + sw W), its convolution 9 H W C, the two layers 8 H W C^2."""
    total = 0
    for i, depth in enumerate(config.depths):
        side, C, P = config.img_size // (config.patch_size << i), config.dim(i), config.patch_size
        width, hw = config.width(i) or side, side * side
        total += hw * C * ((2 * P - 1) ** 2 * config.in_chans if i == 0 else 9 * config.dim(i - 1))
        total += depth * (hw * C * (4 * C + width * side + width * side) + 9 * hw * C + 8 * hw * C * C)
    return total


@pytest.mark.parametrize("config", [TINY, ONE, replace(TINY, embed_dim=8, num_heads=(2, 2, 2, 2), img_size=448)])
def test_the_cost_is_the_paper_s(config):
    model = mv.create_model("cswin_tiny_224", **{**vars(config), "num_classes": 0})
    assert mv.profile(model, config.input_shape).macs == trunk_macs(config)


def test_the_cost_grows_with_the_power_three_halves_of_the_area_at_a_fixed_width():
    """Between windows, whose cost is linear, and global attention, whose cost is quadratic."""
    counted = []
    for side in (8, 16):
        config = replace(ONE, img_size=side, num_classes=0)
        rows = mv.profile(mv.create_model("cswin_digits", **vars(config)), config.input_shape).rows
        (half,) = [row.macs for row in rows if row.path == "stage1.0.attns.0"]
        counted.append(half - 9 * side * side * 4)  # without the convolution
    assert counted == [2 * 64 * (2 * 8) * 4, 8 * 2 * 64 * (2 * 8) * 4]


# ------------------------------------------------------------------------------------------------------------- structure


def test_the_stem_and_the_merging_overlap():
    """Each is a convolution whose kernel is larger than its stride: 7 for 4, 3 for 2."""
    model = mv.create_model("cswin_tiny_224")
    layers = [model.stage1_conv_embed[0], *(getattr(model, f"merge{i}").conv for i in (1, 2, 3))]
    assert [(layer.kernel_size, layer.stride, layer.padding) for layer in layers] == [((7, 7), (4, 4), (2, 2))] + [
        ((3, 3), (2, 2), (1, 1))
    ] * 3
    assert Merge(4)(mv.tensor(np.zeros((1, 7, 6, 4), np.float32))).shape == (1, 4, 3, 8)


def test_the_last_stage_has_one_window_and_the_others_have_stripes():
    assert [TINY.width(i) for i in range(4)] == [1, 2, 7, None]
    assert replace(TINY, img_size=112).width(2) is None  # a map of 7 in stripes of 7
    assert [len(stage[0].attns) for stage in (getattr(mv.create_model("cswin_tiny_224"), f"stage{i}") for i in (1, 2, 3, 4))] == [
        2, 2, 2, 1,
    ]  # fmt: skip


def test_images_of_any_size_are_taken():
    model = fill(mv.create_model("cswin_digits", split_sizes=(3, 1))).eval()
    y = model(mv.tensor(noise("input", (2, 1, 10, 7))))
    assert y.shape == (2, 10)
    with pytest.raises(mv.ShapeError):
        mv.create_model("cswin_tiny_224")(mv.tensor(np.zeros((1, 1, 32, 32), np.float32)))


def test_the_authors_files_load():
    """Their checkpoints hold the running average of the weights, under "state_dict_ema"."""
    wanted = fill(mv.create_model("cswin_digits")).state_dict()
    model = mv.create_model("cswin_digits")
    load_weights(model, {f"state_dict_ema.{key}": value for key, value in wanted.items()})
    assert all(np.array_equal(wanted[key], value) for key, value in model.state_dict().items())


def test_drop_path_grows_with_depth():
    model = mv.create_model("cswin_digits", drop_path_rate=0.6)
    rates = [each.drop_path.drop_prob for stage in (model.stage1, model.stage2) for each in stage]
    assert rates == pytest.approx([0.0, 0.2, 0.4, 0.6])


def test_without_classes_the_model_gives_features():
    features, classes = (filled(mv.create_model("cswin_digits", num_classes=n)) for n in (0, 10))
    x = mv.tensor(noise("input", (2, 1, 8, 8)).astype(np.float64))
    assert features(x).shape == (2, 64)
    np.testing.assert_array_equal(classes.head(features(x)).numpy(), classes(x).numpy())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"depths": (2, 0)}, r"depths has the blocks of each stage, .* got \(2, 0\), \(2, 4\) and \(1, 4\)"),
        ({"split_sizes": (2,)}, r"num_heads and split_sizes as many numbers, got \(2, 2\), \(2, 4\) and \(2,\)"),
        ({"num_heads": (2, 5)}, "stage 1 has 64 channels, which should be a multiple of its 5 heads"),
        ({"num_heads": (1, 4)}, "half of the heads see vertical stripes: stage 0 should have an even number, got 1"),
        ({"split_sizes": (0, 1)}, r"split_sizes counts patches across a stripe, at least 1, got \(0, 1\)"),
    ],
)
def test_a_configuration_that_cannot_be_built(wrong, message):
    with pytest.raises(ValueError, match=message):
        mv.create_model("cswin_digits", **wrong)
