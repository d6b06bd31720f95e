"""Very Deep Convolutional Networks for Large-Scale Image Recognition.

Simonyan, Zisserman. ICLR 2015, arXiv 1409.1556.

Every convolution is 3x3, and depth is the only thing that grows. Three in a row see what one of 7x7 sees, with three ReLUs
between them in place of one and 27 C^2 weights in place of 49 C^2 (section 2.3).

Names and keys are torchvision's; `from_published` also takes timm's. Deviation, as there: the variants with batch norm (_bn)
are later than the paper; their convolutions keep biases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn
from ._backbone import Backbone, FeatureInfo, SquareImages
from ._registry import register

WIDTHS = (64, 128, 256, 512, 512)  # of the five stages, each of which ends in max pooling
DEPTHS = {"A": (1, 1, 2, 2, 2), "B": (2, 2, 2, 2, 2), "D": (2, 2, 3, 3, 3), "E": (2, 2, 4, 4, 4)}  # table 1
GRID = 7  # the classifier sees 7 x 7 places
TIMM = {"pre_logits.fc1": "classifier.0", "pre_logits.fc2": "classifier.3", "head.fc": "classifier.6"}


class VGG(Backbone):
    """Table 1: images (B, C, H, W) -> logits (B, num_classes)."""

    def __init__(self, config: VGGConfig) -> None:
        super().__init__()
        self.config = config
        self.features = nn.Sequential(*layers(config))
        self.avgpool = nn.AdaptiveAvgPool2d((config.grid, config.grid))
        hidden, dropped = config.hidden, config.drop_rate
        self.classifier = nn.Sequential(
            nn.Linear(config.widths[-1] * config.grid**2, hidden), nn.ReLU(), nn.Dropout(dropped),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropped),
            nn.Linear(hidden, config.num_classes) if config.num_classes else nn.Identity(),
        )  # fmt: skip
        self.apply(initialise)

    @property
    def feature_info(self) -> list[FeatureInfo]:
        """What forward_maps gives."""
        names = [str(int(name) - 1) for name, each in self.features.named_children() if isinstance(each, nn.MaxPool2d)]
        return [
            FeatureInfo(f"features.{name}", width, 2**i)
            for i, (name, width) in enumerate(zip(names, self.config.widths, strict=True))
        ]

    def forward_maps(self, x: Any) -> Iterator[Any]:
        """The map of each stage, before its pooling, while they are computed."""
        for layer in self.features.children():
            if isinstance(layer, nn.MaxPool2d):
                yield x
            x = layer(x)

    def forward_features(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, 512, H/32, W/32)"""
        return self.features(x)

    def forward_head(self, x: Any) -> Any:
        """Three fully connected layers on 7 x 7 places.  (B, 512, H', W') -> (B, num_classes)"""
        return self.classifier(self.avgpool(x).flatten(1))  # (B, 49 * 512) -> (B, num_classes)

    def from_published(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """timm's entries under these names: its fully connected layers are convolutions over the 7 x 7 places, (O, 512, 7, 7)."""
        return dict(translated(name, array) for name, array in arrays.items())


def layers(config: VGGConfig) -> Iterator[nn.Module]:
    """Section 2.1: 3x3 convolutions that keep the size, and pooling of 2 x 2 after each stage."""
    inputs = config.in_chans
    for width, depth in zip(config.widths, config.depths, strict=True):
        for _ in range(depth):
            yield nn.Conv2d(inputs, width, 3, padding=1)
            if config.batch_norm:
                yield nn.BatchNorm2d(width)
            yield nn.ReLU()
            inputs = width
        yield nn.MaxPool2d(2, stride=2)


def receptive_field(layers: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Section 2.3: how many pixels along a side one number sees, and how many pixels apart two neighbours see.

    layers: (kernel, stride) of each, first to last.
    A kernel of k adds k - 1 places of its input to what is seen, and these are as far apart as all strides before multiply to:
    r <- r + (k - 1) j,  then j <- j s,  from r = j = 1, the pixel itself.
    """
    reach, jump = 1, 1
    for kernel, stride in layers:
        reach += (kernel - 1) * jump
        jump *= stride
    return reach, jump


def translated(name: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    """One entry of timm's; others as they are. (O, C, 7, 7) -> (O, 49 C): both flatten channels first."""
    layer, _, kind = name.rpartition(".")
    if layer not in TIMM:
        return name, array
    return f"{TIMM[layer]}.{kind}", array.reshape(len(array), -1) if kind == "weight" else array


def initialise(module: nn.Module) -> None:
    """He et al. 2015 by what leaves a convolution; N(0, 0.01) for the fully connected layers; biases 0."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.01)
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.zeros_(module.bias)


@dataclass(frozen=True)
class VGGConfig(SquareImages):
    """Table 1's columns and what a user may change.

    depths, widths: convolutions and channels of each stage; grid: the classifier's places along a side; hidden: its width;
    drop_rate: after its first two layers.
    """

    depths: tuple[int, ...]
    batch_norm: bool = False
    widths: tuple[int, ...] = WIDTHS
    grid: int = GRID
    hidden: int = 4096
    drop_rate: float = 0.5
    in_chans: int = 3
    num_classes: int = 1000
    img_size: int = 224


@register("vgg11", VGGConfig(DEPTHS["A"]), params=132_863_336, macs=7_609_090_048)
@register("vgg13", VGGConfig(DEPTHS["B"]), params=133_047_848, macs=11_308_466_176)
@register("vgg16", VGGConfig(DEPTHS["D"]), params=138_357_544, macs=15_470_264_320)
@register("vgg19", VGGConfig(DEPTHS["E"]), params=143_667_240, macs=19_632_062_464)
@register("vgg11_bn", VGGConfig(DEPTHS["A"], True), params=132_868_840, macs=7_609_090_048)
@register("vgg13_bn", VGGConfig(DEPTHS["B"], True), params=133_053_736, macs=11_308_466_176)
@register("vgg16_bn", VGGConfig(DEPTHS["D"], True), params=138_365_992, macs=15_470_264_320)
@register("vgg19_bn", VGGConfig(DEPTHS["E"], True), params=143_678_248, macs=19_632_062_464)
@register("vgg_digits", VGGConfig((2, 2), True, (32, 64), 2, 64, 0.0, in_chans=1, num_classes=10, img_size=8))
def build(config: VGGConfig) -> VGG:
    """A VGG of the given configuration."""
    return VGG(config)
