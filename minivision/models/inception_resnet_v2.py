"""Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning: Inception-ResNet-v2.

Szegedy, Ioffe, Vanhoucke, Alemi. AAAI 2017, arXiv 1602.07261.

An Inception module learns what to add to its input: its branches end in a 1x1 convolution, and s times that is added. With a
small s (0.1 to 0.3, section 3.3) wide residual networks train where they otherwise become unstable.

Deviations, as in the weights the field downloads (timm's names and keys, from TensorFlow's slim): 10, 20 and 9 + 1 residual
modules, where the paper's figure 15 has 5, 10 and 5, and a plainer stem in place of figure 3's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import functional as F
from .. import nn
from ._backbone import Backbone, FeatureInfo, SquareImages, check_choice
from ._registry import register
from .inception_v4 import COLUMN, ROW, STEMS, Branches, ConvNorm, Layers

TALL, WIDE = (3, 1), (1, 3)


class Residual(nn.Module):
    """Section 3.3, figure 20: x + s W [branches of x], then ReLU unless it is the network's last.

    W is a 1x1 convolution with a bias and without a norm. (B, C, H, W) -> (B, C, H, W)
    """

    def __init__(self, make: Layers, channels: tuple[int, int], scale: float, branches: dict[str, nn.Module]) -> None:
        super().__init__()
        self.scale, self.last = scale, False
        for name, branch in branches.items():
            self.add_module(name, branch)
        inner, outputs = channels
        self.conv2d = nn.Conv2d(inner // make.narrow, outputs // make.narrow, 1)

    def branches(self, x: Any) -> Any:
        """What the branches found, side by side.  (B, C, H, W) -> (B, inner, H, W)"""
        return np.concatenate([branch(x) for name, branch in self.named_children() if name != "conv2d"], axis=1)

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, C, H, W)"""
        y = x + self.scale * self.conv2d(self.branches(x))
        return y if self.last else F.relu(y)


def block35(make: Layers, scale: float) -> Residual:
    """Figure 16, on the 35x35 map.  320 -> 320 maps"""
    near, far = make.chain(320, (32, 1), (32, 3)), make.chain(320, (32, 1), (48, 3), (64, 3))
    return Residual(make, (128, 320), scale, {"branch0": make.conv(320, 32, 1), "branch1": near, "branch2": far})


def block17(make: Layers, scale: float) -> Residual:
    """Figure 17, on the 17x17 map.  1088 -> 1088 maps"""
    far = make.chain(1088, (128, 1), (160, ROW), (192, COLUMN))
    return Residual(make, (384, 1088), scale, {"branch0": make.conv(1088, 192, 1), "branch1": far})


def block8(make: Layers, scale: float) -> Residual:
    """Figure 19, on the 8x8 map.  2080 -> 2080 maps"""
    far = make.chain(2080, (192, 1), (224, WIDE), (256, TALL))
    return Residual(make, (448, 2080), scale, {"branch0": make.conv(2080, 192, 1), "branch1": far})


def mixed_5b(make: Layers) -> Branches:
    """Before the first residual module.  192 -> 320 maps"""
    return Branches(
        branch0=make.conv(192, 96, 1),
        branch1=make.chain(192, (48, 1), (64, 5)),
        branch2=make.chain(192, (64, 1), (96, 3), (96, 3)),
        branch3=make.pooled(192, 64),
    )


def mixed_6a(make: Layers) -> Branches:
    """Figure 7: 35x35 to 17x17.  320 -> 1088 maps"""
    far = make.chain(320, (256, 1), (256, 3)).append(make.valid(256, 384, 3, 2))
    return Branches(branch0=make.valid(320, 384, 3, 2), branch1=far, branch2=make.maxpool())


def mixed_7a(make: Layers) -> Branches:
    """Figure 18: 17x17 to 8x8.  1088 -> 2080 maps"""
    return Branches(
        branch0=make.chain(1088, (256, 1)).append(make.valid(256, 384, 3, 2)),
        branch1=make.chain(1088, (256, 1)).append(make.valid(256, 288, 3, 2)),
        branch2=make.chain(1088, (256, 1), (288, 3)).append(make.valid(288, 320, 3, 2)),
        branch3=make.maxpool(),
    )


def stem(make: Layers, config: InceptionResNetV2Config) -> dict[str, nn.Module]:
    """(B, C, 299, 299) -> (B, 192, 35, 35); for small images one convolution that keeps the side."""
    if config.stem == "small":
        return {"conv2d_1a": ConvNorm(config.in_chans, 192 // make.narrow, 3)}
    return {
        "conv2d_1a": ConvNorm(config.in_chans, 32 // make.narrow, 3, 2, same=False),
        "conv2d_2a": make.valid(32, 32, 3),
        "conv2d_2b": make.conv(32, 64, 3),
        "maxpool_3a": make.maxpool(),
        "conv2d_3b": make.conv(64, 80, 1),
        "conv2d_4a": make.valid(80, 192, 3),
        "maxpool_5a": make.maxpool(),
    }


class InceptionResNetV2(Backbone):
    """Figure 15: images (B, C, H, W) -> logits (B, num_classes). The smallest image whose every map has a pixel is 75x75."""

    smallest: ClassVar[int] = 75  # with the stem for ImageNet

    def __init__(self, config: InceptionResNetV2Config) -> None:
        super().__init__()
        self.config, make = config, Layers(config.narrow)
        for name, module in {**stem(make, config), **body(make, config)}.items():
            self.add_module(name, module)
        self.head_drop = nn.Dropout(config.drop_rate)
        self.classif = nn.Linear(1536 // make.narrow, config.num_classes) if config.num_classes else nn.Identity()

    @property
    def feature_info(self) -> list[FeatureInfo]:
        """What forward_maps gives; without padding a map has some pixels less than the image's side over its stride."""
        maps = {"conv2d_2b": 64, "conv2d_4a": 192, "repeat": 320, "repeat_1": 1088, "conv2d_7b": 1536}
        found = [(name, width) for name, width in maps.items() if hasattr(self, name)]
        start = 2 if self.config.stem == "imagenet" else 1
        return [FeatureInfo(name, width // self.config.narrow, start << i) for i, (name, width) in enumerate(found)]

    def forward_maps(self, x: Any) -> Iterator[Any]:
        """The last map of each size, while they are computed."""
        return self.maps_along(x, self)

    def forward_head(self, x: Any) -> Any:
        """Global average pooling, dropout and the classifier.  (B, 1536, H', W') -> (B, num_classes)"""
        return self.classif(self.head_drop(x.mean((2, 3))))


def body(make: Layers, config: InceptionResNetV2Config) -> dict[str, nn.Module]:
    """Three stages of residual modules, and one more that is not scaled and ends without a ReLU."""
    (a, b, c), (near, middle, far) = config.depths, config.scales
    last = block8(make, 1.0)
    last.last = True
    return {
        "mixed_5b": mixed_5b(make),
        "repeat": nn.Sequential(*(block35(make, near) for _ in range(a))),
        "mixed_6a": mixed_6a(make),
        "repeat_1": nn.Sequential(*(block17(make, middle) for _ in range(b))),
        "mixed_7a": mixed_7a(make),
        "repeat_2": nn.Sequential(*(block8(make, far) for _ in range(c))),
        "block8": last,
        "conv2d_7b": make.conv(2080, 1536, 1),
    }


@dataclass(frozen=True)
class InceptionResNetV2Config(SquareImages):
    """Figure 15 as TensorFlow's slim has it, and what a user may change.

    depths, scales: residual modules on the 35x35, 17x17 and 8x8 map, and their s; narrow: the numbers of maps are divided by it,
    up to 32; stem: "imagenet", or "small" for one convolution that keeps the side; drop_rate: dropout before the classifier;
    num_classes: 0 for no head; img_size: that counts are given for, while any is taken that leaves every map a pixel.
    """

    depths: tuple[int, int, int] = (10, 20, 9)
    scales: tuple[float, float, float] = (0.17, 0.10, 0.20)
    narrow: int = 1
    stem: str = "imagenet"
    drop_rate: float = 0.0
    in_chans: int = 3
    num_classes: int = 1000
    img_size: int = 299

    def __post_init__(self) -> None:
        check_choice(self, "stem", STEMS)
        if not 1 <= self.narrow <= 32:
            raise ValueError(f"narrow divides numbers of maps that begin at 32: it is between 1 and 32, got {self.narrow}")


SMALL = InceptionResNetV2Config((1, 1, 1), narrow=16, stem="small", in_chans=1, num_classes=10, img_size=8)


@register("inception_resnet_v2", InceptionResNetV2Config(), params=55_843_464, macs=13_155_794_016)
@register("inception_resnet_v2_digits", SMALL)
def build(config: InceptionResNetV2Config) -> InceptionResNetV2:
    """An Inception-ResNet-v2 of the given configuration."""
    return InceptionResNetV2(config)
