"""Sums, products, means, variances, extremes along axes."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from ..op import op
from ..tape import NUMPY
from .elementwise import raw
from .scan import before, reverse

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


def _prod(x, *, axis=None, keepdims=False):
    """y = prod_i x_i

    shapes: x -> y;  keeps: x
    """
    return np.prod(x, axis=axis, keepdims=keepdims), (x,)


def _prod_vjp(dy, kept, *, axis=None, keepdims=False):
    """dx_i = dy prod_{j < i} x_j prod_{j > i} x_j: no division, so that zeros are no exception"""
    (x,) = kept
    line, along = (np.reshape(x, (-1,)), 0) if axis is None else (x, axis)
    others = before(line, along) * reverse(before(reverse(line, along), along), along)
    return expand_like(dy, x.shape, axis, keepdims) * np.reshape(others, x.shape)


def freedom(shape: tuple[int, ...], axis: Axis, correction: float) -> float:
    """n - correction, and never below 0: what a sum of squares is divided by."""
    return float(builtins.max(count_along(shape, axis) - correction, 0.0))


def _var(x, *, axis=None, correction=1, keepdims=False):
    """y = sum_i (x_i - mean x)^2 / (n - correction), from differences: nothing cancels

    shapes: x -> y;  keeps: x
    """
    centred = x - np.mean(x, axis=axis, keepdims=True)
    return np.sum(centred * centred, axis=axis, keepdims=keepdims) / freedom(x.shape, axis, correction), (x,)


def _var_vjp(dy, kept, *, axis=None, correction=1, keepdims=False):
    """dx_i = dy 2 (x_i - mean x) / (n - correction)"""
    (x,) = kept
    centred = x - np.mean(x, axis=axis, keepdims=True)
    return expand_like(2.0 * dy / freedom(x.shape, axis, correction), x.shape, axis, keepdims) * centred


def _std(x, *, axis=None, correction=1, keepdims=False):
    """y = sqrt(var x)

    shapes: x -> y;  keeps: x, y
    """
    y = np.sqrt(_var(x, axis=axis, correction=correction, keepdims=keepdims)[0])
    return y, (x, y)


def _std_vjp(dy, kept, *, axis=None, correction=1, keepdims=False):
    """dx_i = dy (x_i - mean x) / ((n - correction) y), 0 where y = 0"""
    x, y = kept
    centred = x - np.mean(x, axis=axis, keepdims=True)
    scale = dy / (np.where(raw(y) == 0, 1.0, y) * freedom(x.shape, axis, correction))
    return expand_like(scale, x.shape, axis, keepdims) * centred


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
    """dx_i = dy [x_i = y] / #{j : x_j = y}, where NaN is equal to NaN"""
    x, y = kept
    hit = same(raw(x), expand_like(raw(y), x.shape, axis, keepdims)).astype(dy.dtype)
    return expand_like(dy, x.shape, axis, keepdims) * (hit / np.sum(hit, axis=axis, keepdims=True))


def same(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where x = y, NaN being equal to NaN."""
    return (x == y) | (np.isnan(x) & np.isnan(y))


sum = op("sum", _sum, _sum_vjp)
mean = op("mean", _mean, _mean_vjp)
prod = op("prod", _prod, _prod_vjp)
var = op("var", _var, _var_vjp)
std = op("std", _std, _std_vjp)
max = op("max", _max, _extreme_vjp)
min = op("min", _min, _extreme_vjp)

for _function, _op in {np.sum: sum, np.mean: mean, np.prod: prod, np.max: max, np.min: min}.items():
    NUMPY[_function] = lambda x, axis=None, keepdims=False, _op=_op: _op(x, axis=axis, keepdims=keepdims)
for _function, _op in {np.var: var, np.std: std}.items():
    NUMPY[_function] = lambda x, axis=None, ddof=0, keepdims=False, _op=_op: _op(x, axis=axis, correction=ddof, keepdims=keepdims)
