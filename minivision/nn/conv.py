"""Convolutions as layers."""

from __future__ import annotations

import math
from typing import Any

from .. import functional as F
from . import init
from .module import Module
from .parameter import Parameter

__all__ = ["Conv2d"]

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
