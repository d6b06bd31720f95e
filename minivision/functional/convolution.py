"""Convolution and the windows that it reads."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from .. import ops
from ..errors import ShapeError
from ..kernels.window import axes
from ._sizes import paddings, pair

__all__ = ["conv2d", "fold", "unfold"]


def conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """Cross-correlation;  input (N, C, H, W), weight (O, C / groups, R, S), bias (O) -> (N, O, P, Q).

    P = floor((H + 2 padding - dilation (R - 1) - 1) / stride) + 1. stride, padding and dilation are numbers or pairs;
    padding may also be "valid" (none) or "same" (P = H, with stride 1; of an odd sum the larger half lies behind).
    """
    kernel, step, apart = weight.shape[2:], pair("stride", stride), pair("dilation", dilation)
    around = paddings(padding, kernel, step, apart) if len(kernel) == 2 else ((0, 0), (0, 0))
    return ops.conv.conv2d(input, weight, bias, stride=step, padding=around, dilation=apart, groups=operator.index(groups))


def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """The windows of an image as columns;  input (N, C, H, W) -> (N, C R S, P Q)."""
    kernel, step, apart = pair("kernel_size", kernel_size), pair("stride", stride), pair("dilation", dilation)
    around = paddings(pair("padding", padding), kernel, step, apart)
    cols = ops.conv.im2col(input, kernel=kernel, stride=step, padding=around, dilation=apart)
    n, p, q, r, s, c = cols.shape
    return np.reshape(np.transpose(cols, (0, 5, 3, 4, 1, 2)), (n, c * r * s, p * q))


def fold(input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """The sum of columns back where unfold took them;  input (N, C R S, P Q) -> (N, C, *output_size)."""
    kernel, step, apart = pair("kernel_size", kernel_size), pair("stride", stride), pair("dilation", dilation)
    size, around = pair("output_size", output_size), paddings(pair("padding", padding), kernel, step, apart)
    down, across = axes("fold", size, kernel, step, around, apart)
    (r, s), p, q = kernel, down.windows, across.windows
    if input.ndim != 3 or input.shape[1] % (r * s) or input.shape[2] != p * q:
        problem = f"input should be (N, C * {r} * {s}, {p} * {q}), got {tuple(input.shape)}"
        raise ShapeError("fold", problem, f"input {tuple(input.shape)}, output_size {size}, kernel_size {kernel}")
    cols = np.reshape(input, (len(input), input.shape[1] // (r * s), r, s, p, q))
    cols = np.transpose(cols, (0, 4, 5, 2, 3, 1))
    return ops.conv.col2im(cols, size=size, stride=step, padding=around, dilation=apart)
