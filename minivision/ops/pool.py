"""Pooling: the largest value or the mean of each window of an image."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DtypeError, ShapeError
from ..kernels.window import Pair, axes
from ..op import op
from .conv import ONE, col2im, im2col
from .elementwise import raw
from .shape import gather, put

Padding = tuple[Pair, Pair]


def cover(operation: str, size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool) -> Padding:
    """The padding ((top, bottom), (left, right)) of the windows; ceil_mode adds a last window that hangs over the edge.

    That window is left out where it would begin in the padding behind the image, as in torch.
    """
    around = []
    for n, k, step, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        reach, behind = d * (k - 1) + 1, p
        if p > k // 2:
            raise ValueError(f"{operation}: padding {padding} is more than half of the kernel {kernel}")
        if ceil_mode and step > 0:
            last = -(-(n + 2 * p - reach) // step) * step  # where it begins on the padded axis
            last -= step if last >= n + p else 0
            behind = max(p, last + reach - n - p)
        around.append((p, behind))
    return around[0], around[1]


def _max_pool2d(x, *, kernel, stride, padding=(0, 0), dilation=ONE, ceil_mode=False):
    """y[n, c, p, q] = max_rs x[n, c, p u + r d - t, q v + s e - l] over the taps inside the image, NaN if one is

    (u, v) stride, (d, e) dilation, (t, l) padding. Of equal values the first, in reading order, is the one taken.

    shapes: x(N, C, H, W) -> y(N, C, P, Q);  keeps: which of the R S taps was taken (N, P, Q, 1, C), (H, W)
    """
    if x.dtype.kind != "f":
        raise DtypeError(f"max_pool2d: x should be of floating type, got {x.dtype}: padding is -inf; convert it with .float()")
    windows = {
        "stride": stride,
        "dilation": dilation,
        "padding": cover("max_pool2d", x.shape[2:], kernel, stride, padding, dilation, ceil_mode),
    }
    cols = im2col(x, kernel=kernel, **windows)
    n, p, q, r, s, c = cols.shape
    inside = im2col(np.ones((1, 1, *x.shape[2:])), kernel=kernel, **windows).reshape(1, p, q, r * s, 1) > 0
    cols = np.where(inside, np.reshape(cols, (n, p, q, r * s, c)), np.asarray(-np.inf, x.dtype))
    taken = _first_largest(raw(cols), inside)
    y = np.squeeze(gather(cols, taken, axis=3), 3)
    return np.transpose(y, (0, 3, 1, 2)), (taken, x.shape[2:])


def _first_largest(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(N, P, Q, K, C) -> (N, P, Q, 1, C): the first of the K places inside the image with the largest value, or with NaN."""
    top = np.max(values, axis=3, keepdims=True)
    return np.expand_dims(np.argmax(inside & ((values == top) | np.isnan(values)), axis=3), 3)


def _max_pool2d_vjp(dy, kept, *, kernel, stride, padding=(0, 0), dilation=ONE, ceil_mode=False):
    """dx = col2im(dy at the tap that was taken, 0 at the others)"""
    taken, size = kept
    n, c, p, q = dy.shape
    taps = np.arange(kernel[0] * kernel[1]).reshape(-1, 1)
    dcols = np.where(raw(taken) == taps, np.expand_dims(np.transpose(dy, (0, 2, 3, 1)), 3), 0.0)  # (N, P, Q, R S, C)
    dcols = np.reshape(dcols, (n, p, q, *kernel, c))
    return col2im(
        dcols,
        size=size,
        stride=stride,
        padding=cover("max_pool2d", size, kernel, stride, padding, dilation, ceil_mode),
        dilation=dilation,
    )


def _counts(
    size: Pair, kernel: Pair, stride: Pair, padding: Pair, ceil_mode: bool, count_include_pad: bool, divisor: int | None
) -> Any:
    """What each window (P, Q) is divided by: its elements inside the image, with the given padding or without."""
    around = cover("avg_pool2d", size, kernel, stride, padding, ONE, ceil_mode)
    counts = []
    for axis, p in zip(axes("avg_pool2d", size, kernel, stride, around, ONE), padding, strict=True):
        starts = np.arange(axis.windows) * axis.stride - p
        low, high = (-p, axis.size + p) if count_include_pad else (0, axis.size)
        counts.append(np.minimum(starts + axis.taps, high) - np.maximum(starts, low))
    return np.full((len(counts[0]), len(counts[1])), divisor) if divisor else np.multiply.outer(*counts)


def _avg_pool2d(x, *, kernel, stride, padding=(0, 0), ceil_mode=False, count_include_pad=True, divisor=None):
    """y[n, c, p, q] = 1/k sum_rs x[n, c, p u + r - t, q v + s - l]

    (u, v) stride, (t, l) padding. k counts the window's elements in the padded image, in the image alone where
    count_include_pad is false, or is the given divisor.

    shapes: x(N, C, H, W) -> y(N, C, P, Q);  keeps: (H, W)
    """
    size = x.shape[2:]
    cols = im2col(x, kernel=kernel, stride=stride, padding=cover("avg_pool2d", size, kernel, stride, padding, ONE, ceil_mode))
    counts = _counts(size, kernel, stride, padding, ceil_mode, count_include_pad, divisor).astype(x.dtype)
    return np.transpose(np.sum(cols, axis=(3, 4)), (0, 3, 1, 2)) / counts, (size,)


def _avg_pool2d_vjp(dy, kept, *, kernel, stride, padding=(0, 0), ceil_mode=False, count_include_pad=True, divisor=None):
    """dx = col2im(dy / k at every tap)"""
    (size,) = kept
    n, c, p, q = dy.shape
    counts = _counts(size, kernel, stride, padding, ceil_mode, count_include_pad, divisor).astype(dy.dtype)
    share = np.reshape(np.transpose(dy / counts, (0, 2, 3, 1)), (n, p, q, 1, 1, c))
    dcols = np.broadcast_to(share, (n, p, q, *kernel, c))
    return col2im(dcols, size=size, stride=stride, padding=cover("avg_pool2d", size, kernel, stride, padding, ONE, ceil_mode))


def bins(size: int, count: int) -> list[slice]:
    """`count` stretches that cover an axis, each floor(i size / count) to ceil((i + 1) size / count); they may overlap."""
    return [slice(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def _along(x: Any, axis: int, part: slice) -> tuple[slice, ...]:
    """The index of a stretch of one axis of x."""
    return tuple(part if i == axis else slice(None) for i in range(x.ndim))


def _bin_means(x: Any, axis: int, count: int) -> Any:
    """The means of x over `count` bins of an axis."""
    parts = [x[_along(x, axis, part)] for part in bins(x.shape[axis], count)]
    return np.concatenate([np.mean(part, axis=axis, keepdims=True) for part in parts], axis=axis)


def _bin_shares(dy: Any, axis: int, size: int) -> Any:
    """The VJP of _bin_means: each element gets dy / n of the bins (of n elements) that it lies in."""
    shape, dx = list(dy.shape), 0.0
    for i, part in enumerate(bins(size, dy.shape[axis])):
        shape[axis] = part.stop - part.start
        share = np.broadcast_to(dy[_along(dy, axis, slice(i, i + 1))] / float(shape[axis]), tuple(shape))
        shape[axis] = size
        dx = dx + put(share, index=_along(dy, axis, part), shape=tuple(shape))
    return dx


def _check_bins(x: Any, size: Pair) -> None:
    if min(size) < 1:
        raise ValueError(f"adaptive_avg_pool2d: the size must be at least 1 x 1, got {size}")
    if 0 in x.shape[2:]:
        problem = f"an image of {x.shape[2]} x {x.shape[3]} has nothing to take a mean of"
        raise ShapeError("adaptive_avg_pool2d", problem, f"x {x.shape}", "the image vanished in the layers before")


def _adaptive_avg_pool2d(x, *, size):
    """y[n, c, p, q] = mean of x[n, c, h, w] over the bin p of the rows and q of the columns

    (P, Q) size; bin p of H rows is floor(p H / P) .. ceil((p + 1) H / P) - 1. The mean over rows, then over columns.

    shapes: x(N, C, H, W) -> y(N, C, P, Q);  keeps: (H, W)
    """
    _check_bins(x, size)
    return _bin_means(_bin_means(x, 2, size[0]), 3, size[1]), (x.shape[2:],)


def _adaptive_avg_pool2d_vjp(dy, kept, *, size):
    """dx[h, w] = sum of dy[p, q] / (elements of bin p, q) over the bins that hold h, w"""
    height, width = kept[0]
    return _bin_shares(_bin_shares(dy, 3, width), 2, height)


max_pool2d = op("max_pool2d", _max_pool2d, _max_pool2d_vjp)
avg_pool2d = op("avg_pool2d", _avg_pool2d, _avg_pool2d_vjp)
adaptive_avg_pool2d = op("adaptive_avg_pool2d", _adaptive_avg_pool2d, _adaptive_avg_pool2d_vjp)
