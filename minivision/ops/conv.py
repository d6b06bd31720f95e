"""Convolution and its transpose: im2col, then one matrix product per group; or the product, then col2im.

im2col copies each window of an image into a row of a matrix; col2im adds such rows back where they came from. The two
are each other's VJP, and with the matrix product they make every derivative of a convolution. Both take images of one,
two or three axes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .. import kernels
from ..errors import ShapeError
from ..kernels.window import Axis, Pair, Sizes, axes, check_groups, check_memory, check_transposed, check_windows
from ..op import op
from .elementwise import raw
from .indexing import put
from .matmul import matmul, transpose_last

ONE: Pair = (1, 1)
NONE: tuple[Pair, Pair] = ((0, 0), (0, 0))


def _padded(images: np.ndarray, windows: tuple[Axis, ...]) -> np.ndarray:
    """(N, *sizes, C) with zeros around it, as the axes say."""
    padded = np.zeros((len(images), *(axis.padded for axis in windows), images.shape[-1]), images.dtype)
    inside = (slice(None), *(axis.inside for axis in windows))
    padded[inside] = images
    return padded


def _im2col(x, *, kernel, stride=ONE, padding=NONE, dilation=ONE):
    """y[n, p, q, r, s, c] = x[n, c, p u + r d - t, q v + s e - l], 0 outside the image

    (u, v) stride, (d, e) dilation, ((t, bottom), (l, right)) padding, (R, S) kernel: x (N, C, H, W) -> y (N, P, Q, R, S, C),
    and likewise with one axis or three.

    shapes: x -> y;  keeps: H, W
    """
    if x.ndim != len(kernel) + 2:
        raise ShapeError("im2col", f"x should have {len(kernel) + 2} axes", f"x {x.shape}, kernel {kernel}", "x is (N, C, H, W)")
    windows = axes("im2col", x.shape[2:], kernel, stride, padding, dilation)
    padded = (*x.shape[:2], *(axis.padded for axis in windows))
    for shape in (padded, (*x.shape[:2], *(axis.windows for axis in windows), *kernel)):
        check_memory("im2col", shape, x.dtype.itemsize)
    images = _padded(np.moveaxis(raw(x), 1, -1), windows)
    reach, spatial = tuple(axis.reach for axis in windows), tuple(range(1, len(kernel) + 1))
    seen = sliding_window_view(images, reach, spatial)  # every window, tap by tap: the same memory again and again
    steps = tuple(slice(None, None, step) for step in (1, *stride, 1, *dilation))
    return np.moveaxis(seen[steps], len(kernel) + 1, -1).copy(), (x.shape[2:],)


def _im2col_vjp(dy, kept, *, kernel, stride=ONE, padding=NONE, dilation=ONE):
    """dx = col2im(dy)"""
    return col2im(dy, size=kept[0], stride=stride, padding=padding, dilation=dilation)


def _taps(windows: tuple[Axis, ...]) -> Iterator[tuple[Any, Any]]:
    """For each tap its index in windows (N, *counts, *kernel, C) and in padded images (N, *sizes, C)."""
    for tap in np.ndindex(*(axis.taps for axis in windows)):
        place = (axis.at(k) for axis, k in zip(windows, tap, strict=True))
        yield (slice(None),) * (len(tap) + 1) + tap, (slice(None), *place)


def _col2im(y, *, size, stride=ONE, padding=NONE, dilation=ONE):
    """x[n, c, h, w] = sum of y[n, p, q, r, s, c] over all p u + r d - t = h, q v + s e - l = w

    (u, v) stride, (d, e) dilation, ((t, bottom), (l, right)) padding, (H, W) size: y (N, P, Q, R, S, C) -> x (N, C, H, W),
    and likewise with one axis or three.

    shapes: y -> x;  keeps: R, S
    """
    if y.ndim != 2 * len(size) + 2:
        raise ShapeError(
            "col2im", f"y should have {2 * len(size) + 2} axes", f"y {y.shape}, size {size}", "y is (N, P, Q, R, S, C)"
        )
    counts, kernel = y.shape[1 : len(size) + 1], y.shape[len(size) + 1 : -1]
    windows = axes("col2im", size, kernel, stride, padding, dilation)
    check_windows("col2im", y.shape, counts, windows)
    shape = (len(y), *(axis.padded for axis in windows), y.shape[-1])
    check_memory("col2im", shape, y.dtype.itemsize)
    x = sum(put(y[tap], index=place, shape=shape) for tap, place in _taps(windows))
    inside = (slice(None), *(axis.inside for axis in windows))
    return np.moveaxis(x[inside], -1, 1), (kernel,)


def _col2im_vjp(dx, kept, *, size, stride=ONE, padding=NONE, dilation=ONE):
    """dy = im2col(dx)"""
    return im2col(dx, kernel=kept[0], stride=stride, padding=padding, dilation=dilation)


# -------------------------------------------------------------------- one matrix for each of the G groups, and back


def _group(rows: Any, groups: int) -> Any:
    """(M, K, G I) -> (G, M, K I): the channels of each group, side by side for all K taps."""
    m, k, channels = rows.shape
    split = np.moveaxis(np.reshape(rows, (m, k, groups, channels // groups)), 2, 0)
    return np.reshape(split, (groups, m, k * channels // groups))


def _ungroup(matrices: Any, taps: int) -> Any:
    """(G, M, K I) -> (M, K, G I)"""
    groups, m, columns = matrices.shape
    split = np.moveaxis(np.reshape(matrices, (groups, m, taps, columns // taps)), 0, 2)
    return np.reshape(split, (m, taps, groups * columns // taps))


def _columns(x: Any, kernel: Pair, groups: int, windows: dict[str, Any]) -> Any:
    """x(N, C, H, W) -> (G, N P Q, R S I)"""
    cols = im2col(x, kernel=kernel, **windows)
    n, p, q, r, s, channels = cols.shape
    return _group(np.reshape(cols, (n * p * q, r * s, channels)), groups)


def _filters(weight: Any, groups: int) -> Any:
    """weight(O, I, R, S) -> (G, O / G, R S I)"""
    o, i, r, s = weight.shape
    return np.reshape(np.transpose(weight, (0, 2, 3, 1)), (groups, o // groups, r * s * i))


def _pixels(y: Any, groups: int) -> Any:
    """y(N, O, P, Q) -> (G, N P Q, O / G)"""
    n, o, p, q = y.shape
    return _group(np.reshape(np.transpose(y, (0, 2, 3, 1)), (n * p * q, 1, o)), groups)


def _conv2d(x, weight, bias, *, stride=ONE, padding=NONE, dilation=ONE, groups=1):
    """y[n, o, p, q] = b[o] + sum_irs W[o, i, r, s] x[n, g I + i, p u + r d - t, q v + s e - l],  g = group of o

    As matrices, for each group:  Y = im2col(x) W^T + b.   (u, v) stride, (d, e) dilation, ((t, bottom), (l, right))
    padding. Cross-correlation, as in all of deep learning: the kernel is not flipped (LeCun et al. 1989).

    shapes: x(N, C, H, W), weight(O, I, R, S), bias(O) -> y(N, O, P, Q);  keeps: x, W
    """
    check_groups(x.shape, weight.shape, groups)
    kernel = weight.shape[2:]
    down, across = axes("conv2d", x.shape[2:], kernel, stride, padding, dilation)
    cols = _columns(x, kernel, groups, {"stride": stride, "padding": padding, "dilation": dilation})
    y = _ungroup(np.matmul(cols, transpose_last(_filters(weight, groups))), 1)  # (N P Q, 1, O)
    y = y if bias is None else y + bias
    y = np.reshape(y, (len(x), down.windows, across.windows, len(weight)))
    return np.transpose(y, (0, 3, 1, 2)), (x, weight, bias is not None)


def _conv2d_vjp(dy, kept, *, needs, groups=1, **windows):
    """dx = conv_transpose2d(dy, W),  dW = dY^T im2col(x),  db = sum_npq dy"""
    x, weight, has_bias = kept
    dx = conv_transpose2d(dy, weight, None, size=x.shape[2:], groups=groups, **windows) if needs[0] else None
    dw = _filter_gradient(dy, x, weight.shape, groups, windows) if needs[1] else None
    return dx, dw, np.sum(dy, axis=(0, 2, 3)) if has_bias and needs[2] else None


def _filter_gradient(y: Any, x: Any, shape: Sizes, groups: int, windows: dict[str, Any]) -> Any:
    """Y^T im2col(x): how often each filter's tap brought a pixel of x to a pixel of y, times both."""
    o, i, r, s = shape
    dw = matmul(transpose_last(_pixels(y, groups)), _columns(x, (r, s), groups, windows))  # (G, O / G, R S I)
    return np.transpose(np.reshape(dw, (o, r, s, i)), (0, 3, 1, 2))


def _conv_transpose2d(x, weight, bias, *, size, stride=ONE, padding=NONE, dilation=ONE, groups=1):
    """y[n, g O + o, h, w] = b[g O + o] + sum of W[c, o, r, s] x[n, c, p, q] over p u + r d - t = h, q v + s e - l = w

    and over the channels c of group g. As matrices, for each group:  y = col2im(X W) + b. It is the VJP of conv2d in x,
    of which size is (H, W): (u, v) stride, (d, e) dilation, ((t, bottom), (l, right)) padding of y (Zeiler et al. 2010).

    shapes: x(N, C, P, Q), weight(C, O, R, S), bias -> y(N, G O, H, W);  keeps: x, W
    """
    check_transposed("conv_transpose2d", x.shape, weight.shape, None if bias is None else bias.shape, groups)
    (n, _, p, q), (_, o, r, s) = x.shape, weight.shape
    windows = axes("conv_transpose2d", size, (r, s), stride, padding, dilation)
    check_windows("conv_transpose2d", x.shape, (p, q), windows)
    cols = _ungroup(matmul(_pixels(x, groups), _filters(weight, groups)), r * s)  # (N P Q, R S, G O)
    cols = np.reshape(cols, (n, p, q, r, s, groups * o))
    y = col2im(cols, size=size, stride=stride, padding=padding, dilation=dilation)
    return y if bias is None else y + np.reshape(bias, (groups * o, 1, 1)), (x, weight, bias is not None)


def _conv_transpose2d_vjp(dy, kept, *, needs, size, groups=1, **windows):
    """dx = conv2d(dy, W),  dW = X^T im2col(dy),  db = sum_nhw dy"""
    x, weight, has_bias = kept
    dx = conv2d(dy, weight, None, groups=groups, **windows) if needs[0] else None
    dw = _filter_gradient(x, dy, weight.shape, groups, windows) if needs[1] else None
    return dx, dw, np.sum(dy, axis=(0, 2, 3)) if has_bias and needs[2] else None


im2col = op("im2col", _im2col, _im2col_vjp)
col2im = op("col2im", _col2im, _col2im_vjp)
conv2d = op("conv2d", _conv2d, _conv2d_vjp, kernel=kernels.conv2d)
conv_transpose2d = op("conv_transpose2d", _conv_transpose2d, _conv_transpose2d_vjp, kernel=kernels.conv_transpose2d)
