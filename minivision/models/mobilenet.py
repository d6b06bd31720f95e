"""MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications.

Howard, Zhu, Chen, Kalenichenko, Wang, Weyand, Andreetto, Adam. arXiv 1704.04861 (2017).

A convolution does two things at once: it filters in space and it combines channels. Done one after the other, by one filter
for each channel and then by a 1x1 convolution, they cost 1/N + 1/k^2 of it for N outputs and k x k filters.

Names and keys are timm's. Deviations, as there: ReLU6 where the paper's figure 3 has ReLU, and one pixel of padding around the
image where TensorFlow's original pads behind it alone at stride 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .. import functional as F
from .. import nn
from ._backbone import Backbone, FeatureInfo, SquareImages
from ._registry import register

STAGES = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2))  # table 1: outputs, layers, stride of the first


class DepthwiseSeparable(nn.Module):
    """Section 3.1 and figure 3, right: 3x3 for each channel alone (eq. 3), then 1x1 over the channels; a norm after each."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(inputs, inputs, 3, stride=stride, padding=1, groups=inputs, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv_pw = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, outputs, H / stride, W / stride)"""
        x = F.relu6(self.bn1(self.conv_dw(x)))  # (B, C, H / stride, W / stride)
        return F.relu6(self.bn2(self.conv_pw(x)))


class Full(nn.Module):
    """Figure 3, left: the convolution that it replaces, for the comparison of table 4."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, outputs, H / stride, W / stride)"""
        return F.relu6(self.bn1(self.conv(x)))


class MobileNet(Backbone):
    """Table 1: images (B, C, H, W) -> logits (B, num_classes)."""

    def __init__(self, config: MobileNetConfig) -> None:
        super().__init__()
        self.config = config
        inputs = config.channels(config.stem)
        self.conv_stem = nn.Conv2d(config.in_chans, inputs, 3, stride=config.stem_stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.blocks = nn.Sequential()
        for width, depth, stride in config.stages:
            self.blocks.append(stage(inputs, config.channels(width), depth, stride, config.separable))
            inputs = config.channels(width)
        self.classifier = nn.Linear(inputs, config.num_classes) if config.num_classes else nn.Identity()
        self.apply(initialise)

    @property
    def feature_info(self) -> list[FeatureInfo]:
        """What forward_maps gives."""
        found, reduction = [], self.config.stem_stride
        for i, (width, _, stride) in enumerate(self.config.stages):
            reduction *= stride
            found.append(FeatureInfo(f"blocks.{i}", self.config.channels(width), reduction))
        return found

    def forward_maps(self, x: Any) -> Iterator[Any]:
        """The map after each stage, while they are computed."""
        x = F.relu6(self.bn1(self.conv_stem(x)))  # (B, 32, H/2, W/2)
        for each in self.blocks:
            x = each(x)
            yield x

    def forward_head(self, x: Any) -> Any:
        """Global average pooling and the classifier.  (B, D, H', W') -> (B, num_classes)"""
        return self.classifier(F.dropout(x.mean((2, 3)), self.config.drop_rate, self.training))


def stage(inputs: int, width: int, depth: int, stride: int, separable: bool) -> nn.Sequential:
    """Layers of one width; the first one takes the stride."""
    block = DepthwiseSeparable if separable else Full
    return nn.Sequential(block(inputs, width, stride), *(block(width, width, 1) for _ in range(depth - 1)))


def separable_share(outputs: int, kernel: int) -> float:
    """What a depthwise separable convolution costs, as a part of the full one; section 3.1, below eq. 5.

    For M inputs, N = `outputs`, filters of k = `kernel` by k and a map of F x F:

        (k k M F F + M N F F) / (k k M N F F) = 1/N + 1/k^2

    outputs, kernel: positive integers. Neither the inputs nor the size of the map matter.
    """
    return 1.0 / outputs + 1.0 / kernel**2


def initialise(module: nn.Module) -> None:
    """He et al. 2015 by what leaves each convolution, in its own group of channels; the classifier uniform, its bias at 0."""
    if isinstance(module, nn.Conv2d):
        fan_out = module.out_channels // module.groups * math.prod(module.kernel_size)
        nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
    if isinstance(module, nn.Linear):
        s = 1.0 / math.sqrt(module.out_features)
        nn.init.uniform_(module.weight, -s, s)
        nn.init.zeros_(module.bias)


@dataclass(frozen=True)
class MobileNetConfig(SquareImages):
    """Table 1, and what a user may change.

    stages: (outputs, layers, stride of the first layer) of each; stem, stem_stride: of the first convolution; width: section
    3.3's alpha, by which all channels are multiplied; separable: False for full convolutions; num_classes: 0 for no head;
    img_size: that counts are given for, while any is taken (section 3.4's rho is its change); drop_rate: before the classifier.
    """

    stages: tuple[tuple[int, int, int], ...] = STAGES
    stem: int = 32
    stem_stride: int = 2
    width: float = 1.0
    separable: bool = True
    in_chans: int = 3
    num_classes: int = 1000
    img_size: int = 224
    drop_rate: float = 0.0

    def __post_init__(self) -> None:
        if self.width <= 0:
            raise ValueError(f"width multiplies the channels and is above 0, got {self.width}")

    def channels(self, count: int) -> int:
        """alpha times so many channels, at least one."""
        return max(int(self.width * count), 1)


DIGITS = MobileNetConfig(((32, 1, 1), (64, 2, 2), (128, 2, 2)), 16, 1, in_chans=1, num_classes=10, img_size=8)


@register("mobilenetv1_100", MobileNetConfig(), params=4_231_976, macs=568_740_352)
@register("mobilenetv1_digits", DIGITS)
def build(config: MobileNetConfig) -> MobileNet:
    """A MobileNet of the given configuration."""
    return MobileNet(config)
