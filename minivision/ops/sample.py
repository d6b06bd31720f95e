"""Reading images between their pixels, at points that are arguments themselves: what grid_sample, deformable convolution
and RoI align have in common.

A point lies among the 2 (linear), 4 (cubic) or 1 (nearest) pixels on each axis; its value is their sum, weighted along
each axis by a curve of the distance. Pixels are rows of a table (N H W + 1, C) whose last row, of zeros, stands for all
that lies outside.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..errors import ShapeError
from ..op import op
from .elementwise import raw
from .indexing import index_add
from .taps import CUBIC, cubic_far, cubic_near


class Tap(NamedTuple):
    """One pixel on one axis beside each of the points."""

    place: np.ndarray  # (M, P) its number, a float: it may lie outside
    weight: Any  # (M, P)
    slope: Any  # (M, P) d weight / d point


def _nearest(p: Any) -> list[Tap]:
    """The pixel at the nearest whole number, of two the even one; it does not move with the point."""
    return [Tap(np.rint(raw(p)), np.ones_like(raw(p)), np.zeros_like(raw(p)))]


def _linear(p: Any) -> list[Tap]:
    """w = 1 - |p - q|"""
    below = np.floor(raw(p))
    t = p - below
    one = np.ones_like(below)
    return [Tap(below, 1.0 - t, -one), Tap(below + 1.0, t, one)]


def _cubic_slopes(t: Any, a: float) -> list[Any]:
    """d/dt of Keys' kernel at t + 1, t, 1 - t and 2 - t, for 0 <= t < 1."""

    def near(u: Any) -> Any:
        return (3.0 * (a + 2.0) * u - 2.0 * (a + 3.0)) * u

    def far(u: Any) -> Any:
        return a * ((3.0 * u - 10.0) * u + 8.0)

    return [far(t + 1.0), near(t), -near(1.0 - t), -far(2.0 - t)]


def _cubic(p: Any) -> list[Tap]:
    """w = Keys' kernel of p - q, a = -3/4"""
    below = np.floor(raw(p))
    t = p - below
    weights = [cubic_far(t + 1.0, CUBIC), cubic_near(t, CUBIC), cubic_near(1.0 - t, CUBIC), cubic_far(2.0 - t, CUBIC)]
    places = [below + step for step in (-1.0, 0.0, 1.0, 2.0)]
    return [Tap(*parts) for parts in zip(places, weights, _cubic_slopes(t, CUBIC), strict=True)]


CURVES = {"nearest": _nearest, "linear": _linear, "cubic": _cubic}

# ------------------------------------------------------------------------------------------- places outside the image


def mirrored(p: Any, size: int, align_corners: bool) -> Any:
    """p reflected into the image as often as it takes: about the outer pixels' middles, or their outer edges."""
    low, span = (0.0, size - 1.0) if align_corners else (-0.5, float(size))
    if span == 0.0:
        return p * 0.0
    along = np.absolute(p - low)
    turns = np.floor(raw(along) / span)
    rest = along - turns * span
    return np.where(np.fmod(turns, 2.0) == 0.0, rest, span - rest) + low


def _number(place: np.ndarray, size: int, padding: str, align_corners: bool) -> np.ndarray:
    """The pixel that is read at each whole place; -1 where there is none."""
    if padding == "reflection":
        place = mirrored(place, size, align_corners)
    if padding != "zeros":
        place = np.clip(place, 0.0, size - 1.0)
    return np.where((place >= 0.0) & (place < size), place, -1.0).astype(np.int64)


class Corner(NamedTuple):
    """One of the pixels about each point."""

    row: np.ndarray  # (M, P) where it stands in the table
    taps: tuple[Tap, ...]  # for each axis

    def weight(self, without: int = -1) -> Any:
        """The product of the weights along the axes, (M, P), or of all but one."""
        return math.prod((tap.weight for axis, tap in enumerate(self.taps) if axis != without), start=1.0)


def _corners(shape: tuple[int, ...], points: Any, image: Any, curve: str, padding: str, align_corners: bool) -> Iterator[Corner]:
    """The pixels about each point (M, P, D) of images of that shape (N, C, *sizes)."""
    count, sizes, image = shape[0], shape[2:], raw(image)[:, None]
    axes = []
    for axis, size in enumerate(sizes):
        taps = CURVES[curve](points[..., axis])
        axes.append([(_number(tap.place, size, padding, align_corners), tap) for tap in taps])
    for corner in itertools.product(*axes):
        row, inside = image, np.array(True)
        for (number, _), size in zip(corner, sizes, strict=True):
            row, inside = row * size + number, inside & (number >= 0)
        yield Corner(np.where(inside, row, count * math.prod(sizes)), tuple(tap for _, tap in corner))


def _table(x: Any) -> Any:
    """(N, C, *sizes) -> (N prod(sizes) + 1, C): the pixels in reading order, then zeros."""
    rows = np.reshape(np.moveaxis(x, 1, -1), (x.shape[0] * math.prod(x.shape[2:]), x.shape[1]))
    return np.concatenate([rows, np.zeros((1, x.shape[1]), x.dtype)])


def _images(rows: Any, shape: tuple[int, ...]) -> Any:
    """(N prod(sizes) + 1, C) -> (N, C, *sizes): the inverse of _table."""
    return np.moveaxis(np.reshape(rows[:-1], (shape[0], *shape[2:], shape[1])), -1, 1)


def _check(x: Any, points: Any, image: Any) -> None:
    if x.ndim != points.shape[2] + 2 or 0 in x.shape[2:]:
        problem = f"points have {points.shape[2]} coordinates, so x should be (N, C, *sizes) with as many sizes above 0"
        raise ShapeError("sample", problem, f"x {x.shape}, points {points.shape}")
    numbers = raw(image)
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < x.shape[0]:
        raise ValueError(f"sample: images are numbered from 0 to {x.shape[0] - 1}, got {numbers.min()} to {numbers.max()}")


# ----------------------------------------------------------------------------------------------------- the operation


def _sample(x, points, image, *, curve="linear", padding="zeros", align_corners=False):
    """y[m, p, c] = sum_q x[image[m], c, q] prod_i w(points[m, p, i] - q_i)  over the pixels q about the point

    w the curve: linear 1 - |t|, cubic (Keys 1981, a = -3/4), nearest. A pixel outside is 0 (padding "zeros"), the
    nearest one inside ("border") or its mirror image ("reflection"). A coordinate of NaN gives NaN, with nearest 0.

    shapes: x, points(M, P, D), image(M) -> y(M, P, C);  keeps: x, points, image
    """
    _check(x, points, image)
    table = _table(x)
    corners = _corners(x.shape, points, image, curve, padding, align_corners)
    parts = (np.expand_dims(corner.weight(), -1) * np.take(table, corner.row, axis=0) for corner in corners)
    return sum(parts, next(parts)), (x, points, image)


def _sample_vjp(dy, kept, *, needs, curve="linear", padding="zeros", align_corners=False):
    """dx[q] = sum_p w dy[p],  dpoints_i = sum_q <dy, x[q]> dw/dp_i"""
    x, points, image = kept
    table, rows, moved = _table(x), 0.0, [0.0] * points.shape[2]
    for corner in _corners(x.shape, points, image, curve, padding, align_corners):
        if needs[0]:
            rows = rows + index_add(np.expand_dims(corner.weight(), -1) * dy, corner.row, axis=0, size=len(table))
        if needs[1]:
            along = np.sum(dy * np.take(table, corner.row, axis=0), axis=-1)
            slopes = (tap.slope * corner.weight(without=i) for i, tap in enumerate(corner.taps))
            moved = [m + along * slope for m, slope in zip(moved, slopes, strict=True)]
    return _images(rows, x.shape) if needs[0] else None, np.stack(moved, -1) if needs[1] else None, None


sample = op("sample", _sample, _sample_vjp)
