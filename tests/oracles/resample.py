"""Resampling by loops over the entries of a matrix; sampling by loops over all pixels of an image, near the point or not."""

from __future__ import annotations

import itertools
import math

import numpy as np

from minivision.ops.taps import Taps

from . import Oracle


def resample_call(rng):
    shape = rng.integers(1, 6, rng.integers(1, 5))
    axis, new, count = int(rng.integers(-len(shape), len(shape))), int(rng.integers(1, 7)), int(rng.integers(1, 5))
    weights = rng.standard_normal((new, count)) * (rng.random((new, count)) < 0.8)  # some are no entries
    taps = Taps(rng.integers(0, shape[axis], (new, count)), weights, int(shape[axis]))
    return (rng.standard_normal(shape),), {"axis": axis, "taps": taps}


def resample_answer(x, *, axis, taps):
    lines = np.moveaxis(x, axis, -1)
    y = np.zeros((*lines.shape[:-1], len(taps.index)))
    for place in np.ndindex(lines.shape[:-1]):
        for i, (index, weights) in enumerate(zip(taps.index.tolist(), taps.weights.tolist(), strict=True)):
            y[place][i] = math.fsum(w * float(lines[place][j]) for j, w in zip(index, weights, strict=True))
    return np.moveaxis(y, -1, axis)


def sample_call(rng):
    axes, points = int(rng.integers(1, 4)), int(rng.integers(0, 4))
    sizes = [int(n) for n in rng.integers(1, 5, axes)]
    images, rows = int(rng.integers(1, 3)), int(rng.integers(1, 3))
    x = rng.standard_normal((images, int(rng.integers(1, 3)), *sizes))
    where = rng.uniform(-3.0, 7.0, (rows, points, axes))
    where = np.where(rng.random(where.shape) < 0.2, np.rint(where), where)  # some on pixels
    curve = str(rng.choice(["linear", "nearest", "cubic"])) if axes < 3 else "linear"
    attributes = {"padding": str(rng.choice(["zeros", "border", "reflection"])), "align_corners": bool(rng.integers(2))}
    return (x, where, rng.integers(0, images, rows)), {"curve": curve, **attributes}


def keys(t, a=-0.75):
    """Cubic convolution, from the conditions that define it: the value at distance t."""
    t = abs(t)
    if t >= 2:
        return 0.0
    return (a + 2) * t**3 - (a + 3) * t**2 + 1 if t <= 1 else a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a


CURVES = {
    "linear": lambda p, q: max(0.0, 1.0 - abs(p - q)),
    "cubic": lambda p, q: keys(p - q),
    "nearest": lambda p, q: float(round(p) == q),  # Python rounds halves to even
}


def pixel(q, size, padding, align_corners):
    """The number of the pixel that stands at the whole place q, None if none does."""
    if padding == "zeros":
        return q if 0 <= q < size else None
    if padding == "border":
        return max(0, min(q, size - 1))
    period = max(1, 2 * (size - 1)) if align_corners else 2 * size
    q %= period
    return min(q, period - q) if align_corners else min(q, period - 1 - q)


def sample_answer(x, points, image, *, curve, padding, align_corners):
    y = np.zeros((*points.shape[:2], x.shape[1]))
    weigh, sizes = CURVES[curve], x.shape[2:]
    for m, p in np.ndindex(points.shape[:2]):
        around = []  # for each axis (pixel, weight) of every place near
        for at, size in zip(points[m, p].tolist(), sizes, strict=True):
            places = range(math.floor(at) - 2, math.floor(at) + 4)
            numbered = [(pixel(q, size, padding, align_corners), weigh(at, q)) for q in places]
            around.append([(q, w) for q, w in numbered if q is not None and w != 0.0])
        for corner in itertools.product(*around):
            place, weights = zip(*corner, strict=True)
            y[m, p] += math.prod(weights) * x[(image[m], slice(None), *place)]
    return y


ORACLES = {
    "resample": Oracle(resample_call, resample_answer),
    "sample": Oracle(sample_call, sample_answer),
}
