"""Transposed convolution on the kernels of conv2d: its forward pass is their gradient of the image, and the other way round."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._library import Kernel, takes
from .conv import conv2d
from .norm import sum_rows
from .window import axes, check_memory, check_transposed, check_windows

_conv2d_vjp: Any = conv2d.vjp


def _conv_transpose2d(x, weight, bias, *, size, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1):
    check_transposed("conv_transpose2d", x.shape, weight.shape, None if bias is None else bias.shape, groups)
    found = axes("conv_transpose2d", size, weight.shape[2:], stride, padding, dilation)
    check_windows("conv_transpose2d", x.shape, x.shape[2:], found)
    image = (len(x), weight.shape[1] * groups, *size)
    if not takes(x, weight, bias) or x.size == 0 or weight.size == 0:
        return NotImplemented
    check_memory("conv_transpose2d", image, x.itemsize)
    windows = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    y = _image_gradient(x, weight, image, windows)
    if y is NotImplemented:
        return NotImplemented
    if bias is not None:
        y += bias.reshape(-1, 1, 1)
    return y, (x, weight, bias is not None)


def _image_gradient(x: np.ndarray, weight: np.ndarray, shape: tuple[int, ...], windows: Any) -> Any:
    """What conv2d gives back to an image of this shape; of the image itself it reads the shape alone."""
    image = np.broadcast_to(np.zeros((), x.dtype), shape)
    done = _conv2d_vjp(x, (image, weight, False), needs=(True, False, False), **windows)
    return done if done is NotImplemented else done[0]


def _conv_transpose2d_vjp(dy, kept, *, needs, size, **windows):
    x, weight, has_bias = kept
    if not takes(dy, x, weight) or x.size == 0 or weight.size == 0:
        return NotImplemented
    last = np.ascontiguousarray(dy.transpose(0, 2, 3, 1))  # channels last, once for all three
    dy = last.transpose(0, 3, 1, 2)
    image = conv2d.forward(dy, weight, None, **windows) if needs[0] else (None,)
    filters = _conv2d_vjp(x, (dy, weight, False), needs=(False, True, False), **windows) if needs[1] else (None, None)
    if image is NotImplemented or filters is NotImplemented:
        return NotImplemented
    return image[0], filters[1], sum_rows(last.reshape(-1, last.shape[-1])) if has_bias and needs[2] else None


conv_transpose2d: Kernel = Kernel(_conv_transpose2d, _conv_transpose2d_vjp)
