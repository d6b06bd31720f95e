"""A picture as a text: a small palette of colours by k-means, pictures as numbers of its colours and back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

ROWS = 1 << 14  # points whose distances to all centres are held at once


class Clusters(NamedTuple):
    """centres (k, D); labels (N), the number of each point's nearest; inertia, the sum of squared distances to those."""

    centres: np.ndarray
    labels: np.ndarray
    inertia: float


def nearest(points: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each point (N, D) the number of the nearest centre (k, D), the first of equals, and its squared distance: (N), (N)."""
    labels, distances = np.empty(len(points), np.int64), np.empty(len(points))
    for start in range(0, len(points), ROWS):
        part = slice(start, start + ROWS)
        squares = ((points[part, None] - centres.astype(np.float64)) ** 2).sum(-1)  # (n, k)
        labels[part] = squares.argmin(1)
        distances[part] = squares.min(1)
    return labels, distances


def kmeans(points: np.ndarray, k: int, seed: int = 0, steps: int = 100) -> Clusters:
    """k centres that points (N, D) are near to; Lloyd 1982, begun as by k-means++ (Arthur & Vassilvitskii 2007).

    Each step moves every centre to the mean of the points that are nearest to it, until none moves, or `steps` times. A centre
    that no point is nearest to goes to the point which is farthest from its own. The seed's raw bits are drawn from: the same
    centres for the same points. ValueError where fewer than k points differ.
    """
    different, place, counts = np.unique(points.astype(np.float64), axis=0, return_inverse=True, return_counts=True)
    if not 0 < k <= len(different):
        raise ValueError(f"{k} centres need as many different points, at least one; got {len(different)}: choose a smaller k")
    centres = _spread(different, counts, k, seed)
    labels, distances = nearest(different, centres)
    for _ in range(steps):
        moved = _means(different, counts, labels, distances, k)
        if np.array_equal(moved, centres):
            break
        centres = moved
        labels, distances = nearest(different, centres)
    return Clusters(centres, labels[place.reshape(-1)], float(counts @ distances))


def _spread(points: np.ndarray, counts: np.ndarray, k: int, seed: int) -> np.ndarray:
    """k different points (k, D), each drawn in proportion to its count and squared distance to those before."""
    draws = (np.random.PCG64(seed).random_raw(k) >> np.uint64(11)) * 2.0**-53
    chosen, shares = [], counts.astype(np.float64)
    distances = np.full(len(points), np.inf)
    for draw in draws:
        sums = np.cumsum(shares)
        number = int(np.searchsorted(sums, draw * sums[-1], side="right"))
        chosen.append(points[number])
        distances = np.minimum(distances, nearest(points, points[number : number + 1])[1])
        shares = counts * distances
    return np.array(chosen)


def _means(points: np.ndarray, counts: np.ndarray, labels: np.ndarray, distances: np.ndarray, k: int) -> np.ndarray:
    """mean_j = sum of counts_i points_i / sum of counts_i, over the i with label j.  points (N, D) -> (k, D)

    counts (N): how often each point is there. The labels that no point has get the points whose `distances` (N) from their own
    centres are largest: the first such label the largest, and so on; of equal distances the first.
    """
    weights = np.bincount(labels, counts, k)
    sums = np.stack([np.bincount(labels, counts * column, k) for column in points.T], axis=1)  # (k, D)
    empty = np.flatnonzero(weights == 0)
    means = sums / np.maximum(weights, 1)[:, None]
    means[empty] = points[np.argsort(-distances, kind="stable")[: len(empty)]]
    return means


def colour_palette(images: np.ndarray, colours: int, seed: int = 0, steps: int = 100) -> np.ndarray:
    """The colours (colours, C) that the pixels of images (N, C, H, W) are nearest to, from dark to bright, as float64.

    In the images' own units. Chen et al. 2020, section 3.2, have 512 colours of RGB values for 32 x 32 pictures; some thousand
    pictures are enough to find them.
    """
    found = kmeans(_pixels(images), colours, seed, steps).centres
    return found[np.lexsort((*found.T[::-1], found.sum(1)))]


def to_tokens(images: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W) -> numbers of the nearest of colours (k, C), row by row: int64 (N, H W)"""
    return nearest(_pixels(images), colours)[0].reshape(len(images), -1)


def to_images(tokens: np.ndarray, colours: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Numbers (N, H W) of colours (k, C), size (H, W) -> images (N, C, H, W)"""
    return colours[tokens].reshape(len(tokens), *size, -1).transpose(0, 3, 1, 2)


def _pixels(images: np.ndarray) -> np.ndarray:
    """(N, C, H, W) -> (N H W, C), in float64: differences of bytes would wrap around"""
    return np.asarray(images, np.float64).transpose(0, 2, 3, 1).reshape(-1, images.shape[1])
