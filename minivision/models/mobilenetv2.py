"""MobileNetV2: Inverted Residuals and Linear Bottlenecks.

Sandler, Howard, Zhu, Zhmoginov, Chen. CVPR 2018, arXiv 1801.04381.

What matters in a map lies in few dimensions, where a ReLU would destroy some of it. So a block carries few channels between
shortcuts, expands them sixfold for the depthwise convolution and its ReLU6, and projects back without any nonlinearity.

Names and keys are torchvision's. No deviations from it; TensorFlow's original has another epsilon in its norms, 1e-3, and pads
behind the image alone at stride 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .. import functional as F
from .. import nn
from ._backbone import Backbone, FeatureInfo, SquareImages
from ._registry import register

# Table 2: expansion t, outputs c, layers n, stride s of the first
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"relu": F.relu, "relu6": F.relu6, "hardswish": F.hardswish}


def make_divisible(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` that is nearest to a number of channels, as the authors' code rounds.

    Halves go up; what would lose more than a tenth of `channels`, above 0, is the next multiple, so that none becomes 0.
    """
    rounded = int(channels + divisor / 2) // divisor * divisor
    return rounded + divisor if rounded < 0.9 * channels else rounded


class ConvNorm(nn.Sequential):
    """A convolution that keeps the size at stride 1, a batch norm, and an activation, "" for none.

    (B, C, H, W) -> (B, outputs, ceil(H / stride), ceil(W / stride))
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, activation: str = "",
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:  # fmt: skip
        conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
        super().__init__(conv, norm(outputs))
        self.activation = activation

    def forward(self, x: Any, residual: Any = None) -> Any:
        """With a residual: that is added after the norm."""
        conv, norm = self
        if self.activation == "relu":
            return norm(conv(x), residual=residual, activation="relu")  # in one pass over memory
        y = norm(conv(x), residual=residual)
        return ACTIVATIONS[self.activation](y) if self.activation else y


class InvertedResidual(nn.Module):
    """Table 1 and figure 4d: 1x1 to t times the channels and 3x3 for each of them, both with ReLU6; 1x1 to few, with nothing."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = [ConvNorm(inputs, hidden, activation="relu6")] if expansion != 1 else []
        depthwise = ConvNorm(hidden, hidden, 3, stride, groups=hidden, activation="relu6")
        self.conv = nn.Sequential(*expand, depthwise, nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut = has_shortcut(inputs, outputs, stride)

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, outputs, H / stride, W / stride)"""
        *layers, norm = self.conv
        y = x
        for layer in layers:
            y = layer(y)
        return norm(y, residual=x if self.shortcut else None)  # section 3.2: the bottleneck is linear


def has_shortcut(inputs: int, outputs: int, stride: int) -> bool:
    """Section 3.3: the input is added where it has the result's shape: at stride 1, with as many channels."""
    return stride == 1 and inputs == outputs


class Mobile(Backbone):
    """What MobileNetV2 and V3 do with `features`, whose last layer is a 1x1 convolution for the head, and with `classifier`."""

    features: nn.Sequential
    classifier: nn.Module

    def forward_maps(self, x: Any) -> Iterator[Any]:
        """The last map of each size, while they are computed."""
        return self.maps_along(x, self.features, "features.")

    def forward_features(self, x: Any) -> Any:
        """The map that is pooled, of 1280, 960 or 576 channels.  (B, C, H, W) -> (B, D, H/32, W/32)"""
        return self.features(x)

    def forward_head(self, x: Any) -> Any:
        """Global average pooling and the classifier.  (B, D, H', W') -> (B, num_classes)"""
        return self.classifier(x.mean((2, 3)))


class MobileNetV2(Mobile):
    """Table 2: images (B, C, H, W) -> logits (B, num_classes)."""

    def __init__(self, config: MobileNetV2Config) -> None:
        super().__init__()
        self.config = config
        inputs, last = make_divisible(config.stem * config.width), make_divisible(config.last * max(config.width, 1.0))
        self.features = nn.Sequential(ConvNorm(config.in_chans, inputs, 3, config.stem_stride, activation="relu6"))
        for expansion, width, depth, stride in config.stages:
            outputs = make_divisible(width * config.width)
            for i in range(depth):
                self.features.append(InvertedResidual(inputs, outputs, stride if i == 0 else 1, expansion))
                inputs = outputs
        self.features.append(ConvNorm(inputs, last, activation="relu6"))
        head = nn.Linear(last, config.num_classes) if config.num_classes else nn.Identity()
        self.classifier = nn.Sequential(nn.Dropout(config.drop_rate), head)
        self.apply(initialise)

    @property
    def feature_info(self) -> list[FeatureInfo]:
        """What forward_maps gives."""
        channels = (make_divisible(width * self.config.width) for _, width, depth, _ in self.config.stages for _ in range(depth))
        strides = (stride if i == 0 else 1 for _, _, depth, stride in self.config.stages for i in range(depth))
        return last_of_each(self.config.stem_stride, self.features[0][0].out_channels, list(zip(channels, strides, strict=True)))


def last_of_each(stride: int, channels: int, blocks: list[tuple[int, int]]) -> list[FeatureInfo]:
    """The last map of each size among features.0, of this stride, and the blocks after it, each (channels, stride)."""
    found = {stride: FeatureInfo("features.0", channels, stride)}
    for i, (channels, step) in enumerate(blocks, start=1):
        stride *= step
        found[stride] = FeatureInfo(f"features.{i}", channels, stride)
    return list(found.values())


def initialise(module: nn.Module) -> None:
    """He et al. 2015, by what leaves a convolution; the classifier near 0; biases at 0."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.01)
    if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
        nn.init.zeros_(module.bias)


class Widened(SquareImages):
    """A configuration whose `width` multiplies all channels (section 4)."""

    width: float

    def __post_init__(self) -> None:
        if self.width <= 0:
            raise ValueError(f"width multiplies the channels and is above 0, got {self.width}")


@dataclass(frozen=True)
class MobileNetV2Config(Widened):
    """Table 2, and what a user may change.

    stages: (expansion, outputs, layers, stride of the first layer) of each; stem, stem_stride: of the first convolution; last:
    channels of the last one; width: multiplies all channels, but those of the last one only from 1 on (section 4);
    num_classes: 0 for no head; img_size: that counts are given for, while any is taken; drop_rate: before the classifier.
    """

    stages: tuple[tuple[int, int, int, int], ...] = STAGES
    stem: int = 32
    stem_stride: int = 2
    last: int = 1280
    width: float = 1.0
    in_chans: int = 3
    num_classes: int = 1000
    img_size: int = 224
    drop_rate: float = 0.2


DIGITS = MobileNetV2Config(
    ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 2, 2)), 16, 1, 128, in_chans=1, num_classes=10, img_size=8, drop_rate=0.0
)


@register("mobilenet_v2", MobileNetV2Config(), params=3_504_872, macs=300_774_272)
@register("mobilenet_v2_digits", DIGITS)
def build(config: MobileNetV2Config) -> MobileNetV2:
    """A MobileNetV2 of the given configuration."""
    return MobileNetV2(config)
