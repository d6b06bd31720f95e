"""Convolutions of one and of three axes, and their transposes, made of those of two."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ShapeError
from ..kernels.window import Axis, Pair, Sizes, axes, check_groups, check_memory, check_transposed, check_windows
from .conv import ONE, col2im, conv2d, conv_transpose2d, im2col

WHOLE: Pair = (0, 0)  # no padding


def conv1d(x: Any, weight: Any, bias: Any, *, stride: Sizes, padding: Any, dilation: Sizes, groups: int) -> Any:
    """x (N, C, L), weight (O, I, R), bias (O) -> (N, O, Q): an image of one row."""
    _check("conv1d", x, weight, bias, groups)
    (across,) = axes("conv1d", x.shape[2:], weight.shape[2:], stride, padding, dilation)
    check_memory("conv1d", (len(x), len(weight), across.windows), x.dtype.itemsize)
    windows = {"stride": (1, *stride), "padding": (WHOLE, *padding), "dilation": (1, *dilation)}
    return np.squeeze(conv2d(np.expand_dims(x, 2), np.expand_dims(weight, 2), bias, groups=groups, **windows), 2)


def conv_transpose1d(
    x: Any, weight: Any, bias: Any, *, size: Sizes, stride: Sizes, padding: Any, dilation: Sizes, groups: int
) -> Any:
    """x (N, C, Q), weight (C, O / groups, R), bias (O) -> (N, O, *size): an image of one row."""
    found = axes("conv_transpose1d", size, weight.shape[2:], stride, padding, dilation)
    _check_transposed("conv_transpose1d", x, weight, bias, groups, found)
    windows = {"stride": (1, *stride), "padding": (WHOLE, *padding), "dilation": (1, *dilation)}
    x, weight = np.expand_dims(x, 2), np.expand_dims(weight, 2)
    return np.squeeze(conv_transpose2d(x, weight, bias, size=(1, *size), groups=groups, **windows), 2)


# ------------------------------------------------------------------------------------------------------- three axes
#
# The planes under a window become channels, and a convolution of two axes does the rest. So memory holds each plane once
# for each of the K planes of the filter, where im2col over all axes would write it K R S times, and the sum over planes
# happens inside the matrix product, where a sum of K convolutions would read and write the result K times.


def conv3d(x: Any, weight: Any, bias: Any, *, stride: Sizes, padding: Any, dilation: Sizes, groups: int) -> Any:
    """x (N, C, D, H, W), weight (O, I, K, R, S), bias (O) -> (N, O, M, P, Q): conv2d of the planes im2col put side by side."""
    _check("conv3d", x, weight, bias, groups)
    found = axes("conv3d", x.shape[2:], weight.shape[2:], stride, padding, dilation)
    m, p, q = (axis.windows for axis in found)
    check_memory("conv3d", (len(x), len(weight), m, p, q), x.dtype.itemsize)
    planes = im2col(x, kernel=(weight.shape[2], 1, 1), **_depth(stride, padding, dilation))  # (N, M, H, W, K, 1, 1, C)
    images = _planes_to_channels(planes, groups)  # (N M, G K I, H, W)
    y = conv2d(images, _filters(weight), bias, groups=groups, **_image(stride, padding, dilation))  # (N M, O, P, Q)
    return np.moveaxis(np.reshape(y, (len(x), m, len(weight), p, q)), 2, 1)


def conv_transpose3d(
    x: Any, weight: Any, bias: Any, *, size: Sizes, stride: Sizes, padding: Any, dilation: Sizes, groups: int
) -> Any:
    """x (N, C, M, P, Q), weight (C, O / groups, K, R, S), bias (O) -> (N, O, *size): col2im of conv_transpose2d's planes."""
    found = axes("conv_transpose3d", size, weight.shape[2:], stride, padding, dilation)
    _check_transposed("conv_transpose3d", x, weight, bias, groups, found)
    n, c, m, p, q = x.shape
    images = np.reshape(np.moveaxis(x, 2, 1), (n * m, c, p, q))
    planes = conv_transpose2d(
        images, _filters(weight), None, size=size[1:], groups=groups, **_image(stride, padding, dilation)
    )  # (N M, G K O, H, W)
    cols = _channels_to_planes(planes, (n, m), weight.shape[2], groups)  # (N, M, H, W, K, 1, 1, G O)
    y = col2im(cols, size=size, **_depth(stride, padding, dilation))
    return y if bias is None else y + np.reshape(bias, (-1, 1, 1, 1))


def _check(operation: str, x: Any, weight: Any, bias: Any, groups: int) -> None:
    check_groups(x.shape, weight.shape, groups, operation)
    if bias is not None and bias.shape != (len(weight),):
        given = f"x {x.shape}, weight {weight.shape}, bias {bias.shape}"
        raise ShapeError(operation, f"the bias should have shape ({len(weight)},), got {bias.shape}", given)


def _check_transposed(operation: str, x: Any, weight: Any, bias: Any, groups: int, found: tuple[Axis, ...]) -> None:
    check_transposed(operation, x.shape, weight.shape, None if bias is None else bias.shape, groups)
    check_windows(operation, x.shape, x.shape[2:], found)
    check_memory(operation, (len(x), weight.shape[1] * groups, *(axis.size for axis in found)), x.dtype.itemsize)


def _depth(stride: Sizes, padding: Any, dilation: Sizes) -> dict[str, Any]:
    """Windows over planes alone."""
    return {"stride": (stride[0], *ONE), "padding": (padding[0], WHOLE, WHOLE), "dilation": (dilation[0], *ONE)}


def _image(stride: Sizes, padding: Any, dilation: Sizes) -> dict[str, Any]:
    """Windows over rows and columns alone."""
    return {"stride": stride[1:], "padding": padding[1:], "dilation": dilation[1:]}


def _filters(weight: Any) -> Any:
    """(O, I, K, R, S) -> (O, K I, R, S)"""
    o, i, k, r, s = weight.shape
    return np.reshape(np.moveaxis(weight, 2, 1), (o, k * i, r, s))


def _planes_to_channels(planes: Any, groups: int) -> Any:
    """(N, M, H, W, K, 1, 1, G I) -> (N M, G K I, H, W): of one group, the same memory seen as images, channels last."""
    n, m, h, w, k, _, _, c = planes.shape
    grouped = np.reshape(planes, (n * m, h, w, k, groups, c // groups))
    return np.reshape(np.transpose(grouped, (0, 4, 3, 5, 1, 2)), (n * m, k * c, h, w))


def _channels_to_planes(images: Any, front: tuple[int, int], k: int, groups: int) -> Any:
    """(N M, G K O, H, W) -> (N, M, H, W, K, 1, 1, G O)"""
    _, channels, h, w = images.shape
    grouped = np.reshape(images, (*front, groups, k, channels // (groups * k), h, w))
    return np.reshape(np.transpose(grouped, (0, 1, 5, 6, 3, 2, 4)), (*front, h, w, k, 1, 1, channels // k))
