"""Order: where the elements stand when they are sorted. The values follow by gathering, which has the gradient."""

from __future__ import annotations

import numpy as np

from ..op import op
from .elementwise import raw
from .reduce import same


def sorted_indices(x: np.ndarray, axis: int, descending: bool = False) -> np.ndarray:
    """The indices that sort x along an axis; equal elements stay in their order, NaN counts as the largest."""
    if not descending:
        return np.argsort(x, axis, kind="stable")
    return x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)


def top_indices(x: np.ndarray, k: int, axis: int, largest: bool = True) -> np.ndarray:
    """The indices of the k largest (or least) elements along an axis, the most extreme first.

    A partial sort finds them, and only those k are sorted. Which ones of equal elements are taken at the edge is open.
    """
    n = x.shape[axis]
    if k < n:
        split = np.argpartition(x, min(n - k, n - 1) if largest else k, axis)
        chosen = np.sort(np.take(split, range(n - k, n) if largest else range(k), axis), axis)
    else:
        chosen = np.broadcast_to(np.expand_dims(np.arange(n), tuple(range(1, x.ndim - axis))), x.shape)
    order = sorted_indices(np.take_along_axis(x, chosen, axis), axis, descending=largest)
    return np.take_along_axis(chosen, order, axis)


def middle_indices(x: np.ndarray, axis: int) -> np.ndarray:
    """The index, along an axis that is kept with size 1, of the lower median; of the first NaN where there is one."""
    middle = np.take(sorted_indices(x, axis), [(x.shape[axis] - 1) // 2], axis)
    nan = np.isnan(x)
    return np.where(nan.any(axis, keepdims=True), np.argmax(nan, axis, keepdims=True), middle)


def _median(x):
    """y = the lower median of all elements, NaN where one of them is or where there is none

    shapes: x -> y;  keeps: x, y
    """
    line = np.reshape(x, (-1,))
    y = line[int(middle_indices(raw(line), 0)[0])] if line.shape[0] else np.sum(line) * np.nan
    return y, (x, y)


def _median_vjp(dy, kept):
    """dx_i = dy [x_i = y] / #{j : x_j = y}"""
    x, y = kept
    hit = same(raw(x), raw(y)).astype(dy.dtype)
    return dy * (hit / np.maximum(np.sum(hit), 1.0))


median = op("median", _median, _median_vjp)
