"""Pooling."""

from __future__ import annotations

from typing import Any

from .. import ops
from ._sizes import pair

__all__ = ["adaptive_avg_pool2d", "avg_pool2d", "max_pool2d"]


def max_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Any:
    """The largest value of each window, padding left out;  input (N, C, H, W) -> (N, C, P, Q). stride defaults to kernel_size."""
    kernel = pair("kernel_size", kernel_size)
    step, apart = kernel if stride is None else pair("stride", stride), pair("dilation", dilation)
    return ops.pool.max_pool2d(
        input, kernel=kernel, stride=step, padding=pair("padding", padding), dilation=apart, ceil_mode=bool(ceil_mode)
    )


def avg_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Any:  # fmt: skip
    """The mean of each window;  input (N, C, H, W) -> (N, C, P, Q). stride defaults to kernel_size.

    count_include_pad: zeros of the padding count as values; divisor_override divides the sums instead of a count.
    """
    kernel = pair("kernel_size", kernel_size)
    step = kernel if stride is None else pair("stride", stride)
    if divisor_override is not None and divisor_override == 0:
        raise ValueError("divisor_override must not be 0")
    return ops.pool.avg_pool2d(
        input, kernel=kernel, stride=step, padding=pair("padding", padding), ceil_mode=bool(ceil_mode),
        count_include_pad=bool(count_include_pad), divisor=divisor_override,
    )  # fmt: skip


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """The means over bins that cover the image;  input (N, C, H, W) -> (N, C, P, Q). None in output_size keeps a size."""
    given = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    size = [input.shape[i - 2] if want is None and i < 2 else want for i, want in enumerate(given)]
    return ops.pool.adaptive_avg_pool2d(input, size=pair("output_size", size))
