"""Focal attention's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision import models
from minivision.models import shifted_windows, swin
from minivision.models.focal import Block, FocalConfig
from minivision.models.focal_attention import displacements, keys_of, margin, pooled
from minivision.published import load_weights

TINY = models.entry("focal_tiny_patch4_window7_224").config
ONE = FocalConfig(8, (1,), (2,), (3,), window_size=4, expand_size=2, patch_size=1, img_size=16, in_chans=1)  # 4 x 4 windows


def filled(module):
    """In float64, its state by rule."""
    return fill(module).to(np.float64)


def tokens(*shape):
    """A map (B, H, W, C)."""
    return noise("map", shape).astype(np.float64)


def block(config, **changes):
    """The block of a network of one stage, filled."""
    return filled(Block(replace(config, **changes), 0, 0.0))


def reach(function, side, at, channels=8):
    """How much the outputs of one patch depend on each patch of the map.  (side, side)"""
    x = mv.tensor(tokens(1, side, side, channels), requires_grad=True)
    function(x)[0, at[0], at[1]].sum().backward()
    return np.abs(x.grad.numpy()[0]).max(axis=-1)


# ------------------------------------------------------------------------------------------------------------------ keys


def test_a_query_has_230_keys_then_206_190_and_50():
    """49 of its own window, 132 around it, and 7^2, 5^2, 3^2 and 1 pooled windows; in stage 4 the window is the whole map."""
    found = []
    for stage, region in enumerate(TINY.focal_windows):
        side = TINY.img_size // (TINY.patch_size << stage)
        window, expand = TINY.windows(stage)
        index, outside = keys_of((side // window, side // window), window, expand, region)
        assert index.shape == outside.shape == ((side // window) ** 2, index.shape[1])
        found.append(index.shape[1])
    assert found == [49 + 132 + 49, 49 + 132 + 25, 49 + 132 + 9, 49 + 1] == [230, 206, 190, 50]


@pytest.mark.parametrize(("window", "expand"), [(7, 3), (4, 2), (4, 3), (3, 1), (2, 1), (5, 4)])
def test_the_margin_is_the_frame_around_a_window_with_its_middles_twice(window, expand):
    """4 (M^2 - (M - e)^2) keys; (M + 2 e)^2 - M^2 places; a place twice where two rolled maps have it."""
    places = margin(window, expand)
    assert len(places) == 4 * (window**2 - (window - expand) ** 2)
    frame = {(i, j) for i in range(-expand, window + expand) for j in range(-expand, window + expand)}
    frame -= {(i, j) for i in range(window) for j in range(window)}
    counts = {place: (places == place).all(1).sum() for place in frame}
    assert set(map(tuple, places.tolist())) == {place for place, n in counts.items() if n}
    if window >= 2 * expand:  # two rolls of opposite directions overlap in M - 2 e rows or columns
        assert all(counts.values())
        assert len(places) - len(frame) == 4 * expand * (window - 2 * expand)
    assert len(places) == sum(counts.values())


def test_of_132_keys_around_a_window_of_seven_12_stand_there_twice():
    assert len(margin(7, 3)) == 132
    assert len(np.unique(margin(7, 3), axis=0)) == 13 * 13 - 7 * 7 == 120


def rolled(window, expand, side):
    """The margin's keys of every window, by rolling a map of numbers.  -> (windows, 4 (M^2 - (M - e)^2))"""
    numbers, held = np.arange(side * side).reshape(1, side, side, 1), {-1: slice(window - expand), 1: slice(expand, None)}
    found = []
    for down, right in [(-1, -1), (-1, 1), (1, -1), (1, 1)]:
        new = np.ones((window, window), bool)
        new[held[down], held[right]] = False
        moved = np.roll(numbers, (down * expand, right * expand), (1, 2))
        found.append(mv.functional.window_partition(mv.tensor(moved), window).numpy()[:, new, 0])
    return np.concatenate(found, axis=1)


@pytest.mark.parametrize(("window", "expand", "side"), [(4, 2, 12), (7, 3, 14), (3, 1, 9), (2, 1, 4)])
def test_the_margin_wraps_around_the_map(window, expand, side):
    """The keys are those of the rolled maps, by their places in the map."""
    grid = (side // window,) * 2
    index, outside = keys_of(grid, window, expand, 0)
    numbers = mv.functional.window_partition(mv.tensor(np.arange(side * side).reshape(1, side, side, 1)), window).numpy().ravel()
    np.testing.assert_array_equal(numbers[index[:, window**2 :]], rolled(window, expand, side))
    np.testing.assert_array_equal(index[:, : window**2], np.arange(side * side).reshape(-1, window**2))
    assert not outside.any()


def test_pooled_windows_outside_of_the_map_are_none():
    index, outside = keys_of((2, 3), 4, 0, 3)
    for number, (p, q) in enumerate(np.ndindex(2, 3)):
        for cell, (r, s) in enumerate(np.ndindex(3, 3)):
            there, row, column = 16 + cell, p + r - 1, q + s - 1
            assert outside[number, there] == (not (0 <= row < 2 and 0 <= column < 3))
            if not outside[number, there]:
                assert index[number, there] == 6 * 16 + 3 * row + column
    assert index.max() < 6 * 16 + 6


def test_displacements_of_equal_windows_are_swin_s():
    np.testing.assert_array_equal(displacements(4, 4).ravel(), shifted_windows.relative_position_index((4, 4)))
    wide = displacements(4, 3)
    assert wide.shape == (16, 9)
    assert (wide.min(), wide.max()) == (0, 6 * 6 - 1)
    for i, j, r, s in np.ndindex(4, 4, 3, 3):
        assert wide[4 * i + j, 3 * r + s] == (i - r + 2) * 6 + j - s + 2


# ------------------------------------------------------------------------------------------------------------- attention


def test_without_margin_and_pooling_it_is_attention_in_windows():
    """A Swin block that does not shift, to rounding."""
    own = block(ONE, expand_size=0, focal_windows=(0,))
    other = swin.Block(swin.SwinConfig(8, (1,), (2,), window_size=4, patch_size=1, img_size=16, in_chans=1), 0, False, 0.0)
    other.to(np.float64).load_state_dict(own.state_dict())
    x = mv.tensor(tokens(2, 16, 16, 8))
    np.testing.assert_allclose(own(x).numpy(), other(x).numpy(), rtol=0, atol=1e-13)


def test_what_a_query_sees():
    """Its window and the margin patch by patch; every window of the region, and with it all of its patches; no other."""
    wide = replace(ONE, img_size=20)  # 5 x 5 windows
    fine, at = reach(block(wide, focal_windows=(0,)), 20, (9, 9)), (9, 9)
    assert fine[6:14, 6:14].min() > 0.0
    assert (fine > 0.0).sum() == (4 + 2 * 2) ** 2
    coarse = reach(block(wide, expand_size=0), 20, at)
    assert coarse[4:16, 4:16].min() > 0.0
    coarse[4:16, 4:16] = 0.0
    assert coarse.max() < np.exp(-80.0)


def test_the_first_row_is_next_to_the_last_but_for_pooled_windows():
    """A torus for the margin: a query in the corner sees the three other corners."""
    fine = reach(block(ONE, focal_windows=(0,)), 16, (0, 0)) > 0.0
    near = np.isin(np.arange(16), [14, 15, *range(6)])
    np.testing.assert_array_equal(fine, near[:, None] & near)
    coarse = reach(block(ONE, expand_size=0), 16, (0, 0))
    assert coarse[:8, :8].min() > 0.0
    coarse[:8, :8] = 0.0
    assert coarse.max() < np.exp(-80.0)  # what a score of -100 leaves


def test_a_map_that_is_rolled_by_whole_windows_gives_the_rolled_output_but_for_pooling():
    attend, x = block(ONE, focal_windows=(0,)), tokens(1, 16, 16, 8)
    turned = attend(mv.tensor(np.roll(x, (4, 8), (1, 2)))).numpy()
    np.testing.assert_allclose(np.roll(attend(mv.tensor(x)).numpy(), (4, 8), (1, 2)), turned, rtol=0, atol=1e-13)


def test_pooling_is_one_weighted_sum_for_all_channels():
    windows, weight, bias = tokens(2, 3, 4, 5), noise("weight", (1, 4)).astype(np.float64), np.array([0.25])
    found = pooled(mv.tensor(windows), mv.tensor(weight), mv.tensor(bias)).numpy()
    wanted = [[[sum(weight[0] * window[:, c]) + 0.25 for c in range(5)] for window in image] for image in windows]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)


# ------------------------------------------------------------------------------------------------------------------ cost


def trunk_macs(config):
    """Per block, with K keys a query: 4 h w C^2 + 2 K h w C, pooling h w C, its queries, keys and values 3 C^2 a window."""
    total = 0
    for i, depth in enumerate(config.depths):
        side, C, (M, e), F = (
            config.img_size // (config.patch_size << i),
            config.dim(i),
            config.windows(i),
            config.focal_windows[i],
        )
        hw, keys = side * side, M * M + 4 * (M * M - (M - e) ** 2) + F * F
        windows = hw // (M * M) if F else 0
        total += hw * C * (config.in_chans * config.patch_size**2 if i == 0 else 4 * config.dim(i - 1))
        total += depth * (12 * hw * C * C + 2 * keys * hw * C + windows * (M * M * C + 3 * C * C))
    return total


@pytest.mark.parametrize("config", [TINY, ONE, replace(ONE, focal_windows=(0,)), replace(ONE, expand_size=0)])
def test_the_cost_is_that_of_its_keys(config):
    model = mv.create_model("focal_tiny_patch4_window7_224", **{**vars(config), "num_classes": 0})
    assert mv.profile(model, config.input_shape).macs == trunk_macs(config)


def test_the_cost_is_linear_in_the_area_at_fixed_focal_sizes():
    """From 448 pixels on, where every stage has more than one window: 672 costs 9/4 of it, exactly."""
    at = [trunk_macs(replace(TINY, img_size=side)) for side in (448, 672, 896)]
    assert [4 * cost for cost in at] == [4 * at[0], 9 * at[0], 16 * at[0]]
    narrow = replace(TINY, embed_dim=8, num_heads=(1, 1, 1, 1), depths=(1, 1, 1, 1), num_classes=0)
    counted = [
        mv.profile(mv.create_model("focal_tiny_patch4_window7_224", **vars(replace(narrow, img_size=side))), (3, side, side)).macs
        for side in (448, 672)
    ]
    assert 9 * counted[0] == 4 * counted[1]


# ---------------------------------------------------------------------------------------------------- what users ask


def test_a_stage_of_one_window_has_no_margin():
    assert [TINY.windows(stage) for stage in range(4)] == [(7, 3), (7, 3), (7, 3), (7, 0)]
    names = [name for name, _ in mv.create_model("focal_tiny_patch4_window7_224").layers[3]["blocks"].named_parameters()]
    assert not any("neighbors" in name for name in names)
    assert replace(TINY, img_size=448).windows(3) == (7, 3)


def test_the_authors_files_load():
    """With their buffers, and under "model"."""
    wanted = fill(mv.create_model("focal_digits")).state_dict()
    buffers = ("relative_position_index", "valid_ind_rolled", "relative_position_index_0")
    published = wanted | {f"layers.0.blocks.1.attn.{name}": np.zeros(3) for name in buffers}
    model = mv.create_model("focal_digits")
    load_weights(model, {f"model.{key}": value for key, value in published.items()})
    assert all(np.array_equal(wanted[key], value) for key, value in model.state_dict().items())


def test_drop_path_grows_with_depth():
    model = mv.create_model("focal_digits", drop_path_rate=0.6)
    rates = [each.drop_path.drop_prob for layer in model.layers for each in layer["blocks"]]
    assert rates == pytest.approx([0.0, 0.2, 0.4, 0.6])


def test_without_classes_the_model_gives_features():
    features, classes = (filled(mv.create_model("focal_digits", num_classes=n)) for n in (0, 10))
    x = mv.tensor(noise("input", (2, 1, 8, 8)).astype(np.float64))
    assert features(x).shape == (2, 64)
    np.testing.assert_array_equal(classes.head(features(x)).numpy(), classes(x).numpy())


@pytest.mark.parametrize("shape", [(2, 3, 48, 64), (2, 1, 64, 64), (3, 64, 64), (2, 3, 0, 64)])
def test_an_image_of_the_wrong_shape(shape):
    with pytest.raises(mv.ShapeError, match=r"images should be \(B, 3, H, W\) with H and W multiples of 32"):
        mv.create_model("focal_tiny_patch4_window7_224")(mv.tensor(np.zeros(shape, np.float32)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"depths": (2, 0)}, r"depths has the blocks of each stage, .* got \(2, 0\), \(2, 4\) and \(3, 1\)"),
        ({"focal_windows": (3,)}, r"num_heads and focal_windows as many numbers, got \(2, 2\), \(2, 4\) and \(3,\)"),
        ({"num_heads": (2, 5)}, "stage 1 has 64 channels, which should be a multiple of its 5 heads"),
        ({"focal_windows": (2, 1)}, r"focal_windows are odd, .* or 0, got \(2, 1\)"),
        ({"expand_size": 2}, "expand_size less than it, at least 0, got 2 and 2"),
        ({"img_size": 9}, "img_size 9 must be a positive multiple of the last stage's stride"),
    ],
)
def test_a_configuration_that_cannot_be_built(wrong, message):
    with pytest.raises(ValueError, match=message):
        mv.create_model("focal_digits", **wrong)
