"""ACNet's networks for CIFAR-10, with asymmetric blocks or plain.

Ding, Guo, Ding, Han. ICCV 2019, arXiv 1908.03930, section 4.

Four networks of other papers in which every convolution wider than a pixel may be an asymmetric block (acnet.py): Cifar-quick,
VGG, ResNet-56 and WRN-16-8. A block stands for a convolution and its norm, so nothing else changes.

Names and keys are the official repository's (DingXiaoH/ACNet). As there, ResNet-56 projects where the shape changes, and
WRN-16-8 ends in a norm without a ReLU; its first convolution has a norm only as a block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import functional as F
from .. import nn
from ._backbone import SquareImages, check_choice
from ._registry import register
from .acnet import ACBlock


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
class ACNetConfig(SquareImages):
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
        check_choice(self, "network", NETWORKS)
        if len(self.widths) != len(self.depths):
            raise ValueError(f"widths and depths are as many as the stages, got {self.widths} and {self.depths}")


VGG_16 = ACNetConfig("vgg", (64, 128, 256, 512, 512), (2, 2, 3, 3, 3), hidden=512)


@register("acnet_cifar_quick", ACNetConfig("cifar_quick", (32, 32, 64)), params=149_226, macs=15_054_464)
@register("acnet_vgg", VGG_16, params=24_810_570, macs=522_261_504)
@register("acnet_resnet56", ACNetConfig("resnet", (16, 32, 64), (9, 9, 9)), params=1_429_434, macs=209_404_544)
@register("acnet_wrn16_8", ACNetConfig("wide_resnet", (128, 256, 512), (2, 2, 2)), params=18_172_538, macs=2_567_656_448)
@register("acnet_digits", ACNetConfig("vgg", (16, 32), (1, 1), in_chans=1, img_size=8))
def build(config: ACNetConfig) -> nn.Module:
    """The network of the given configuration."""
    return NETWORKS[config.network](config)
