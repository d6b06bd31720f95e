"""Convolution: im2col, then one matrix product per group.

im2col copies each window of an image into a row of a matrix; col2im adds such rows back where they came from. The two
are each other's VJP, and with the matrix product they make every derivative of a convolution.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels
from ..errors import ShapeError
from ..kernels.window import Axis, Pair, axes, check_groups
from ..op import op
from .matmul import matmul, transpose_last
from .shape import put

ONE: Pair = (1, 1)
NONE: tuple[Pair, Pair] = ((0, 0), (0, 0))


def pad(x: Any, down: Axis, across: Axis) -> Any:
    """(N, C, H, W) with zeros around it, as the two axes say."""
    index = (slice(None), slice(None), down.inside, across.inside)
    shape = (*x.shape[:2], down.padded, across.padded)
    return x if x.shape == shape else put(x, index=index, shape=shape)


def _im2col(x, *, kernel, stride=ONE, padding=NONE, dilation=ONE):
    """y[n, p, q, r, s, c] = x[n, c, p u + r d - t, q v + s e - l], 0 outside the image

    (u, v) stride, (d, e) dilation, ((t, bottom), (l, right)) padding, (R, S) kernel.

    shapes: x(N, C, H, W) -> y(N, P, Q, R, S, C);  keeps: H, W
    """
    down, across = axes("im2col", x.shape[2:], kernel, stride, padding, dilation)
    images = np.transpose(pad(x, down, across), (0, 2, 3, 1))
    taps = [images[:, down.at(r), across.at(s)] for r in range(kernel[0]) for s in range(kernel[1])]  # each (N, P, Q, C)
    return np.reshape(np.stack(taps, 3), (*taps[0].shape[:3], *kernel, x.shape[1])), (x.shape[2:],)


def _im2col_vjp(dy, kept, *, kernel, stride=ONE, padding=NONE, dilation=ONE):
    """dx = col2im(dy)"""
    return col2im(dy, size=kept[0], stride=stride, padding=padding, dilation=dilation)


def _col2im(y, *, size, stride=ONE, padding=NONE, dilation=ONE):
    """x[n, c, h, w] = sum of y[n, p, q, r, s, c] over all p u + r d - t = h, q v + s e - l = w

    (u, v) stride, (d, e) dilation, ((t, bottom), (l, right)) padding, (H, W) size.

    shapes: y(N, P, Q, R, S, C) -> x(N, C, H, W);  keeps: R, S
    """
    n, p, q, *kernel, channels = y.shape
    down, across = axes("col2im", size, tuple(kernel), stride, padding, dilation)
    if (p, q) != (down.windows, across.windows):
        problem = f"y has {p} x {q} windows at axes 1 and 2, but an image of {size} has {down.windows} x {across.windows}"
        raise ShapeError("col2im", problem, f"y {y.shape}", "size, stride, padding and dilation are those of im2col")
    shape = (n, down.padded, across.padded, channels)
    taps = [(r, s) for r in range(kernel[0]) for s in range(kernel[1])]
    x = sum(put(y[:, :, :, r, s], index=(slice(None), down.at(r), across.at(s)), shape=shape) for r, s in taps)
    return np.transpose(x[:, down.inside, across.inside], (0, 3, 1, 2)), (tuple(kernel),)


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
    """dx = col2im(dY W),  dW = dY^T im2col(x),  db = sum_npq dy"""
    x, weight, has_bias = kept
    o, i, r, s = weight.shape
    n, _, p, q = dy.shape
    rows, dx, dw = _pixels(dy, groups), None, None
    if needs[0]:
        dcols = _ungroup(matmul(rows, _filters(weight, groups)), r * s)
        dx = col2im(np.reshape(dcols, (n, p, q, r, s, x.shape[1])), size=x.shape[2:], **windows)
    if needs[1]:
        dw = matmul(transpose_last(rows), _columns(x, (r, s), groups, windows))  # (G, O / G, R S I)
        dw = np.transpose(np.reshape(dw, (o, r, s, i)), (0, 3, 1, 2))
    return dx, dw, np.sum(dy, axis=(0, 2, 3)) if has_bias and needs[2] else None


im2col = op("im2col", _im2col, _im2col_vjp)
col2im = op("col2im", _col2im, _col2im_vjp)
conv2d = op("conv2d", _conv2d, _conv2d_vjp, kernel=kernels.conv2d)
