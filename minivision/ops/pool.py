"""Pooling: the largest value or the mean of each window of an image."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels
from ..errors import DtypeError
from ..kernels.pool_windows import Both, averaging, pixels, sliding, taken_dtype
from ..op import op
from .elementwise import raw
from .indexing import gather, scatter_add


def _check_floating(operation: str, x: Any, why: str) -> None:
    if x.dtype.kind not in "fc":
        raise DtypeError(f"{operation}: x should be of floating type, got {x.dtype}: {why}; convert it with .float()")


def _stretches(low: np.ndarray, high: np.ndarray, step: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """low_i, low_i + step, ... for each i, as many as the longest stretch has (P, K), and which of them lie below high_i."""
    longest = int(np.max(-((low - high) // step)))
    places = low[:, None] + step * np.arange(max(longest, 1))
    return places, places < high[:, None]


def _spread(x: Any, axis: int, places: np.ndarray) -> Any:
    """x with an axis replaced by the two of places (P, K); what lies behind its end is some element of it."""
    return x[(slice(None),) * axis + (np.minimum(places, x.shape[axis] - 1),)]


# --------------------------------------------------------------------------------------------------------------- means


def _sums(x: Any, axis: int, low: np.ndarray, high: np.ndarray) -> Any:
    """y_i = x_low(i) + ... + x_(high(i) - 1) along an axis"""
    places, inside = _stretches(low, high)
    inside = inside.reshape(inside.shape + (1,) * (x.ndim - axis - 1))
    return np.sum(np.where(inside, _spread(x, axis, places), 0.0), axis=axis + 1)


def means(x: Any, windows: Both, counts: np.ndarray) -> Any:
    """x(N, C, H, W) -> (N, C, P, Q): the sums of the windows, down and then across, over their counts (P, Q)."""
    _check_floating("average pooling", x, "a mean of integers is no integer")
    down, across = windows
    return _sums(_sums(x, 2, down.low, down.high), 3, across.low, across.high) / counts.astype(x.dtype)


def shares(dy: Any, windows: Both, counts: np.ndarray) -> Any:
    """The VJP of means: each pixel gets dy / count of every window that holds it, and those are neighbours."""
    down, across = windows
    dy = dy / counts.astype(dy.dtype)
    return _sums(_sums(dy, 3, across.first, across.last), 2, down.first, down.last)


def _avg_pool2d(x, *, kernel, stride, padding=(0, 0), ceil_mode=False, count_include_pad=True, divisor=None):
    """y[n, c, p, q] = 1/k sum_rs x[n, c, p u + r - t, q v + s - l]

    (u, v) stride, (t, l) padding. k counts the window's elements in the padded image, in the image alone where
    count_include_pad is false, or is the given divisor.

    shapes: x(N, C, H, W) -> y(N, C, P, Q);  keeps: (H, W)
    """
    size = x.shape[2:]
    return means(x, *averaging(size, kernel, stride, padding, ceil_mode, count_include_pad, divisor)), (size,)


def _avg_pool2d_vjp(dy, kept, *, kernel, stride, padding=(0, 0), ceil_mode=False, count_include_pad=True, divisor=None):
    """dx[h, w] = sum of dy[p, q] / k[p, q] over the windows that hold h, w"""
    return shares(dy, *averaging(*kept, kernel, stride, padding, ceil_mode, count_include_pad, divisor))


# ------------------------------------------------------------------------------------------------------------- maxima


def largest(x: Any, windows: Both) -> tuple[Any, np.ndarray]:
    """x(N, C, H, W) -> y(N, C, P, Q), the largest values, and where in its window each stands (N, P, Q, C).

    That is a * reach + b, a pixels down and b across from where the window begins (reach: of the windows across), or -1
    in a window without pixels, whose y is -inf. Of equal values the first, in reading order; NaN is larger than all.
    """
    _check_floating("max pooling", x, "padding is -inf")
    down, across = windows
    rows, in_rows = _stretches(down.low, down.high, down.step)
    columns, in_columns = _stretches(across.low, across.high, across.step)
    values = np.transpose(_spread(_spread(x, 3, columns), 2, rows), (0, 2, 4, 3, 5, 1))  # (N, P, Q, K, L, C)
    n, p, q, k, l, c = values.shape
    inside = (in_rows[:, None, :, None] & in_columns[:, None]).reshape(p, q, k * l, 1)
    values = np.where(inside, np.reshape(values, (n, p, q, k * l, c)), -np.inf)
    first = _first_largest(raw(values), inside)  # (N, P, Q, 1, C)
    a, b = (rows - down.begin[:, None])[:, None, :, None], (columns - across.begin[:, None])[:, None]
    offsets = np.where(inside, (a * across.reach + b).reshape(p, q, k * l, 1), -1)
    taken: np.ndarray = np.take_along_axis(offsets[None], first, 3)[:, :, :, 0].astype(taken_dtype(windows))
    return np.transpose(np.squeeze(gather(values, first, axis=3), 3), (0, 3, 1, 2)), taken


def _first_largest(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(N, P, Q, K, C) -> (N, P, Q, 1, C): the first of the K places inside the image with the largest value, or with NaN."""
    top = np.max(values, axis=3, keepdims=True)
    return np.expand_dims(np.argmax(inside & ((values == top) | np.isnan(values)), axis=3), 3)


def back_to(dy: Any, taken: np.ndarray, windows: Both) -> Any:
    """The VJP of largest: dy, added up where the largest values stand."""
    (n, c, p, q), (height, width) = dy.shape, [along.size for along in windows]
    flat = pixels(raw(taken), windows).reshape(n, p * q, c)
    rows = np.where(flat < 0, 0.0, np.reshape(np.transpose(dy, (0, 2, 3, 1)), flat.shape))
    dx = scatter_add(rows, np.maximum(flat, 0), axis=1, size=height * width)
    return np.transpose(np.reshape(dx, (n, height, width, c)), (0, 3, 1, 2))


def _max_pool2d(x, *, kernel, stride, padding=(0, 0), dilation=(1, 1), ceil_mode=False, seen=None):
    """y[n, c, p, q] = max_rs x[n, c, p u + r d - t, q v + s e - l] over the taps inside the image, NaN if one is

    (u, v) stride, (d, e) dilation, (t, l) padding. Of equal values the first, in reading order, is the one taken.
    seen: a list that receives the pixels h W + w that were taken (N, P, Q, C).

    shapes: x(N, C, H, W) -> y(N, C, P, Q);  keeps: where in its window the one taken stands (N, P, Q, C), (H, W)
    """
    windows = sliding("max_pool2d", x.shape[2:], kernel, stride, padding, dilation, ceil_mode)
    y, taken = largest(x, windows)
    if seen is not None:
        seen[:] = [pixels(taken, windows)]
    return y, (taken, x.shape[2:])


def _max_pool2d_vjp(dy, kept, *, kernel, stride, padding=(0, 0), dilation=(1, 1), ceil_mode=False, seen=None):
    """dx[h, w] = sum of dy[p, q] over the windows whose largest value stands at h, w"""
    taken, size = kept
    return back_to(dy, taken, sliding("max_pool2d", size, kernel, stride, padding, dilation, ceil_mode))


avg_pool2d = op("avg_pool2d", _avg_pool2d, _avg_pool2d_vjp, kernel=kernels.avg_pool2d)
max_pool2d = op("max_pool2d", _max_pool2d, _max_pool2d_vjp, kernel=kernels.max_pool2d)
