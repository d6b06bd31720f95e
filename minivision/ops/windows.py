"""The windows of an image, side by side: Liu et al. 2021 (Swin), section 3.2, with their cyclic shift."""

from __future__ import annotations

import numpy as np

from .. import kernels
from ..op import op

# x (N, H, W, C) in P x Q windows of R x S pixels <-> y (N P Q, R, S, C), x rolled up and to the left by `shift` before.


def _window_partition(x, *, size, shift=(0, 0)):
    """y[n, p, q, i, j] = x[n, p R + i + shift_0 mod H, q S + j + shift_1 mod W]

    shapes: x(N, H, W, C) -> y(M, R, S, C);  keeps: (H, W)
    """
    n, h, w, c = x.shape
    r, s = size
    x = np.roll(x, (-shift[0], -shift[1]), (1, 2))
    x = np.transpose(np.reshape(x, (n, h // r, r, w // s, s, c)), (0, 1, 3, 2, 4, 5))  # (N, P, Q, R, S, C)
    return np.reshape(x, (n * (h // r) * (w // s), r, s, c)), ((h, w),)


def _window_partition_vjp(dy, kept, *, size, shift=(0, 0)):
    """dx = dy's windows back in their places"""
    return window_reverse(dy, image=kept[0], shift=shift)


def _window_reverse(y, *, image, shift=(0, 0)):
    """x[n, p R + i + shift_0 mod H, q S + j + shift_1 mod W] = y[n, p, q, i, j]

    shapes: y(M, R, S, C) -> x(N, H, W, C);  keeps: (R, S)
    """
    (h, w), (m, r, s, c) = image, y.shape
    n = m // ((h // r) * (w // s))
    x = np.transpose(np.reshape(y, (n, h // r, w // s, r, s, c)), (0, 1, 3, 2, 4, 5))  # (N, P, R, Q, S, C)
    return np.roll(np.reshape(x, (n, h, w, c)), shift, (1, 2)), ((r, s),)


def _window_reverse_vjp(dx, kept, *, image, shift=(0, 0)):
    """dy = the windows of dx"""
    return window_partition(dx, size=kept[0], shift=shift)


window_partition = op("window_partition", _window_partition, _window_partition_vjp, kernel=kernels.window_partition)
window_reverse = op("window_reverse", _window_reverse, _window_reverse_vjp, kernel=kernels.window_reverse)
