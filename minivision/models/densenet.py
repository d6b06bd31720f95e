"""Densely Connected Convolutional Networks.

Huang, Liu, van der Maaten, Weinberger. CVPR 2017, arXiv 1608.06993.

Every layer of a block sees the maps of all layers before it, side by side, and adds a few of its own. What was computed once
need not be learnt again, so the layers can be narrow; and the loss is only a few layers away from each of them.

Names and keys are torchvision's; `load_weights` also takes those of the files published in 2017. No deviations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import functional as F
from .. import nn
from ._backbone import Backbone, FeatureInfo, SquareImages, check_choice
from ._registry import register

STEMS = ("imagenet", "cifar")
COMPRESSION = 2  # a transition keeps one map of so many: theta = 1/2 in section 3
HALVES = ("pool", "transition")  # how the parts of DenseNet.features begin that halve the maps' sides


class DenseLayer(nn.Module):
    """H_l of eq. 2 with a bottleneck (section 3): BN, ReLU, 1x1 to bn_size k maps; BN, ReLU, 3x3 to k maps."""

    def __init__(self, inputs: int, config: DenseNetConfig) -> None:
        super().__init__()
        inner = config.bn_size * config.growth_rate
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, config.growth_rate, 3, padding=1, bias=False)
        self.drop = nn.Dropout(config.drop_rate)

    def forward(self, x: Any) -> Any:
        """The new maps alone.  (B, C, H, W) -> (B, k, H, W)"""
        x = self.conv1(self.norm1(x, activation="relu"))
        return self.drop(self.conv2(self.norm2(x, activation="relu")))


class DenseBlock(nn.Sequential):
    """Eq. 2: x_l = H_l([x_0, x_1, ..., x_(l-1)]) for L layers; what leaves is all of it, [x_0, ..., x_L]."""

    def __init__(self, inputs: int, depth: int, config: DenseNetConfig) -> None:
        growth = config.growth_rate
        super().__init__({f"denselayer{i + 1}": DenseLayer(inputs + i * growth, config) for i in range(depth)})

    def forward(self, x: Any) -> Any:
        """Each layer sees every map so far and appends its own.  (B, C, H, W) -> (B, C + L k, H, W)"""
        for layer in self:
            x = np.concatenate([x, layer(x)], axis=1)  # (B, C + l k, H, W)
        return x


def transition(inputs: int) -> nn.Sequential:
    """Section 3, between blocks: half the maps, half the side.  (B, C, H, W) -> (B, C / 2, H / 2, W / 2)"""
    conv = nn.Conv2d(inputs, inputs // COMPRESSION, 1, bias=False)
    return nn.Sequential({"norm": nn.BatchNorm2d(inputs), "relu": nn.ReLU(), "conv": conv, "pool": nn.AvgPool2d(2)})


def stem(config: DenseNetConfig) -> dict[str, nn.Module]:
    """Table 1's 7x7 convolution and pooling; for CIFAR and smaller a 3x3 convolution that keeps the side."""
    width = config.stem_width
    if config.stem == "cifar":
        return {"conv0": nn.Conv2d(config.in_chans, width, 3, padding=1, bias=False)}
    conv = nn.Conv2d(config.in_chans, width, 7, stride=2, padding=3, bias=False)
    return {"conv0": conv, "norm0": nn.BatchNorm2d(width), "relu0": nn.ReLU(), "pool0": nn.MaxPool2d(3, stride=2, padding=1)}


class DenseNet(Backbone):
    """Figure 2 and table 1: images (B, C, H, W) -> logits (B, num_classes)."""

    def __init__(self, config: DenseNetConfig) -> None:
        super().__init__()
        self.config = config
        parts, width = stem(config), config.stem_width
        for i, depth in enumerate(config.depths, start=1):
            parts[f"denseblock{i}"] = DenseBlock(width, depth, config)
            width += depth * config.growth_rate
            if i < len(config.depths):
                parts[f"transition{i}"] = transition(width)
                width //= COMPRESSION
        self.features = nn.Sequential({**parts, "norm5": nn.BatchNorm2d(width)})
        self.classifier = nn.Linear(width, config.num_classes) if config.num_classes else nn.Identity()
        self.apply(initialise)

    @property
    def feature_info(self) -> list[FeatureInfo]:
        """What forward_maps gives."""
        config = self.config
        width, stride = config.stem_width, 4 if config.stem == "imagenet" else 1
        found = [FeatureInfo("features.norm0", width, 2)] if config.stem == "imagenet" else []
        for i, depth in enumerate(config.depths, start=1):
            width += depth * config.growth_rate
            name = f"denseblock{i}" if i < len(config.depths) else "norm5"
            found.append(FeatureInfo(f"features.{name}", width, stride))
            width, stride = width // COMPRESSION, 2 * stride
        return found

    def forward_maps(self, x: Any) -> Iterator[Any]:
        """The last map of each size, while they are computed."""
        for name, part in self.features.named_children():
            if name.startswith(HALVES):
                yield x
            x = part(x)
        yield F.relu(x)

    def forward_head(self, x: Any) -> Any:
        """Global average pooling and the classifier.  (B, D, H', W') -> (B, num_classes)"""
        return self.classifier(x.mean((2, 3)))

    def from_published(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """The names of 2017 under today's; see `renamed`."""
        return renamed(arrays)


PUBLISHED_2017 = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")  # "denselayer1.norm.1.weight"


def renamed(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping with today's names: "norm.1" and "conv.2" of the files published in 2017 become "norm1" and "conv2".

    Names of today stay, and so do the values.
    """
    return {PUBLISHED_2017.sub(r"\1\2.", key): value for key, value in mapping.items()}


def initialise(module: nn.Module) -> None:
    """He et al. 2015; norms begin as the identity, the classifier without bias."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


@dataclass(frozen=True)
class DenseNetConfig(SquareImages):
    """Table 1's columns, and what a user may change.

    depths: layers of each block; growth_rate: k, the maps that a layer adds; stem_width: maps before the first block; bn_size:
    a bottleneck has bn_size k maps; stem: "imagenet" (7x7 and pooling, a quarter of the side) or "cifar" (3x3, the whole
    side); drop_rate: dropout after each layer; num_classes: 0 for no head; img_size: that counts are given for, while any is
    taken.
    """

    depths: tuple[int, ...]
    growth_rate: int = 32
    stem_width: int = 64
    bn_size: int = 4
    stem: str = "imagenet"
    drop_rate: float = 0.0
    in_chans: int = 3
    num_classes: int = 1000
    img_size: int = 224

    def __post_init__(self) -> None:
        check_choice(self, "stem", STEMS)
        if not self.depths or min(self.depths) < 1:
            raise ValueError(f"depths has the layers of each block, at least one in each, got {self.depths}")


@register("densenet121", DenseNetConfig((6, 12, 24, 16)), params=7_978_856, macs=2_834_161_664)
@register("densenet169", DenseNetConfig((6, 12, 32, 32)), params=14_149_480, macs=3_359_843_328)
@register("densenet201", DenseNetConfig((6, 12, 48, 32)), params=20_013_928, macs=4_291_365_888)
@register("densenet_digits", DenseNetConfig((4, 4), 8, 16, stem="cifar", in_chans=1, num_classes=10, img_size=8))
def build(config: DenseNetConfig) -> DenseNet:
    """A DenseNet of the given configuration."""
    return DenseNet(config)
