"""Damaged pictures: what is dropped, shuffled, moved and drawn, against loops; curves of networks whose answers are known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

import minivision as mv
from minivision import models, nn
from minivision import robustness as R
from minivision.data import Dataset
from minivision.data.shapes import SHAPES
from minivision.models.vit import VisionTransformer
from minivision.plot.robustness import draw_curves, draw_samples
from minivision.robustness.cues import DARK, PLAIN, texture


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def pixels(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(1, 256, (5, 3, 8, 12), dtype=np.uint8)  # no pixel is black


def parts(pixels: np.ndarray, grid: tuple[int, int]) -> list[list[bytes]]:
    """Each picture's patches as bytes, in reading order."""
    h, w = pixels.shape[2] // grid[0], pixels.shape[3] // grid[1]
    corners = [(h * i, w * j) for i in range(grid[0]) for j in range(grid[1])]
    return [[np.ascontiguousarray(one[:, y : y + h, x : x + w]).tobytes() for y, x in corners] for one in pixels]


# ------------------------------------------------------------------------------------------------------------- which patches


@pytest.mark.parametrize(("drop", "wanted"), [(0, 0), (1, 1), (24, 24), (0.0, 0), (1.0, 24), (0.5, 12), (0.26, 6), (0.99, 24)])
def test_so_many_patches_are_drawn(drop: Any, wanted: int, rng: np.random.Generator) -> None:
    dropped = R.random_patches(50, (4, 6), drop, rng)
    assert dropped.shape == (50, 4, 6)
    assert dropped.dtype == bool
    assert np.all(dropped.sum((1, 2)) == wanted)


def test_every_patch_is_drawn_as_often(rng: np.random.Generator) -> None:
    share = R.random_patches(20_000, (2, 3), 2, rng).mean(0)
    assert np.abs(share - 1 / 3).max() < 5 * np.sqrt(1 / 3 * 2 / 3 / 20_000)


def test_the_same_patches_for_all_or_each_its_own(rng: np.random.Generator) -> None:
    assert len(np.unique(R.random_patches(40, (4, 4), 8, rng, same=True), axis=0)) == 1
    assert len(np.unique(R.random_patches(40, (4, 4), 8, rng), axis=0)) > 30


def test_a_seed_decides(pixels: np.ndarray) -> None:
    for call in (
        lambda rng: R.random_patches(9, (4, 4), 0.5, rng),
        lambda rng: R.shuffle_patches(pixels, (2, 3), rng),
        lambda rng: R.shuffle_patches(pixels, (2, 3), rng, same=True),
    ):
        first, again, other = (call(np.random.default_rng(seed)) for seed in (3, 3, 4))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)


@pytest.mark.parametrize("drop", [-1, 25, -0.1, 1.1, float("nan")])
def test_patches_that_there_are_not(drop: Any, rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="from 0 to the 24 patches of the grid"):
        R.random_patches(2, (4, 6), drop, rng)


def by_loops(saliency: np.ndarray, mass: float, salient: bool) -> np.ndarray:
    """The fewest patches from one end that reach the mass."""
    dropped = np.zeros(saliency.shape, bool)
    for one, out in zip(saliency, dropped, strict=True):
        order = sorted(np.ndindex(one.shape), key=lambda at: -one[at] if salient else one[at])
        for at in order:
            if one[out].sum() >= mass * one.sum() - 1e-9:
                break
            out[at] = True
    return dropped


@pytest.mark.parametrize("salient", [True, False])
@pytest.mark.parametrize("mass", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_the_fewest_patches_that_reach_the_mass(mass: float, salient: bool, rng: np.random.Generator) -> None:
    saliency = rng.random((20, 3, 4)) ** 3 + 1e-3
    np.testing.assert_array_equal(R.salient_patches(saliency, mass, salient), by_loops(saliency, mass, salient))


def test_mass_is_not_a_share_of_patches() -> None:
    saliency = np.array([[[5.0, 1.0], [1.0, 1.0]]])  # sums to 8
    assert R.salient_patches(saliency, 0.5)[0].tolist() == [[True, False], [False, False]]
    assert R.salient_patches(saliency, 0.7)[0].tolist() == [[True, True], [False, False]], "equal ones in reading order"
    assert R.salient_patches(saliency, 0.25, salient=False)[0].tolist() == [[False, True], [True, False]]
    two_kinds = 1.0 + np.arange(64).reshape(1, 8, 8) % 2  # sums to 96
    assert np.flatnonzero(R.salient_patches(two_kinds, 0.3)).tolist() == list(range(1, 31, 2))
    assert R.salient_patches(saliency, 0.0).sum() == 0
    assert R.salient_patches(saliency, 1.0).all()


def test_what_is_no_saliency() -> None:
    for wrong in (np.ones((2, 4)), -np.ones((1, 2, 2)), np.zeros((1, 2, 2)), np.full((1, 2, 2), np.nan)):
        with pytest.raises(ValueError, match=r"saliency is \(N, rows, columns\) of numbers from 0"):
            R.salient_patches(wrong, 0.5)
    with pytest.raises(ValueError, match=r"share from 0.0 to 1.0, got 50"):
        R.salient_patches(np.ones((1, 2, 2)), 50)


# ------------------------------------------------------------------------------------------------------------- what is done


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_dropped_patches_are_black_and_others_as_they_were(pixels: np.ndarray, rng: np.random.Generator, dtype: Any) -> None:
    pixels, dropped = pixels.astype(dtype), R.random_patches(5, (2, 3), 2, rng)
    before, after = pixels.copy(), R.drop_patches(pixels, dropped)
    assert after.dtype == dtype
    for n, c, y, x in np.ndindex(pixels.shape):
        assert after[n, c, y, x] == (0 if dropped[n, y // 4, x // 4] else pixels[n, c, y, x])
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(R.drop_patches(pixels, np.zeros((5, 2, 3), bool)), pixels)
    assert not R.drop_patches(pixels, np.ones((5, 2, 3), bool)).any()


def test_the_offset_moves_the_black_patches_down_and_right(pixels: np.ndarray) -> None:
    dropped = np.zeros((5, 2, 3), bool)
    dropped[:, 1, 2] = True  # rows 4 to 7, columns 8 to 11
    black = (R.drop_patches(pixels, dropped, offset=1) == 0).all(1)
    assert np.all(black.sum((1, 2)) == 16)
    rows, columns = [5, 6, 7, 0], [9, 10, 11, 0]
    assert black[:, rows][:, :, columns].all()


def test_black_before_standardising_is_not_the_mean() -> None:
    data = R.cue_data(12, 6, size=16)
    gone = data.standardise(R.drop_patches(data.test_pixels, np.ones((6, 2, 2), bool)))
    np.testing.assert_allclose(gone[0, :, 0, 0], -data.mean / data.std, rtol=1e-6)


@pytest.mark.parametrize("grid", [(3, 3), (2, 5), (16, 2), (0, 2), (2, -1)])
def test_a_grid_that_does_not_divide_the_picture(grid: tuple[int, int], pixels: np.ndarray, rng: np.random.Generator) -> None:
    with pytest.raises(mv.ShapeError, match="does not divide pictures of 8 x 12 pixels") as raised:
        R.shuffle_patches(pixels, grid, rng)
    assert "whose numbers divide H and W" in str(raised.value)
    if min(grid) > 0:
        with pytest.raises(mv.ShapeError, match="does not divide"):
            R.drop_patches(pixels, np.zeros((5, *grid), bool))


def test_pictures_and_patches_that_do_not_fit(pixels: np.ndarray, rng: np.random.Generator) -> None:
    with pytest.raises(mv.ShapeError, match="5 pictures, but patches for 1"):
        R.drop_patches(pixels, np.zeros((1, 2, 3), bool))
    with pytest.raises(mv.ShapeError, match=r"\(N, C, H, W\)"):
        R.shuffle_patches(pixels[0], (2, 2), rng)


@pytest.mark.parametrize("grid", [(1, 1), (2, 2), (2, 3), (4, 6), (8, 12)])
@pytest.mark.parametrize("same", [False, True])
def test_shuffling_moves_whole_patches(pixels: np.ndarray, rng: np.random.Generator, grid: tuple[int, int], same: bool) -> None:
    after = R.shuffle_patches(pixels, grid, rng, same)
    assert after.dtype == pixels.dtype
    pairs = list(zip(parts(after, grid), parts(pixels, grid), strict=True))
    assert all(sorted(new) == sorted(old) for new, old in pairs)
    assert np.array_equal(after, pixels) == (grid == (1, 1))
    if np.prod(grid) < 30:
        orders = {tuple(old.index(patch) for patch in new) for new, old in pairs}
        assert same or grid == (1, 1) or len(orders) > 1
        assert not same or len(orders) == 1


def test_patches_go_where_the_order_says(pixels: np.ndarray, rng: np.random.Generator) -> None:
    for grid in [(2, 3), (4, 2)]:
        order = rng.integers(0, grid[0] * grid[1], (5, grid[0] * grid[1]))  # some come twice
        after = parts(R.arrange_patches(pixels, order, grid), grid)
        before = parts(pixels, grid)
        assert after == [[old[k] for k in row] for old, row in zip(before, order.tolist(), strict=True)]
    with pytest.raises(mv.ShapeError, match=r"order is \(N, rows columns\), here \(5, 6\), got \(5, 4\)"):
        R.arrange_patches(pixels, np.zeros((5, 4), int), (2, 3))


def test_shifts_against_loops(pixels: np.ndarray, rng: np.random.Generator) -> None:
    for down, right in [(0, 0), (2, -3), (-7, 11), (rng.integers(-7, 8, 5), rng.integers(-11, 12, 5))]:
        black, edge = R.shift_pictures(pixels, down, right), R.shift_pictures(pixels, down, right, edge=True)
        for n, (dy, dx) in enumerate(zip(np.broadcast_to(down, 5), np.broadcast_to(right, 5), strict=True)):
            for y, x in np.ndindex(8, 12):
                a, b = y - dy, x - dx
                inside = 0 <= a < 8 and 0 <= b < 12
                there = pixels[n, :, min(max(a, 0), 7), min(max(b, 0), 11)]
                assert black[n, :, y, x].tolist() == (there.tolist() if inside else [0, 0, 0])
                assert edge[n, :, y, x].tolist() == there.tolist()


@pytest.mark.parametrize("shift", [(8, 0), (0, -12), (0.5, 0)])
def test_shifts_that_leave_nothing(shift: tuple[Any, Any], pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="whole numbers between -"):
        R.shift_pictures(pixels, *shift)


# ------------------------------------------------------------------------------------------------------------- transformers


def network(**settings: Any) -> VisionTransformer:
    mv.manual_seed(0)
    config = replace(models.entry("vit_digits").config, embed_dim=16, depth=2, num_heads=2, **settings)
    model = VisionTransformer(config).double().eval()
    for name, parameter in model.named_parameters():
        if name.endswith("weight") and parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.5)
    return model


def test_without_positions_the_class_output_does_not_know_the_order(rng: np.random.Generator) -> None:
    model, images = network(), rng.standard_normal((3, 1, 8, 8))
    shuffled = R.shuffle_patches(images, model.config.grid, rng)
    with mv.no_grad():
        nn.init.normal_(model.pos_embed, std=1.0)
        assert np.abs((model(mv.tensor(images)) - model(mv.tensor(shuffled))).numpy()).max() > 1e-3
        nn.init.zeros_(model.pos_embed)
        one, other = (model(mv.tensor(each)).numpy() for each in (images, shuffled))
    np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_saliency_is_the_class_tokens_attention_in_the_last_block(rng: np.random.Generator) -> None:
    model, images = network(), rng.standard_normal((5, 1, 8, 8))
    maps = model.attention_maps(mv.tensor(images))[-1]
    for head, looks in ((None, maps.mean(1)[:, 0, 1:]), (1, maps[:, 1, 0, 1:])):
        wanted = np.array([row / row.sum() for row in looks]).reshape(5, 4, 4)
        np.testing.assert_allclose(R.attention_saliency(model, images, head, batch_size=2), wanted, rtol=1e-10)
    with pytest.raises(ValueError, match="heads 0 to 1, got 2"):
        R.attention_saliency(model, images, head=2)
    with pytest.raises(TypeError, match="vision transformer with attention_maps"):
        R.attention_saliency(mv.create_model("resnet_digits"), images)


# ------------------------------------------------------------------------------------------------------------- cues


def test_cue_pictures_differ_only_where_the_shape_is() -> None:
    shapes = np.arange(len(SHAPES))
    plain, same, textured = (R.cue_pictures(shapes, np.full(6, t), 5, 24).astype(int) for t in (PLAIN, PLAIN, 0))
    np.testing.assert_array_equal(plain, same)
    differ = (plain != textured).any(1)
    assert np.all(differ.mean((1, 2)) < 0.6)
    assert np.all(differ.any((1, 2)))
    squares = [R.cue_pictures(np.ones(60, int), np.full(60, t), 3, 24).mean() for t in (PLAIN, 0, 1)]
    assert np.ptp(squares) < 1, "as bright as textures are in the mean"
    other = R.cue_pictures(shapes[::-1], np.full(6, PLAIN), 5, 24)
    np.testing.assert_array_equal(other[:, :, 0, 0], plain[:, :, 0, 0])  # a corner, which no shape reaches
    assert not np.array_equal(R.cue_pictures(shapes, shapes, 6, 24), R.cue_pictures(shapes, shapes, 5, 24))


def test_textures_are_alike_nowhere_and_half_bright() -> None:
    u, v = np.random.default_rng(0).uniform(32, 40, (2, 20_000))
    cells = np.random.default_rng(1).random((16, 16)) < 0.5
    drawn = np.array([texture(name, u, v, cells) for name in R.TEXTURES])
    assert np.all(np.abs(drawn.mean(1) - 0.5) < 0.1), "brightness alone does not tell a texture"
    unlike = np.mean(drawn[:, None] != drawn, axis=2)
    assert np.all(unlike[~np.eye(6, dtype=bool)] > 0.25)
    assert 0 < DARK < 1


def test_cues_that_there_are_not() -> None:
    for shapes, textures in (([6], [0]), ([0], [-2]), ([0], [6]), ([0.5], [0])):
        with pytest.raises(ValueError, match="are whole numbers from"):
            R.cue_pictures(shapes, textures, 0)
    with pytest.raises(ValueError, match=r"both \(N\)"):
        R.cue_pictures([0, 1], [0], 0)
    with pytest.raises(ValueError, match="size is from 16"):
        R.cue_pictures([0], [0], 0, size=8)


def test_in_the_data_both_cues_agree_and_in_conflicts_never() -> None:
    data = R.cue_data(18, 6, seed=2, size=16)
    assert data.image_shape == (3, 16, 16)
    assert data.train_labels.tolist() == [*range(6)] * 3
    together = np.concatenate([data.train_pixels, data.test_pixels])
    np.testing.assert_array_equal(together, R.cue_pictures(np.arange(24) % 6, np.arange(24) % 6, 2, 16))
    pixels, shapes, textures = R.conflicting_cues(60, seed=2, size=16)
    np.testing.assert_array_equal(pixels, R.cue_pictures(shapes, textures, 2, 16))
    counts = np.zeros((6, 6), int)
    np.add.at(counts, (shapes, textures), 1)
    assert counts.tolist() == (2 - 2 * np.eye(6, dtype=int)).tolist()


def test_shape_bias_counts_decisions_for_either() -> None:
    shapes, textures = np.array([0, 0, 0, 1, 2, 4]), np.array([1, 1, 1, 2, 2, 5])
    assert R.shape_bias([0, 1, 3, 1, 2, 0], shapes, textures) == 2 / 3  # 3 and the last 0 are neither, 2 is both
    assert R.shape_bias(shapes, shapes, textures) == 1.0
    assert R.shape_bias(textures, shapes, textures) == 0.0
    with pytest.raises(ValueError, match="of 5 pictures whose cues differ, none"):
        R.shape_bias(np.full(6, 3), shapes, textures)
    with pytest.raises(ValueError, match=r"all \(N\)"):
        R.shape_bias([0, 1], shapes, textures)


# ------------------------------------------------------------------------------------------------------------- curves


class Corner(nn.Module):
    """Answers 1 where the upper left pixel is brighter than black, else 0: what it loses can be counted."""

    def __init__(self, black: float) -> None:
        super().__init__()
        self.black = black

    def forward(self, x: Any) -> Any:
        """(B, 1, H, W) -> (B, 2)"""
        bright = (x[:, 0, 0, 0].numpy() > self.black + 1e-3).astype(np.float32)
        return mv.tensor(np.stack([1 - bright, bright], 1))


@pytest.fixture
def corners() -> tuple[Corner, Dataset]:
    """A network and 200 pictures, of which every second has a bright corner and a rest that is never black."""
    pixels = np.random.default_rng(0).integers(1, 17, (200, 1, 8, 8)).astype(np.uint8)
    pixels[::2, :, :1, :1] = 0
    labels = np.arange(200) % 2
    data = Dataset("corners", pixels, labels, pixels, labels, ["dark", "bright"], white=16)
    return Corner(float(-data.mean[0] / data.std[0])), data


def test_a_curve_over_dropped_patches(corners: tuple[Corner, Dataset]) -> None:
    model, data = corners
    found = R.drop_curve(model, data, (2, 2), [0.0, 0.25, 0.5, 1.0])
    assert found.clean == 1.0
    np.testing.assert_array_equal(found.levels, [0.0, 0.25, 0.5, 1.0])
    np.testing.assert_allclose(
        found.accuracy, 1 - np.array([0, 0.25, 0.5, 1]) / 2, atol=0.09
    )  # half the pictures need the corner
    assert found.accuracy[0] == 1.0
    assert found.accuracy[-1] == 0.5
    again, other = R.drop_curve(model, data, (2, 2), [0.25]), R.drop_curve(model, data, (2, 2), [0.25], seed=1)
    assert R.drop_curve(model, data, (2, 2), [0.25]).accuracy == again.accuracy
    assert other.accuracy != again.accuracy


def test_a_curve_over_saliency(corners: tuple[Corner, Dataset]) -> None:
    model, data = corners
    saliency = np.tile([[6.0, 2.0], [1.0, 1.0]], (200, 1, 1))
    found = R.drop_curve(model, data, (2, 2), [0.0, 0.5, 0.9], saliency)
    assert found.levels.tolist() == [0.0, 0.25, 0.75]
    assert found.accuracy.tolist() == [1.0, 0.5, 0.5]
    found = R.drop_curve(model, data, (2, 2), [0.1, 0.4, 0.5], saliency, salient=False)
    assert found.levels.tolist() == [0.25, 0.75, 1.0]
    assert found.accuracy.tolist() == [1.0, 1.0, 0.5]
    away = R.drop_curve(model, data, (2, 2), [0.5], saliency, offset=1)
    assert away.accuracy.tolist() == [1.0], "the black patch begins one pixel beside the corner"
    with pytest.raises(mv.ShapeError, match=r"saliency is \(N, 4, 4\), as the grid"):
        R.drop_curve(model, data, (4, 4), [0.5], saliency)
    with pytest.raises(mv.ShapeError, match="200 pictures, but patches for 1"):
        R.drop_curve(model, data, (2, 2), [0.5], saliency[:1])


def test_curves_over_shuffles_and_shifts(corners: tuple[Corner, Dataset]) -> None:
    model, data = corners
    found = R.shuffle_curve(model, data, [(1, 1), (2, 4)])
    assert found.levels.tolist() == [1, 8]
    assert found.accuracy[0] == 1.0
    assert 0.4 < found.accuracy[1] < 0.7
    found = R.shift_curve(model, data, [0, 1])
    assert found.accuracy[0] == 1.0
    assert 0.35 < found.accuracy[1] < 0.65  # bright stays bright in 3 of 8 directions, black black in 5
    assert R.shift_curve(model, data, [0, 1], edge=True).accuracy[1] > found.accuracy[1]
    for curve, levels in (R.shuffle_curve, [(8, 8)]), (R.shift_curve, [1]):
        assert curve(model, data, levels).accuracy == curve(model, data, levels, seed=0).accuracy
        assert len({float(curve(model, data, levels, seed=seed).accuracy[0]) for seed in range(4)}) > 1


def test_every_picture_is_moved_in_any_of_eight_directions(corners: tuple[Corner, Dataset]) -> None:
    _, data = corners
    pixels = np.zeros((200, 1, 8, 8), np.uint8)
    pixels[:, :, 4, 4] = 16
    seen: list[np.ndarray] = []

    class Middle(nn.Module):
        def forward(self, x: Any) -> Any:
            seen.append(x.numpy()[:, 0] > 0)
            return mv.tensor(np.stack([seen[-1][:, 4, 4], ~seen[-1][:, 4, 4]], 1).astype(np.float32))

    marked = replace(data, train_pixels=pixels, test_pixels=pixels, test_labels=np.zeros(200, int))
    found = R.shift_curve(Middle(), marked, [2])
    assert (found.clean, found.accuracy.tolist()) == (1.0, [0.0])
    assert {tuple(at[1:]) for at in np.argwhere(seen[0])} == {(y, x) for y in (2, 4, 6) for x in (2, 4, 6)} - {(4, 4)}


def test_any_damage_and_what_is_none(corners: tuple[Corner, Dataset]) -> None:
    model, data = corners
    seen = []

    def damage(pixels: np.ndarray, level: Any, rng: np.random.Generator) -> np.ndarray:
        seen.append((level, rng.random()))
        return pixels * (level == "none") - 5.0 * (level == "all")

    inputs: list[np.ndarray] = []

    class Watch(Corner):
        def forward(self, x: Any) -> Any:
            inputs.append(x.numpy())
            return super().forward(x)

    R.accuracy_curve(Watch(0.0), data, lambda pixels, level, rng: pixels + level, [-100.0, 100.0])
    ends = data.standardise(np.array([[[[0.0]]], [[[16.0]]]])).ravel()
    assert np.unique(inputs[0]).tolist() == [ends[0]], "what is darker than black is black"
    assert np.unique(inputs[1]).tolist() == [ends[1]], "what is brighter than white is white"
    found = R.accuracy_curve(model, data, damage, ["none", "all"], batch_size=64)
    assert found.accuracy.tolist() == [1.0, 0.5]
    assert found.kept.tolist() == [1.0, 0.5]
    R.accuracy_curve(model, data, damage, ["none", "all"])
    assert seen[:2] == seen[2:]
    assert seen[0][1] != seen[1][1]
    with pytest.raises(ValueError, match="keeps the shape of pixels"):
        R.accuracy_curve(model, data, lambda pixels, level, rng: pixels[:, :, :4], [0])
    many = replace(data, train_labels=np.eye(2, dtype=int)[data.train_labels], test_labels=np.eye(2, dtype=int)[data.test_labels])
    with pytest.raises(ValueError, match="one label a picture"):
        R.accuracy_curve(model, many, damage, ["none"])


def test_kept_is_a_part_of_the_clean_accuracy() -> None:
    np.testing.assert_allclose(R.Curve(np.arange(2), np.array([0.8, 0.2]), 0.8).kept, [1.0, 0.25])


# ------------------------------------------------------------------------------------------------------------- pictures


def test_curves_are_drawn_with_mean_and_spread() -> None:
    one, other = (R.Curve(np.array([0.0, level]), np.array([0.8, low]), 0.8) for level, low in ((0.4, 0.2), (0.6, 0.4)))
    axes = Figure().add_subplot()
    draw_curves(axes, {"a": [one, other], "b": [one]}, chance=0.1)
    assert axes.lines[0].get_xydata().tolist() == [[0.0, 0.8], [0.5, pytest.approx(0.3)]]
    assert [line.get_label() for line in axes.lines[:2]] == ["a", "b"]
    extent = axes.collections[0].get_paths()[0].get_extents()
    assert (extent.ymin, extent.ymax) == (0.2, 0.8)
    kept = Figure().add_subplot()
    draw_curves(kept, {"a": [one]}, kept=True)
    np.testing.assert_allclose(kept.lines[0].get_ydata(), [1.0, 0.25])
    with pytest.raises(ValueError, match="one curve or more"):
        draw_curves(axes, {"a": []})
    with pytest.raises(ValueError, match="at most 5"):
        draw_curves(axes, {str(i): [one] for i in range(6)})


def test_samples_are_drawn_in_rows(rng: np.random.Generator) -> None:
    grey = rng.integers(0, 17, (3, 1, 8, 8))
    axes = Figure().add_subplot()
    draw_samples(axes, {"as it is": grey, "black": 0 * grey}, white=16)
    picture = axes.images[0].get_array()
    assert picture.shape == (2 * 96 + 8, 3 * 96 + 2 * 8, 3)
    np.testing.assert_allclose(picture[:96:12, :96:12, 0], grey[0, 0] / 16)
    assert not picture[104:, :96].any()
    assert [text.get_text() for text in axes.texts] == ["as it is", "black"]
    with pytest.raises(ValueError, match="all are alike"):
        draw_samples(axes, {"a": grey, "b": grey[:2]})
