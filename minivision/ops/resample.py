"""Resampling along one axis: the product with a sparse matrix, whose VJP is the product with its transpose."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ShapeError
from ..op import op


def _weighted(part: Any, weights: np.ndarray, axis: int) -> Any:
    """part[.., i, ..] times weights[i], and 0 where the weight is 0, be part NaN; as it is where all weights are 1."""
    if np.all(weights == 1.0):
        return part
    column = np.reshape(weights, (-1, *(1,) * (part.ndim - 1 - axis % part.ndim)))
    product = part * column.astype(part.dtype)
    return product if np.all(column) else np.where(column != 0.0, product, 0.0)


def _resample(x, *, axis, taps):
    """y[.., i, ..] = sum_t w[i, t] x[.., k[i, t], ..] along an axis, i.e. y = W x

    (k, w) taps: the columns and the values of the entries in row i of the matrix W (M, N). What has no entry is not
    read: NaN and infinity stay with those that read them.

    shapes: x -> y;  keeps: nothing
    """
    if x.shape[axis] != taps.size:
        problem = f"x has {x.shape[axis]} elements at axis {axis}, the taps are for {taps.size}"
        raise ShapeError("resample", problem, f"x {x.shape}, taps for {taps.size} -> {len(taps.index)}")
    first, *more = (_weighted(np.take(x, index, axis=axis), weights, axis) for index, weights in taps.columns())
    return sum(more, first), ()


def _resample_vjp(dy, kept, *, axis, taps):
    """dx = W^T dy"""
    return resample(dy, axis=axis, taps=taps.transposed)


resample = op("resample", _resample, _resample_vjp)
