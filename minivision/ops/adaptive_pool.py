"""Adaptive pooling: as many windows as asked for, which cover the image; the global pooling of an image is one window."""

from __future__ import annotations

from .. import kernels
from ..kernels.pool_windows import bins, pixels, sizes
from ..op import op
from .pool import back_to, largest, means, shares


def _adaptive_avg_pool2d(x, *, size):
    """y[n, c, p, q] = mean of x[n, c, h, w] over the bin p of the rows and q of the columns

    (P, Q) size; bin p of H rows is floor(p H / P) .. ceil((p + 1) H / P) - 1.

    shapes: x(N, C, H, W) -> y(N, C, P, Q);  keeps: (H, W)
    """
    windows = bins("adaptive_avg_pool2d", x.shape[2:], size)
    return means(x, windows, sizes(windows)), (x.shape[2:],)


def _adaptive_avg_pool2d_vjp(dy, kept, *, size):
    """dx[h, w] = sum of dy[p, q] / (pixels of bin p, q) over the bins that hold h, w"""
    windows = bins("adaptive_avg_pool2d", kept[0], size)
    return shares(dy, windows, sizes(windows))


def _adaptive_max_pool2d(x, *, size, seen=None):
    """y[n, c, p, q] = max of x[n, c, h, w] over the bin p of the rows and q of the columns, NaN if one is

    (P, Q) size; bin p of H rows is floor(p H / P) .. ceil((p + 1) H / P) - 1. Of equal values the first, in reading
    order, is the one taken. seen: a list that receives the pixels h W + w that were taken (N, P, Q, C).

    shapes: x(N, C, H, W) -> y(N, C, P, Q);  keeps: where in its bin the one taken stands (N, P, Q, C), (H, W)
    """
    windows = bins("adaptive_max_pool2d", x.shape[2:], size)
    y, taken = largest(x, windows)
    if seen is not None:
        seen[:] = [pixels(taken, windows)]
    return y, (taken, x.shape[2:])


def _adaptive_max_pool2d_vjp(dy, kept, *, size, seen=None):
    """dx[h, w] = sum of dy[p, q] over the bins whose largest value stands at h, w"""
    taken, of = kept
    return back_to(dy, taken, bins("adaptive_max_pool2d", of, size))


adaptive_avg_pool2d = op(
    "adaptive_avg_pool2d", _adaptive_avg_pool2d, _adaptive_avg_pool2d_vjp, kernel=kernels.adaptive_avg_pool2d
)
adaptive_max_pool2d = op(
    "adaptive_max_pool2d", _adaptive_max_pool2d, _adaptive_max_pool2d_vjp, kernel=kernels.adaptive_max_pool2d
)
