"""Resampling: more and fewer elements, each kind of weights, entries of one place, elements that nothing reads."""

from __future__ import annotations

import numpy as np

from ...ops.resample import resample
from ...ops.taps import Taps, antialiased, bin_means, cubic_convolution, linear, nearest
from ..case import Case, Mutant, normal

SPARSE = Taps(np.array([[2, 2], [0, 3], [3, 1]]), np.array([[0.5, 2.0], [0.0, -1.0], [1.5, 0.25]]), 4)

# label -> shape, axis, taps
RESAMPLED = {
    "copies": ((2, 3), -1, nearest(6, 3, 0.5, False)),
    "copies, most left out": ((5, 2), 0, nearest(2, 5, 2.5, True)),
    "between two": ((2, 3, 2), 1, linear(5, 3, 0.6, False)),
    "corners in place": ((3, 2), 0, linear(4, 3, 2 / 3, True)),
    "between four, the ends repeated": ((2, 3), 1, cubic_convolution(5, 3, 0.6, False)),
    "averaged by a hat": ((7, 2), -2, antialiased(3, 7, 7 / 3, "linear")),
    "averaged by a cubic": ((1, 6, 1), 1, antialiased(3, 6, 2.0, "cubic")),
    "bins of two lengths": ((2, 5), 1, bin_means(3, 5)),
    "one to one": ((2, 1), 1, linear(1, 1, 1.0, False)),
    "a place twice, and no entry": ((4, 2), 0, SPARSE),
    "only one axis": ((4,), 0, linear(3, 4, 4 / 3, False)),
    "no elements beside": ((0, 4), 1, linear(3, 4, 4 / 3, False)),
}

CASES = {
    "resample": [Case(label, normal(shape), {"axis": axis, "taps": taps}) for label, (shape, axis, taps) in RESAMPLED.items()],
}


def _overwritten(dy, kept, *, axis, taps):
    """The last entry of a column instead of the sum of all."""
    dx = np.zeros((taps.size, *np.moveaxis(dy, axis, 0).shape[1:]))
    for index, weights in taps.columns():
        dx[index] = weights.reshape(-1, *(1,) * (dy.ndim - 1)) * np.moveaxis(dy, axis, 0)
    return np.moveaxis(dx, 0, axis)


def _unweighted(dy, kept, *, axis, taps):
    there = Taps(taps.index, (taps.weights != 0.0).astype(np.float64), taps.size)
    return resample(dy, axis=axis, taps=there.transposed)


def _turned(dy, kept, *, axis, taps):
    return resample(np.flip(dy, axis), axis=axis, taps=taps.transposed)


def _rows_that_sum_to_one(dy, kept, *, axis, taps):
    """As if the transpose interpolated too."""
    sums = taps.transposed.weights.sum(1, keepdims=True)
    evened = Taps(taps.transposed.index, taps.transposed.weights / np.where(sums == 0.0, 1.0, sums), len(taps.index))
    return resample(dy, axis=axis, taps=evened)


MUTANTS = {
    "resample": [
        Mutant("entries of one column overwrite each other", _overwritten),
        Mutant("the weights forgotten", _unweighted),
        Mutant("from the last to the first", _turned),
        Mutant("the transpose's rows made to sum to 1", _rows_that_sum_to_one),
    ],
}
