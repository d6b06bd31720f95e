"""Running sums, running products, and the linear recurrence that both are cases of."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..op import op
from ..tape import NUMPY


def along(x: Any, axis: int, part: Any) -> Any:
    """x[.., part, ..] at an axis."""
    return x[(slice(None),) * (axis % x.ndim) + (part,)]


def reverse(x: Any, axis: int) -> Any:
    """The last first."""
    return along(x, axis, slice(None, None, -1))


def delayed(x: Any, axis: int, first: float) -> Any:
    """first, x_0, x_1, .., without the last of them."""
    return np.concatenate([first * np.ones_like(along(x, axis, slice(0, 1))), along(x, axis, slice(0, -1))], axis)


def before(x: Any, axis: int) -> Any:
    """prod_{j < i} x_j, which is 1 for the first."""
    return np.cumprod(delayed(x, axis, 1.0), axis)


def from_behind(a: Any, dy: Any, axis: int) -> Any:
    """g_i = dy_i + a_{i+1} g_{i+1}, from the last to the first: what reaches step i from all that came after it."""
    return reverse(recurrence(delayed(reverse(a, axis), axis, 0.0), reverse(dy, axis), axis=axis), axis)


def _cumsum(x, *, axis):
    """y_i = sum_{j <= i} x_j

    shapes: x -> y;  keeps: nothing
    """
    return np.cumsum(x, axis), ()


def _cumsum_vjp(dy, kept, *, axis):
    """dx_i = sum_{j >= i} dy_j"""
    return reverse(np.cumsum(reverse(dy, axis), axis), axis)


def _cumprod(x, *, axis):
    """y_i = prod_{j <= i} x_j

    shapes: x -> y;  keeps: x
    """
    return np.cumprod(x, axis), (x,)


def _cumprod_vjp(dy, kept, *, axis):
    """dx_i = (prod_{j < i} x_j) g_i,  g_i = dy_i + x_{i+1} g_{i+1}: no division, so that zeros are no exception"""
    (x,) = kept
    return before(x, axis) * from_behind(x, dy, axis)


def _recurrence(a, b, *, axis=-1):
    """h_i = a_i h_{i-1} + b_i,  h_{-1} = 0

    shapes: a(*), b(*) -> h(*);  keeps: a, h
    """
    h = [along(b, axis, slice(0, 1))]
    for i in range(1, b.shape[axis]):
        h.append(along(a, axis, slice(i, i + 1)) * h[-1] + along(b, axis, slice(i, i + 1)))
    y = np.concatenate(h, axis)
    return y, (a, y)


def _recurrence_vjp(dy, kept, *, axis=-1):
    """db_i = g_i,  da_i = g_i h_{i-1},  g_i = dy_i + a_{i+1} g_{i+1}"""
    a, h = kept
    g = from_behind(a, dy, axis)
    return g * delayed(h, axis, 0.0), g


cumsum = op("cumsum", _cumsum, _cumsum_vjp)
cumprod = op("cumprod", _cumprod, _cumprod_vjp)
recurrence = op("recurrence", _recurrence, _recurrence_vjp)
NUMPY[np.cumsum] = lambda x, axis: cumsum(x, axis=axis)
NUMPY[np.cumprod] = lambda x, axis: cumprod(x, axis=axis)
