"""Layers on images (N, C, H, W): convolution, batch normalisation, pooling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import functional as F
from ..tape import Tensor
from . import init
from .module import Module
from .parameter import Parameter

Pair = int | tuple[int, int]


def _pair(size: Pair) -> tuple[int, int]:
    """(height, width) from one number or two."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


class Conv2d(Module):
    """Cross-correlation: y_ohw = b_o + sum_cij W_ocij x_c(h s + i d - p)(w s + j d - p), in `groups` groups of channels.

    x (N, in_channels, H, W) -> (N, out_channels, H', W'),  H' = floor((H + 2p - d (k - 1) - 1) / s) + 1.
    Weight (out, in / groups, kh, kw) and bias begin as U(-s, s), s = 1 / sqrt(fan_in).
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Pair, stride: Pair = 1, padding: Any = 0, dilation: Pair = 1,
        groups: int = 1, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(f"groups={groups} should divide in_channels={in_channels} and out_channels={out_channels}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.dilation = _pair(kernel_size), _pair(stride), _pair(dilation)
        self.padding = padding if isinstance(padding, str) else _pair(padding)
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        s = 1.0 / math.sqrt(max(math.prod(shape[1:]), 1))
        self.weight = Parameter(shape, init.uniform(-s, s))
        self.bias = Parameter((out_channels,), init.uniform(-s, s)) if bias else None

    def forward(self, x: Any) -> Any:
        """(N, in_channels, H, W) -> (N, out_channels, H', W')"""
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        """Sizes, and what differs from the defaults."""
        words = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        plain = {"padding": (0, 0), "dilation": (1, 1), "groups": 1}
        words += [f"{name}={getattr(self, name)}" for name, usual in plain.items() if getattr(self, name) != usual]
        return ", ".join(words + ["bias=False"] * (self.bias is None))


class BatchNorm2d(Module):
    """y = (x - mean_c) / sqrt(var_c + eps) * w_c + b_c, channel by channel.  Ioffe & Szegedy 2015, algorithms 1 and 2.

    Training uses the batch's mean and biased variance and moves the running ones: r <- (1 - momentum) r + momentum b,
    with the unbiased variance; momentum=None averages all batches. Evaluation uses the running ones.
    """

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = Parameter((num_features,), init.ones()) if affine else None
        self.bias = Parameter((num_features,), init.zeros()) if affine else None
        buffers = np.zeros(num_features, np.float32), np.ones(num_features, np.float32), np.zeros((), np.int64)
        for name, values in zip(("running_mean", "running_var", "num_batches_tracked"), buffers, strict=True):
            self.register_buffer(name, values if track_running_stats else None)

    def forward(self, x: Any) -> Any:
        """(N, num_features, H, W) -> the same"""
        count = self.num_batches_tracked if self.training else None
        share = 1.0 / (count.item() + 1) if count is not None and self.momentum is None else self.momentum or 0.0
        by_batch = self.training or self.running_mean is None
        y = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, by_batch, share, self.eps)
        if count is not None:
            count.data += 1
        return y

    def extra_repr(self) -> str:
        """Sizes and constants."""
        names = ("eps", "momentum", "affine", "track_running_stats")
        return ", ".join([str(self.num_features), *(f"{name}={getattr(self, name)}" for name in names)])


class _Pool2d(Module):
    def __init__(self, kernel_size: Pair, stride: Pair | None, padding: Pair, ceil_mode: bool) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        """The window."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, ceil_mode={self.ceil_mode}"


class MaxPool2d(_Pool2d):
    """The largest value of each window, padding left out. stride defaults to kernel_size."""

    def __init__(
        self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0, dilation: Pair = 1, ceil_mode: bool = False
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.dilation = dilation

    def forward(self, x: Any) -> Any:
        """(N, C, H, W) -> (N, C, H', W')"""
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


class AvgPool2d(_Pool2d):
    """The mean of each window; count_include_pad: zeros of the padding count as values. stride defaults to kernel_size."""

    def __init__(
        self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, x: Any) -> Any:
        """(N, C, H, W) -> (N, C, H', W')"""
        settings = self.ceil_mode, self.count_include_pad, self.divisor_override
        return F.avg_pool2d(x, self.kernel_size, self.stride, self.padding, *settings)


class AdaptiveAvgPool2d(Module):
    """The means over output_size bins that cover the image; None keeps a size."""

    def __init__(self, output_size: int | tuple[int | None, int | None]) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, x: Any) -> Any:
        """(N, C, H, W) -> (N, C, *output_size)"""
        return F.adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        """The size."""
        return f"output_size={self.output_size}"
