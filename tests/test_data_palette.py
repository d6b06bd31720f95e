"""Palettes: k-means held against its own definition, and pictures as numbers and back."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from minivision.data import colour_palette, kmeans, to_images, to_tokens
from minivision.data.palette import ROWS, _means, nearest


def points(count=300, width=3, seed=0):
    """Three clouds."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, width)) + 4.0 * rng.integers(0, 3, (count, 1))


@pytest.mark.parametrize("k", [1, 2, 7])
def test_centres_are_the_means_of_the_points_nearest_to_them(k):
    x = points()
    found = kmeans(x, k)
    distances = ((x[:, None] - found.centres) ** 2).sum(-1)
    np.testing.assert_array_equal(found.labels, distances.argmin(1))
    for number, centre in enumerate(found.centres):
        np.testing.assert_allclose(centre, x[found.labels == number].mean(0), rtol=1e-12)
    assert found.inertia == pytest.approx(distances.min(1).sum(), rel=1e-12)


def test_no_step_makes_it_worse():
    x = points()
    inertia = [kmeans(x, 8, steps=steps).inertia for steps in range(12)]
    assert all(after <= before * (1 + 1e-14) for before, after in itertools.pairwise(inertia))
    assert inertia[-1] < 0.9 * inertia[0]


def test_repeated_points_count_as_often():
    x = np.array([[0.0]] * 9 + [[1.0]] + [[10.0]])
    found = kmeans(x, 2)
    np.testing.assert_allclose(np.sort(found.centres[:, 0]), [0.1, 10.0], rtol=1e-15)


def test_as_many_centres_as_points_are_the_points():
    x = np.repeat(np.random.default_rng(0).integers(0, 256, (20, 3)), 3, axis=0)
    different = np.unique(x, axis=0)
    found = kmeans(x, len(different))
    assert found.inertia == 0.0
    np.testing.assert_array_equal(np.unique(found.centres, axis=0), different)
    with pytest.raises(ValueError, match=f"{len(different) + 1} centres need as many different points, .* got {len(different)}"):
        kmeans(x, len(different) + 1)
    with pytest.raises(ValueError, match="0 centres"):
        kmeans(x, 0)


def test_a_centre_that_loses_all_points_is_put_where_it_helps_most():
    x = np.array([[0.0], [1.0], [5.0]])
    labels, distances = nearest(x, np.array([[0.5], [100.0]]))
    moved = _means(x, np.ones(3), labels, distances, 2)
    np.testing.assert_array_equal(moved[:, 0], [2.0, 5.0])


def test_the_seed_decides():
    x = points()
    np.testing.assert_array_equal(kmeans(x, 9, seed=4).centres, kmeans(x, 9, seed=4).centres)
    assert not np.array_equal(kmeans(x, 9, seed=4).centres, kmeans(x, 9, seed=5).centres)


def test_distances_in_parts_are_those_at_once():
    x = np.random.default_rng(0).normal(size=(ROWS + 1, 2))
    labels, distances = nearest(x, x[:3])
    squares = ((x[:, None] - x[:3]) ** 2).sum(-1)
    np.testing.assert_array_equal(labels, squares.argmin(1))
    np.testing.assert_array_equal(distances, squares.min(1))


def test_pictures_of_few_colours_come_back():
    rng = np.random.default_rng(0)
    few = rng.integers(0, 256, (6, 3)).astype(np.uint8)
    images = few[rng.integers(0, 6, (4, 5, 7))].transpose(0, 3, 1, 2)  # (4, 3, 5, 7)
    found = colour_palette(images, 6)
    tokens = to_tokens(images, found)
    assert tokens.shape == (4, 35)
    np.testing.assert_array_equal(to_images(tokens, found, (5, 7)), images)
    assert tokens[1, 2 * 7 + 3] == np.flatnonzero((found == images[1, :, 2, 3]).all(1))[0]
    assert (np.diff(found.sum(1)) >= 0).all()


def test_a_palette_loses_as_little_as_its_inertia_says():
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8)).astype(np.uint8)
    found = colour_palette(images, 10)
    back = to_images(to_tokens(images, found), found, (8, 8))
    pixels = images.transpose(0, 2, 3, 1).reshape(-1, 3)
    assert ((back - images) ** 2).sum() == pytest.approx(kmeans(pixels, 10).inertia, rel=1e-12)
