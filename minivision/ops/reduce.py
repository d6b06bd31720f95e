"""Sums, means, extremes along axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..op import op
from ..tape import NUMPY
from .elementwise import raw

Axis = int | tuple[int, ...] | None


def expand_like(dy: Any, shape: tuple[int, ...], axis: Axis, keepdims: bool) -> Any:
    """A reduced array spread over the axes it was reduced along: the VJP of a sum, and its twin."""
    if not keepdims:
        axes = range(len(shape)) if axis is None else [a % len(shape) for a in ((axis,) if isinstance(axis, int) else axis)]
        dy = np.reshape(dy, tuple(1 if i in axes else n for i, n in enumerate(shape)))
    return np.broadcast_to(dy, shape)


def count_along(shape: tuple[int, ...], axis: Axis) -> int:
    """How many elements one reduced value is made of."""
    axes = range(len(shape)) if axis is None else (axis,) if isinstance(axis, int) else axis
    return int(np.prod([shape[a] for a in axes], dtype=np.int64))


def _sum(x, *, axis=None, keepdims=False):
    """y = sum_i x_i

    shapes: x -> y;  keeps: shape
    """
    return np.sum(x, axis=axis, keepdims=keepdims), (x.shape,)


def _sum_vjp(dy, kept, *, axis=None, keepdims=False):
    """dx_i = dy"""
    return expand_like(dy, kept[0], axis, keepdims)


def _mean(x, *, axis=None, keepdims=False):
    """y = 1/n sum_i x_i

    shapes: x -> y;  keeps: shape
    """
    return np.sum(x, axis=axis, keepdims=keepdims) / float(count_along(x.shape, axis)), (x.shape,)


def _mean_vjp(dy, kept, *, axis=None, keepdims=False):
    """dx_i = dy / n"""
    return expand_like(dy / float(count_along(kept[0], axis)), kept[0], axis, keepdims)


def _max(x, *, axis=None, keepdims=False):
    """y = max_i x_i

    shapes: x -> y;  keeps: x, y
    """
    y = np.max(x, axis=axis, keepdims=keepdims)
    return y, (x, y)


def _min(x, *, axis=None, keepdims=False):
    """y = min_i x_i

    shapes: x -> y;  keeps: x, y
    """
    y = np.min(x, axis=axis, keepdims=keepdims)
    return y, (x, y)


def _extreme_vjp(dy, kept, *, axis=None, keepdims=False):
    """dx_i = dy [x_i = y] / #{j : x_j = y}"""
    x, y = kept
    hit = (raw(x) == expand_like(raw(y), x.shape, axis, keepdims)).astype(dy.dtype)
    return expand_like(dy, x.shape, axis, keepdims) * (hit / np.sum(hit, axis=axis, keepdims=True))


sum = op("sum", _sum, _sum_vjp)
mean = op("mean", _mean, _mean_vjp)
max = op("max", _max, _extreme_vjp)
min = op("min", _min, _extreme_vjp)

for _function, _op in {np.sum: sum, np.mean: mean, np.max: max, np.min: min}.items():
    NUMPY[_function] = lambda x, axis=None, keepdims=False, _op=_op: _op(x, axis=axis, keepdims=keepdims)


def var(x: Any, axis: Axis = None, correction: int = 1, keepdims: bool = False) -> Any:
    """The variance sum (x - mean)^2 / (n - correction), from differences: no cancellation."""
    centred = x - np.mean(x, axis=axis, keepdims=True)
    return np.sum(centred * centred, axis=axis, keepdims=keepdims) / float(count_along(x.shape, axis) - correction)
