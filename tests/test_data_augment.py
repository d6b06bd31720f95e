"""Augmentation: transforms and the bilinear resampling, against whole-pixel moves, a loop, and places computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minivision.data import Augmentation
from minivision.data.augment import resample, transforms


def move(degrees=0.0, down=0.0, right=0.0, mirrored=False, count=1) -> np.ndarray:
    """The same transform for `count` images."""
    return transforms(*(np.full(count, value) for value in (degrees, down, right, mirrored)))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def centroid(image: np.ndarray) -> tuple[float, float]:
    """Where the ink of (H, W) is, from the centre: (down, right)."""
    height, width = image.shape
    y, x = np.indices(image.shape)
    total = image.sum()
    return float((image * y).sum() / total - (height - 1) / 2), float((image * x).sum() / total - (width - 1) / 2)


@pytest.mark.parametrize("padding", ["constant", "edge"])
@pytest.mark.parametrize("shape", [(3, 1, 8, 8), (2, 3, 5, 7), (1, 2, 1, 1), (0, 1, 4, 4)])
def test_no_move_is_the_identity(shape, padding):
    images = noise(*shape)
    np.testing.assert_allclose(resample(images, move(count=shape[0]), padding), images, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("down", "right"), [(1, 0), (0, 2), (-3, 1), (2, -2)])
def test_a_whole_pixel_shift_is_a_roll(down, right):
    images = noise(2, 3, 9, 7)
    rolled = np.roll(images, (down, right), axis=(2, 3))
    inside = np.zeros((9, 7), bool)
    inside[max(down, 0) : 9 + min(down, 0), max(right, 0) : 7 + min(right, 0)] = True
    expected = np.where(inside, rolled, 0.0)
    np.testing.assert_allclose(resample(images, move(down=down, right=right, count=2)), expected, rtol=0, atol=1e-6)


def test_edge_padding_repeats_the_border():
    images = noise(1, 1, 4, 5)
    expected = np.pad(images, ((0, 0), (0, 0), (2, 0), (0, 3)), mode="edge")[:, :, :4, 3:]
    np.testing.assert_allclose(resample(images, move(down=2, right=-3), "edge"), expected, rtol=0, atol=1e-6)


def test_half_a_pixel_is_the_mean_of_two():
    images = noise(1, 2, 4, 5)
    wide = np.pad(images, ((0, 0), (0, 0), (0, 0), (1, 0)))
    np.testing.assert_allclose(resample(images, move(right=0.5)), (wide[..., 1:] + wide[..., :-1]) / 2, rtol=0, atol=1e-6)


def test_mirroring_swaps_left_and_right():
    images = noise(2, 3, 4, 5)
    np.testing.assert_allclose(resample(images, move(mirrored=True, count=2)), images[..., ::-1], rtol=0, atol=1e-6)


def test_the_mirror_comes_first_and_the_shift_last():
    images = noise(1, 1, 6, 6)
    expected = np.roll(np.rot90(images[..., ::-1], axes=(2, 3)), (2, 1), axis=(2, 3))
    expected[..., 0] = expected[..., :2, :] = 0.0
    np.testing.assert_allclose(resample(images, move(90.0, down=2, right=1, mirrored=True)), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("degrees", "quarters"), [(90.0, 1), (180.0, 2), (-90.0, 3)])
def test_quarter_turns_are_counter_clockwise(degrees, quarters):
    images = noise(2, 3, 8, 8)
    expected = np.rot90(images, quarters, axes=(2, 3))
    np.testing.assert_allclose(resample(images, move(degrees, count=2)), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("degrees", [10.0, -25.0, 60.0])
def test_a_dot_moves_where_it_should(degrees):
    """A broad dot, 5 right and 2 above the centre, turned counter-clockwise about it and then moved by (0.75, -1.5)."""
    y, x = np.indices((31, 31)) - 15.0
    dot = np.exp(-((y + 2.0) ** 2 + (x - 5.0) ** 2) / 8.0)[None, None]
    angle = math.radians(degrees)
    right, up = 5.0 * math.cos(angle) - 2.0 * math.sin(angle), 5.0 * math.sin(angle) + 2.0 * math.cos(angle)
    found = centroid(resample(dot, move(degrees, down=0.75, right=-1.5))[0, 0])
    np.testing.assert_allclose(found, (-up + 0.75, right - 1.5), atol=0.02)


def test_every_image_has_its_own_transform_as_a_plain_loop_computes_it():
    images, rng = noise(6, 2, 7, 9), np.random.default_rng(1)
    matrices = Augmentation(shift=0.3, rotation=40.0, flip=True).draw(rng, 6, 7, 9)
    expected = np.zeros(images.shape)
    for b, c, i, j in np.ndindex(images.shape):
        y, x = matrices[b] @ (i - 3.0, j - 4.0, 1.0) + (3.0, 4.0)
        for row, column in ((math.floor(y) + p, math.floor(x) + q) for p in (0, 1) for q in (0, 1)):
            if 0 <= row < 7 and 0 <= column < 9:
                expected[b, c, i, j] += images[b, c, row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    np.testing.assert_allclose(resample(images, matrices), expected, rtol=0, atol=2e-6)


def test_an_augmentation_pads_as_it_says():
    ones, moved = np.ones((1, 3, 6, 6), np.uint8), move(30.0, down=2)
    np.testing.assert_allclose(Augmentation(edge=True).apply(ones, moved), 1.0, rtol=0, atol=1e-6)
    assert Augmentation(edge=False).apply(ones, moved).min() == 0.0


def test_bytes_are_resampled_without_wrapping():
    pixels = np.array([[[[255, 0, 255, 0]]]], np.uint8)
    np.testing.assert_allclose(resample(pixels, move(right=0.25))[0, 0, 0], [191.25, 63.75, 191.25, 63.75], rtol=0, atol=1e-4)


def test_moves_are_drawn_within_their_ranges_and_reach_them():
    matrices = Augmentation(shift=0.25, rotation=0.0).draw(np.random.default_rng(0), 4000, 8, 20)
    np.testing.assert_array_equal(matrices[:, :, :2], np.broadcast_to(np.eye(2), (4000, 2, 2)))
    for shift, largest in zip(matrices[:, :, 2].T, (2.0, 5.0), strict=True):
        assert -largest <= shift.min() < -0.99 * largest
        assert 0.99 * largest < shift.max() <= largest
    turns = Augmentation(shift=0.0, rotation=30.0).draw(np.random.default_rng(0), 4000, 8, 8)
    degrees = np.degrees(np.arctan2(turns[:, 0, 1], turns[:, 0, 0]))
    assert -30.0 <= degrees.min() < -29.7
    assert 29.7 < degrees.max() <= 30.0 + 1e-9


@pytest.mark.parametrize(("flip", "low", "high"), [(True, 900, 1100), (False, 0, 0)])
def test_flip_mirrors_half_of_the_images_or_none(flip, low, high):
    matrices = Augmentation(flip=flip).draw(np.random.default_rng(0), 2000, 8, 8)
    assert low <= (np.linalg.det(matrices[:, :, :2]) < 0).sum() <= high
