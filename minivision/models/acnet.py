"""ACNet: Strengthening the Kernel Skeletons for Powerful CNN via Asymmetric Convolution Blocks.

Ding, Guo, Ding, Han. ICCV 2019, arXiv 1908.03930.

A square kernel is trained together with a vertical and a horizontal one beside it, each with its own batch norm, and what
they give is added. Convolution is additive in its kernel, so after training the three are one square kernel again: the
trained network is better and the deployed one costs what it did.

Names and keys are the official repository's (DingXiaoH/ACNet), whose networks for CIFAR-10 these are. As there, the
asymmetric kernels are as long as the square one (3x1 and 1x3 beside 5x5 in the paper's first code); ResNet-56 projects
where the shape changes; WRN-16-8 ends in a norm without a ReLU, and its first convolution has a norm only as a block.
Deviation: with a dilation d the branches are shifted by d (k // 2), not k // 2, without which the three are not one kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import functional as F
from .. import nn
from ..nn.fuse import norm_affine
from ._registry import register

BRANCHES = ("square", "ver", "hor")

# ---------------------------------------------------------------------------------------------------- section 3: the block


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


# ----------------------------------------------------------------------------------- section 4: the networks for CIFAR-10


def conv(config: ACNetConfig, inputs: int, outputs: int, k: int, stride: int = 1) -> nn.Module:
    """A convolution, or the block in its place; a 1x1 kernel is all skeleton and stays."""
    if config.asymmetric and k > 1:
        return ACBlock(inputs, outputs, k, stride, k // 2, gamma=config.gamma)
    return nn.Conv2d(inputs, outputs, k, stride, k // 2, bias=False)


def conv_bn(config: ACNetConfig, inputs: int, outputs: int, k: int, stride: int = 1) -> nn.Module:
    """A convolution and its norm, or the block in their place."""
    made = conv(config, inputs, outputs, k, stride)
    return made if isinstance(made, ACBlock) else nn.Sequential({"conv": made, "bn": nn.BatchNorm2d(outputs)})


def conv_bn_relu(config: ACNetConfig, inputs: int, outputs: int, k: int, stride: int = 1) -> nn.Sequential:
    """The same, then ReLU."""
    made = conv(config, inputs, outputs, k, stride)
    parts = {"acb": made} if isinstance(made, ACBlock) else {"conv": made, "bn": nn.BatchNorm2d(outputs)}
    return nn.Sequential({**parts, "relu": nn.ReLU()})


def bn_relu_conv(config: ACNetConfig, inputs: int, outputs: int, k: int, stride: int = 1) -> nn.Sequential:
    """The order of pre-activation networks."""
    made = conv(config, inputs, outputs, k, stride)
    return nn.Sequential({"bn": nn.BatchNorm2d(inputs), "relu": nn.ReLU(), "acb" if isinstance(made, ACBlock) else "conv": made})


class CifarQuick(nn.Module):
    """Three 5x5 convolutions, each pooled by 3x3 windows at stride 2, and two linear layers."""

    def __init__(self, config: ACNetConfig) -> None:
        super().__init__()
        self.config, side, inputs = config, config.img_size, config.in_chans
        for i, width in enumerate(config.widths, start=1):
            self.add_module(f"conv{i}", conv_bn_relu(config, inputs, width, 5))
            inputs, side = width, (side - 3) // 2 + 1
        if side < 1:
            raise ValueError(f"CifarQuick pools {len(config.widths)} times: img_size {config.img_size} is too small")
        self.fc1 = nn.Linear(inputs * side * side, config.hidden)
        self.fc2 = nn.Linear(config.hidden, config.num_classes)

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, num_classes)"""
        for i in range(1, len(self.config.widths) + 1):
            x = getattr(self, f"conv{i}")(x)
            x = F.max_pool2d(x, 3, 2) if i == 1 else F.avg_pool2d(x, 3, 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


class VGG(nn.Module):
    """Simonyan & Zisserman's 3x3 convolutions, pooled after each stage, and two linear layers."""

    def __init__(self, config: ACNetConfig) -> None:
        super().__init__()
        self.config, inputs, number = config, config.in_chans, 0
        self.stem = nn.Sequential()
        for stage, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True), start=1):
            for _ in range(depth):
                number += 1
                self.stem.add_module(f"conv{number}", conv_bn_relu(config, inputs, width, 3))
                inputs = width
            self.stem.add_module(f"maxpool{stage}", nn.MaxPool2d(2))
        side = config.img_size >> len(config.widths)
        if side < 1:
            raise ValueError(f"VGG halves the image {len(config.widths)} times: img_size {config.img_size} is too small")
        self.linear1 = nn.Linear(inputs * side * side, config.hidden)
        self.linear2 = nn.Linear(config.hidden, config.num_classes)

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, num_classes)"""
        return self.linear2(F.relu(self.linear1(self.stem(x).flatten(1))))


class Branch(nn.Module):
    """He et al. 2016, figure 5, left: F(x)."""

    def __init__(self, config: ACNetConfig, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv_bn_relu(config, inputs, width, 3, stride)
        self.conv2 = conv_bn(config, width, width, 3)

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, width, H / stride, W / stride)"""
        return self.conv2(self.conv1(x))


class Stage(nn.Module):
    """Residual branches of one width. The first stage begins with the network's first convolution, the others project."""

    def __init__(self, config: ACNetConfig, inputs: int, width: int, depth: int, first: bool) -> None:
        super().__init__()
        self.depth, stride = depth, 1 if first else 2
        if first:
            self.conv1 = conv_bn(config, inputs, width, 3)
        else:
            self.projection = conv_bn(config, inputs, width, 1, stride)
        for i in range(depth):
            begins = i == 0 and not first
            self.add_module(f"block{i}", Branch(config, inputs if begins else width, width, stride if begins else 1))

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, width, H', W')"""
        if hasattr(self, "conv1"):
            x = shortcut = F.relu(self.conv1(x))
        else:
            shortcut = self.projection(x)
        for i in range(self.depth):
            x = shortcut = F.relu(shortcut + getattr(self, f"block{i}")(x))
        return x


class ResNet(nn.Module):
    """He et al. 2016, section 4.2, with projections: 6n + 2 layers."""

    def __init__(self, config: ACNetConfig) -> None:
        super().__init__()
        self.config, inputs = config, config.in_chans
        for i, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True), start=1):
            self.add_module(f"stage{i}", Stage(config, inputs, width, depth, i == 1))
            inputs = width
        self.linear = nn.Linear(inputs, config.num_classes)

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, num_classes)"""
        for i in range(1, len(self.config.widths) + 1):
            x = getattr(self, f"stage{i}")(x)
        return self.linear(x.mean((2, 3)))


class WideBlock(nn.Module):
    """Zagoruyko & Komodakis 2016, figure 1 (d) without dropout: norm and ReLU come before each convolution."""

    def __init__(self, config: ACNetConfig, inputs: int, width: int, stride: int, project: bool) -> None:
        super().__init__()
        self.proj = bn_relu_conv(config, inputs, width, 1, stride) if project else nn.Identity()
        self.conv1 = bn_relu_conv(config, inputs, width, 3, stride)
        self.conv2 = bn_relu_conv(config, width, width, 3)

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, width, H / stride, W / stride)"""
        return self.conv2(self.conv1(x)) + self.proj(x)


class WideResNet(nn.Module):
    """WRN-16-8: 16 channels, then three stages of two blocks, eight times as wide as ResNet's."""

    def __init__(self, config: ACNetConfig) -> None:
        super().__init__()
        self.config, inputs = config, 16
        self.conv1 = conv(config, config.in_chans, inputs, 3)
        for i, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True), start=1):
            first = WideBlock(config, inputs, width, 1 if i == 1 else 2, True)
            more = [WideBlock(config, width, width, 1, False) for _ in range(depth - 1)]
            self.add_module(f"stage{i}", nn.Sequential({f"block{j}": block for j, block in enumerate([first, *more], start=1)}))
            inputs = width
        self.last_bn = nn.BatchNorm2d(inputs)
        self.linear = nn.Linear(inputs, config.num_classes)

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, num_classes)"""
        x = self.conv1(x)
        for i in range(1, len(self.config.widths) + 1):
            x = getattr(self, f"stage{i}")(x)
        return self.linear(self.last_bn(x).mean((2, 3)))


NETWORKS: dict[str, Callable[[ACNetConfig], nn.Module]] = {
    "cifar_quick": CifarQuick,
    "vgg": VGG,
    "resnet": ResNet,
    "wide_resnet": WideResNet,
}


@dataclass(frozen=True)
class ACNetConfig:
    """Which network, and whether with blocks.

    network: one of NETWORKS; widths, depths: channels and layers (or blocks) of each stage; hidden: width of the linear
    layer before the last, where there is one; asymmetric: False for the plain network; gamma: what the scales of a block's
    norms begin with (the repository's advice for CIFAR is a third); img_size: the images' side.
    """

    network: str
    widths: tuple[int, ...]
    depths: tuple[int, ...] = (1, 1, 1)
    hidden: int = 64
    asymmetric: bool = True
    gamma: float | None = 1 / 3
    in_chans: int = 3
    num_classes: int = 10
    img_size: int = 32

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise ValueError(f"network is one of {', '.join(NETWORKS)}, got {self.network!r}")
        if len(self.widths) != len(self.depths):
            raise ValueError(f"widths and depths are as many as the stages, got {self.widths} and {self.depths}")

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return self.in_chans, self.img_size, self.img_size


VGG_16 = ACNetConfig("vgg", (64, 128, 256, 512, 512), (2, 2, 3, 3, 3), hidden=512)


@register("acnet_cifar_quick", ACNetConfig("cifar_quick", (32, 32, 64)), params=149_226, macs=15_054_464)
@register("acnet_vgg", VGG_16, params=24_810_570, macs=522_261_504)
@register("acnet_resnet56", ACNetConfig("resnet", (16, 32, 64), (9, 9, 9)), params=1_429_434, macs=209_404_544)
@register("acnet_wrn16_8", ACNetConfig("wide_resnet", (128, 256, 512), (2, 2, 2)), params=18_172_538, macs=2_567_656_448)
@register("acnet_digits", ACNetConfig("vgg", (16, 32), (1, 1), in_chans=1, img_size=8))
def build(config: ACNetConfig) -> nn.Module:
    """The network of the given configuration."""
    return NETWORKS[config.network](config)
