"""Searching for MobileNetV3.

Howard, Sandler, Chu, Chen, Chen, Tan, Wang, Zhu, Pang, Vasudevan, Le, Adam. ICCV 2019, arXiv 1905.02244.

A search over MobileNetV2's blocks for speed on phones, with squeeze and excitation in some of them, and then by hand: a tail
that pools before its last layers, a stem of half as many filters, and h-swish, a swish without an exponential, where maps are
small.

Names and keys are torchvision's. Deviations, as there: squeeze and excitation narrows to a multiple of 8.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

from .. import functional as F
from .. import nn
from ._backbone import FeatureInfo
from ._registry import register
from .mobilenetv2 import ConvNorm, Mobile, Widened, has_shortcut, initialise, last_of_each, make_divisible

NORM = functools.partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
RE, HS = "relu", "hardswish"


class Row(NamedTuple):
    """A line of table 1 or 2: filter's side, expanded channels, outputs, squeeze and excitation, activation, stride."""

    kernel: int
    expanded: int
    outputs: int
    se: bool
    activation: str
    stride: int


LARGE = (
    Row(3, 16, 16, False, RE, 1),
    Row(3, 64, 24, False, RE, 2),
    Row(3, 72, 24, False, RE, 1),
    Row(5, 72, 40, True, RE, 2),
    Row(5, 120, 40, True, RE, 1),
    Row(5, 120, 40, True, RE, 1),
    Row(3, 240, 80, False, HS, 2),
    Row(3, 200, 80, False, HS, 1),
    Row(3, 184, 80, False, HS, 1),
    Row(3, 184, 80, False, HS, 1),
    Row(3, 480, 112, True, HS, 1),
    Row(3, 672, 112, True, HS, 1),
    Row(5, 672, 160, True, HS, 2),
    Row(5, 960, 160, True, HS, 1),
    Row(5, 960, 160, True, HS, 1),
)
SMALL = (
    Row(3, 16, 16, True, RE, 2),
    Row(3, 72, 24, False, RE, 2),
    Row(3, 88, 24, False, RE, 1),
    Row(5, 96, 40, True, HS, 2),
    Row(5, 240, 40, True, HS, 1),
    Row(5, 240, 40, True, HS, 1),
    Row(5, 120, 48, True, HS, 1),
    Row(5, 144, 48, True, HS, 1),
    Row(5, 288, 96, True, HS, 2),
    Row(5, 576, 96, True, HS, 1),
    Row(5, 576, 96, True, HS, 1),
)


class SqueezeExcitation(nn.Module):
    """Section 5.3: each channel is multiplied by a gate between 0 and 1 that is made from the means of all channels.

    fc1 narrows to a quarter of the channels, fc2 widens again; both are 1x1 convolutions with a bias.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = make_divisible(channels / 4)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def gates(self, x: Any) -> Any:
        """hard-sigmoid(fc2(ReLU(fc1(mean of x over its pixels)))).  (B, C, H, W) -> (B, C, 1, 1)"""
        mean = x.mean((2, 3), keepdims=True)  # (B, C, 1, 1)
        return F.hardsigmoid(self.fc2(F.relu(self.fc1(mean))))

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> the same"""
        return x * self.gates(x)


class Block(nn.Module):
    """Figure 4: MobileNetV2's block with squeeze and excitation where it is widest."""

    def __init__(self, inputs: int, row: Row) -> None:
        super().__init__()
        kernel, wide, outputs, se, activation, stride = row
        layers: list[nn.Module] = []
        if wide != inputs:
            layers.append(ConvNorm(inputs, wide, activation=activation, norm=NORM))
        layers.append(ConvNorm(wide, wide, kernel, stride, groups=wide, activation=activation, norm=NORM))
        if se:
            layers.append(SqueezeExcitation(wide))
        self.block = nn.Sequential(*layers, ConvNorm(wide, outputs, norm=NORM))
        self.shortcut = has_shortcut(inputs, outputs, stride)

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, outputs, H / stride, W / stride)"""
        *layers, project = self.block
        y = x
        for layer in layers:
            y = layer(y)
        return project(y, residual=x if self.shortcut else None)


class MobileNetV3(Mobile):
    """Table 1 or 2: images (B, C, H, W) -> logits (B, num_classes)."""

    def __init__(self, config: MobileNetV3Config) -> None:
        super().__init__()
        self.config = config
        rows, inputs = config.scaled_rows(), make_divisible(config.stem * config.width)
        self.features = nn.Sequential(ConvNorm(config.in_chans, inputs, 3, config.stem_stride, activation=HS, norm=NORM))
        for row in rows:
            self.features.append(Block(inputs, row))
            inputs = row.outputs
        self.features.append(ConvNorm(inputs, 6 * inputs, activation=HS, norm=NORM))
        self.classifier = tail(6 * inputs, make_divisible(config.last * config.width), config)
        self.apply(initialise)

    @property
    def feature_info(self) -> list[FeatureInfo]:
        """What forward_maps gives."""
        stem = make_divisible(self.config.stem * self.config.width)
        return last_of_each(self.config.stem_stride, stem, [(row.outputs, row.stride) for row in self.config.scaled_rows()])


def tail(inputs: int, last: int, config: MobileNetV3Config) -> nn.Module:
    """Section 5.1, figure 5: what MobileNetV2 computes for 7 x 7 pixels is computed after pooling, for one."""
    if not config.num_classes:
        return nn.Identity()
    return nn.Sequential(
        nn.Linear(inputs, last), nn.Hardswish(), nn.Dropout(config.drop_rate), nn.Linear(last, config.num_classes)
    )


@dataclass(frozen=True)
class MobileNetV3Config(Widened):
    """Tables 1 and 2, and what a user may change.

    rows: the blocks; last: channels of the layer after pooling; stem, stem_stride: of the first convolution; width: multiplies
    all channels; num_classes: 0 for no tail; img_size: that counts are given for, while any is taken; drop_rate: before the
    classifier.
    """

    rows: tuple[Row, ...]
    last: int
    stem: int = 16
    stem_stride: int = 2
    width: float = 1.0
    in_chans: int = 3
    num_classes: int = 1000
    img_size: int = 224
    drop_rate: float = 0.2

    def scaled_rows(self) -> list[Row]:
        """The rows with their channels multiplied."""
        return [
            row._replace(expanded=make_divisible(row.expanded * self.width), outputs=make_divisible(row.outputs * self.width))
            for row in self.rows
        ]


ROWS = (Row(3, 16, 16, False, RE, 1), Row(3, 64, 24, True, RE, 2), Row(3, 72, 24, True, HS, 1), Row(5, 96, 40, True, HS, 2))
DIGITS = MobileNetV3Config(ROWS, 128, 16, 1, in_chans=1, num_classes=10, img_size=8, drop_rate=0.0)


@register("mobilenet_v3_large", MobileNetV3Config(LARGE, 1280), params=5_483_032, macs=216_589_760)
@register("mobilenet_v3_small", MobileNetV3Config(SMALL, 1024), params=2_542_856, macs=56_510_400)
@register("mobilenet_v3_digits", DIGITS)
def build(config: MobileNetV3Config) -> MobileNetV3:
    """A MobileNetV3 of the given configuration."""
    return MobileNetV3(config)
