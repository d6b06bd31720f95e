"""ACNet: Strengthening the Kernel Skeletons for Powerful CNN via Asymmetric Convolution Blocks.

Ding, Guo, Ding, Han. ICCV 2019, arXiv 1908.03930.

A square kernel is trained together with a vertical and a horizontal one beside it, each with its own batch norm, and what
they give is added. Convolution is additive in its kernel, so after training the three are one square kernel again: the
trained network is better and the deployed one costs what it did. acnet_cifar.py has the networks.

Names and keys are the official repository's (DingXiaoH/ACNet). As there, the asymmetric kernels are as long as the square
one (3x1 and 1x3 beside 5x5 in the paper's first code). Deviation: with a dilation d the branches are shifted by d (k // 2),
not k // 2, without which the three are not one kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import nn
from ..nn.fuse import norm_affine

BRANCHES = ("square", "ver", "hor")


class ACBlock(nn.Module):
    """Section 3.3: BN(k x k) + BN(k x 1) + BN(1 x k), the centres of the three kernels on one pixel.

    (B, C, H, W) -> (B, out, H', W') of a convolution with the square kernel. kernel_size: odd; gamma: what the norms' scales
    begin with, 1 without it. ValueError for an even kernel_size, which has no centre.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1,
        groups: int = 1, gamma: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"ACBlock: a kernel's skeleton is its middle row and column; kernel_size {kernel_size} has none")
        k, around = kernel_size, padding - dilation * (kernel_size // 2)  # negative: to be cropped
        settings: dict[str, Any] = {"stride": stride, "dilation": dilation, "groups": groups, "bias": False}
        self.crop = max(-around, 0)
        wide, narrow = (padding, max(around, 0)), (max(around, 0), padding)
        self.square_conv = nn.Conv2d(in_channels, out_channels, k, padding=padding, **settings)
        self.square_bn = nn.BatchNorm2d(out_channels)
        self.ver_conv = nn.Conv2d(in_channels, out_channels, (k, 1), padding=wide, **settings)
        self.hor_conv = nn.Conv2d(in_channels, out_channels, (1, k), padding=narrow, **settings)
        self.ver_bn, self.hor_bn = nn.BatchNorm2d(out_channels), nn.BatchNorm2d(out_channels)
        for bn in (self.square_bn, self.ver_bn, self.hor_bn) if gamma is not None else ():
            nn.init.constant_(bn.weight, gamma)

    def forward(self, x: Any) -> Any:
        """Figure 2: the sum of three normed convolutions whose windows have one centre."""
        c, (h, w) = self.crop, x.shape[2:]
        square = self.square_bn(self.square_conv(x))
        ver = self.ver_bn(self.ver_conv(x[:, :, :, c : w - c]))
        hor = self.hor_bn(self.hor_conv(x[:, :, c : h - c]))
        return square + ver + hor

    def fused_kernel(self) -> tuple[np.ndarray, np.ndarray]:
        """Section 3.3: the one kernel (out, in / groups, k, k) and bias (out,), from the running statistics, in float64.

        Of each branch with kernel W and a norm that is s y + t: the sum of s W, among zeros, and the sum of t.
        """
        kernel: Any = 0.0
        bias: Any = 0.0
        for branch in BRANCHES:
            conv, bn = getattr(self, f"{branch}_conv"), getattr(self, f"{branch}_bn")
            scale, shift = norm_affine(bn)
            kernel = kernel + on_square(conv.weight.data * scale[:, None, None, None], self.square_conv.kernel_size[0])
            bias = bias + shift
        return kernel, bias

    def fused(self) -> nn.Module:
        """The one convolution, in evaluation mode, that the block is in evaluation mode."""
        old = self.square_conv
        settings = old.stride, old.padding, old.dilation, old.groups
        new = nn.Conv2d(old.in_channels, old.out_channels, old.kernel_size, *settings)
        kernel, bias = self.fused_kernel()
        new.weight, new.bias = (nn.Parameter(each, dtype=old.weight.dtype) for each in (kernel, bias))
        return nn.Sequential({"fused_conv": new}).eval()


def on_square(kernel: np.ndarray, k: int) -> np.ndarray:
    """Section 3.2: a kernel (out, in, k or 1, k or 1) in the middle of zeros (out, in, k, k); k is odd."""
    above, left = ((k - n) // 2 for n in kernel.shape[2:])
    return np.pad(kernel, ((0, 0), (0, 0), (above, above), (left, left)))
