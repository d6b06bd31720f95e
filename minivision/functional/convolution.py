"""Convolution over one, two or three axes, its transpose, and the windows that it reads.

An input without the axis of images is one image, and its result has no such axis either.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ops
from ..errors import ShapeError
from ..kernels.window import LETTERS, axes, check_memory, transposed_size
from ..ops.indexing import put
from ._sizes import numbers, paddings, pair

__all__ = [
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "fold", "unfold",
]  # fmt: skip


def conv1d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """Cross-correlation of sequences;  input (N, C, L) or (C, L), weight (O, C / groups, R), bias (O) -> (N, O, Q).

    Arguments as in conv2d, each a number or a tuple of one.
    """
    return _convolve(ops.conv_nd.conv1d, "conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """Cross-correlation;  input (N, C, H, W) or (C, H, W), weight (O, C / groups, R, S), bias (O) -> (N, O, P, Q).

    P = floor((H + 2 padding - dilation (R - 1) - 1) / stride) + 1. stride, padding and dilation are numbers or pairs;
    padding may also be "valid" (none) or "same" (P = H, with stride 1; of an odd sum the larger half lies behind).

    For 3 x 3 filters at stride 1 and many channels the C kernels let four neighbouring results share their products (Lavin &
    Gray 2015): 4 multiplications in place of 9, about as well rounded; an infinity or NaN in input reaches all four.
    """
    return _convolve(ops.conv.conv2d, "conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """Cross-correlation of volumes;  input (N, C, D, H, W) or (C, D, H, W), weight (O, C / groups, K, R, S), bias (O)
    -> (N, O, M, P, Q).

    Arguments as in conv2d, each a number or three. For the backward pass it keeps the input K times (once where the stride
    over planes is K).
    """
    return _convolve(ops.conv_nd.conv3d, "conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1,
) -> Any:  # fmt: skip
    """The transpose of conv1d;  input (N, C, Q) or (C, Q), weight (C, O / groups, R), bias (O) -> (N, O, L)."""
    windows = stride, padding, output_padding, groups, dilation
    return _transpose(ops.conv_nd.conv_transpose1d, "conv_transpose1d", 1, input, weight, bias, *windows)


def conv_transpose2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1,
) -> Any:  # fmt: skip
    """The transpose of conv2d;  input (N, C, P, Q) or (C, P, Q), weight (C, O / groups, R, S), bias (O) -> (N, O, H, W).

    It maps as the gradient of conv2d's input does: H = (P - 1) stride - 2 padding + dilation (R - 1) + 1 + output_padding.
    Of the several H from which conv2d makes P rows, output_padding, below the stride or the dilation, chooses one.
    """
    windows = stride, padding, output_padding, groups, dilation
    return _transpose(ops.conv.conv_transpose2d, "conv_transpose2d", 2, input, weight, bias, *windows)


def conv_transpose3d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1,
) -> Any:  # fmt: skip
    """The transpose of conv3d;  input (N, C, M, P, Q) or (C, M, P, Q), weight (C, O / groups, K, R, S), bias (O)
    -> (N, O, D, H, W)."""
    windows = stride, padding, output_padding, groups, dilation
    return _transpose(ops.conv_nd.conv_transpose3d, "conv_transpose3d", 3, input, weight, bias, *windows)


def _batch(operation: str, input: Any, sizes: str, count: int) -> tuple[Any, bool]:
    """The input with an axis of images, which has `count` axes, and whether it came without one."""
    if input.ndim not in (count - 1, count):
        problem = f"input should have {count} axes (N, {sizes}), or {count - 1} without N, got {input.ndim}"
        raise ShapeError(operation, problem, f"input {tuple(input.shape)}", "images need an axis of channels: x[None] adds one")
    return (input, False) if input.ndim == count else (np.expand_dims(input, 0), True)


def _kernel(operation: str, weight: Any, axes: int) -> tuple[int, ...]:
    """The window that a weight (O, I, *kernel) reads."""
    if weight.ndim != axes + 2:
        problem = f"weight should have {axes + 2} axes (O, I, {LETTERS[axes][1]}), got {weight.ndim}"
        raise ShapeError(operation, problem, f"weight {tuple(weight.shape)}")
    return tuple(weight.shape[2:])


def _convolve(
    run: Callable[..., Any], name: str, count: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any,
    dilation: Any, groups: int,
) -> Any:  # fmt: skip
    """A convolution over `count` axes: its arguments in the form that the operation takes."""
    x, single = _batch(name, input, f"C, {LETTERS[count][0]}", count + 2)
    kernel, step, apart = _kernel(name, weight, count), numbers("stride", stride, count), numbers("dilation", dilation, count)
    around = paddings(padding, kernel, step, apart)
    y = run(x, weight, bias, stride=step, padding=around, dilation=apart, groups=operator.index(groups))
    return np.squeeze(y, 0) if single else y


def _transpose(
    run: Callable[..., Any], name: str, count: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any,
    output_padding: Any, groups: int, dilation: Any,
) -> Any:  # fmt: skip
    """A transposed convolution over `count` axes: its arguments in the form that the operation takes."""
    x, single = _batch(name, input, f"C, {LETTERS[count][0]}", count + 2)
    kernel, step, apart = _kernel(name, weight, count), numbers("stride", stride, count), numbers("dilation", dilation, count)
    around = tuple((p, p) for p in numbers("padding", padding, count))
    more = numbers("output_padding", output_padding, count)
    size = transposed_size(name, tuple(x.shape[2:]), kernel, step, around, apart, more)
    x = _zeros_behind(name, x, tuple(axis.windows for axis in axes(name, size, kernel, step, around, apart)))
    y = run(x, weight, bias, size=size, stride=step, padding=around, dilation=apart, groups=operator.index(groups))
    return np.squeeze(y, 0) if single else y


def _zeros_behind(operation: str, x: Any, windows: tuple[int, ...]) -> Any:
    """(N, C, *windows): an output padding of a stride or more is an image that has more windows than x, of nothing."""
    shape = (*x.shape[:2], *windows)
    check_memory(operation, shape, x.dtype.itemsize)
    return x if x.shape == shape else put(x, index=tuple(map(slice, x.shape)), shape=shape)


def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """The windows of an image as columns;  input (N, C, H, W) or (C, H, W) -> (N, C R S, P Q)."""
    x, single = _batch("unfold", input, "C, H, W", 4)
    kernel, step, apart = pair("kernel_size", kernel_size), pair("stride", stride), pair("dilation", dilation)
    around = paddings(pair("padding", padding), kernel, step, apart)
    cols = ops.conv.im2col(x, kernel=kernel, stride=step, padding=around, dilation=apart)
    n, p, q, r, s, c = cols.shape
    y = np.reshape(np.transpose(cols, (0, 5, 3, 4, 1, 2)), (n, c * r * s, p * q))
    return np.squeeze(y, 0) if single else y


def fold(input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """The sum of columns back where unfold took them;  input (N, C R S, P Q) or (C R S, P Q) -> (N, C, *output_size)."""
    x, single = _batch("fold", input, "C R S, P Q", 3)
    kernel, step, apart = pair("kernel_size", kernel_size), pair("stride", stride), pair("dilation", dilation)
    size, around = pair("output_size", output_size), paddings(pair("padding", padding), kernel, step, apart)
    down, across = axes("fold", size, kernel, step, around, apart)
    (r, s), p, q = kernel, down.windows, across.windows
    if x.shape[1] % (r * s) or x.shape[2] != p * q:
        problem = f"input should be (N, C * {r} * {s}, {p} * {q}), got {tuple(input.shape)}"
        raise ShapeError("fold", problem, f"input {tuple(input.shape)}, output_size {size}, kernel_size {kernel}")
    cols = np.transpose(np.reshape(x, (len(x), x.shape[1] // (r * s), r, s, p, q)), (0, 4, 5, 2, 3, 1))
    y = ops.conv.col2im(cols, size=size, stride=step, padding=around, dilation=apart)
    return np.squeeze(y, 0) if single else y
