"""Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning: Inception-v4.

Szegedy, Ioffe, Vanhoucke, Alemi. AAAI 2017, arXiv 1602.07261.

A module looks at its input through several branches at once, near and far, and lays what they found side by side. Far is
cheap: an n x n convolution is replaced by a 1 x n and an n x 1 one, which see the same for 2 / n of the cost.

Names and keys are timm's. No deviations from the paper's figures 3 to 9. Figure 10, k = 192, l = 224, m = 256, n = 384.
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

Kernel = int | tuple[int, int]
ROW, COLUMN = (1, 7), (7, 1)
STEMS = ("imagenet", "small")


class ConvNorm(nn.Module):
    """Convolution, batch norm, ReLU; kernel is n or (height, width).  (B, C, H, W) -> (B, outputs, H', W')

    same: padded so that at stride 1 the map keeps its size; otherwise only what fits is computed, which the figures mark "V".
    """

    def __init__(self, inputs: int, outputs: int, kernel: Kernel, stride: int = 1, same: bool = True) -> None:
        super().__init__()
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (height // 2, width // 2) if same else 0
        self.conv = nn.Conv2d(inputs, outputs, (height, width), stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Any) -> Any:
        """ReLU(BN(W x))"""
        return F.relu(self.bn(self.conv(x)))


@dataclass(frozen=True)
class Layers:
    """Makes the paper's layers; every number of maps is the paper's over `narrow`, for small networks."""

    narrow: int = 1

    def conv(self, inputs: int, outputs: int, kernel: Kernel) -> ConvNorm:
        """A convolution that keeps the map's size."""
        return ConvNorm(inputs // self.narrow, outputs // self.narrow, kernel)

    def valid(self, inputs: int, outputs: int, kernel: Kernel, stride: int = 1) -> ConvNorm:
        """A convolution that the figures mark "V": no padding."""
        return ConvNorm(inputs // self.narrow, outputs // self.narrow, kernel, stride, same=False)

    def chain(self, inputs: int, *layers: tuple[int, Kernel]) -> nn.Sequential:
        """Convolutions one after the other that keep the map's size, each given as (outputs, kernel)."""
        made = nn.Sequential()
        for outputs, kernel in layers:
            made.append(self.conv(inputs, outputs, kernel))
            inputs = outputs
        return made

    def pooled(self, inputs: int, outputs: int) -> nn.Sequential:
        """3x3 averages, which leave the padding out, and a 1x1 convolution."""
        return nn.Sequential(nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False), self.conv(inputs, outputs, 1))

    def maxpool(self) -> nn.MaxPool2d:
        """3x3 maxima of every second pixel, without padding."""
        return nn.MaxPool2d(3, stride=2)


class Branches(nn.Module):
    """What most modules are: branches that see the same input, and their maps side by side."""

    def __init__(self, **branches: nn.Module) -> None:
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, sum of C_j, H', W')"""
        return np.concatenate([branch(x) for branch in self.children()], axis=1)  # (B, sum of C_j, H', W')


def stem(make: Layers, in_chans: int) -> list[nn.Module]:
    """Figure 3: (B, C, 299, 299) -> (B, 384, 35, 35); three times a pooling or two chains stand side by side."""
    far = make.chain(160, (64, 1), (64, ROW), (64, COLUMN)).append(make.valid(64, 96, 3))
    return [
        ConvNorm(in_chans, 32 // make.narrow, 3, 2, same=False),
        make.valid(32, 32, 3),
        make.conv(32, 64, 3),
        Branches(maxpool=make.maxpool(), conv=make.valid(64, 96, 3, 2)),
        Branches(branch0=make.chain(160, (64, 1)).append(make.valid(64, 96, 3)), branch1=far),
        Branches(conv=make.valid(192, 192, 3, 2), maxpool=make.maxpool()),
    ]


def inception_a(make: Layers) -> Branches:
    """Figure 4, on the 35x35 map.  384 -> 384 maps"""
    return Branches(
        branch0=make.conv(384, 96, 1),
        branch1=make.chain(384, (64, 1), (96, 3)),
        branch2=make.chain(384, (64, 1), (96, 3), (96, 3)),
        branch3=make.pooled(384, 96),
    )


def reduction_a(make: Layers) -> Branches:
    """Figure 7: 35x35 to 17x17.  384 -> 1024 maps"""
    far = make.chain(384, (192, 1), (224, 3)).append(make.valid(224, 256, 3, 2))
    return Branches(branch0=make.valid(384, 384, 3, 2), branch1=far, branch2=make.maxpool())


def inception_b(make: Layers) -> Branches:
    """Figure 5, on the 17x17 map: 7x7 as 1x7 and 7x1.  1024 -> 1024 maps"""
    return Branches(
        branch0=make.conv(1024, 384, 1),
        branch1=make.chain(1024, (192, 1), (224, ROW), (256, COLUMN)),
        branch2=make.chain(1024, (192, 1), (192, COLUMN), (224, ROW), (224, COLUMN), (256, ROW)),
        branch3=make.pooled(1024, 128),
    )


def reduction_b(make: Layers) -> Branches:
    """Figure 8: 17x17 to 8x8.  1024 -> 1536 maps"""
    near = make.chain(1024, (192, 1)).append(make.valid(192, 192, 3, 2))
    far = make.chain(1024, (256, 1), (256, ROW), (320, COLUMN)).append(make.valid(320, 320, 3, 2))
    return Branches(branch0=near, branch1=far, branch2=make.maxpool())


class InceptionC(nn.Module):
    """Figure 6, on the 8x8 map: 1x3 and 3x1 stand side by side, not one after the other.  1536 -> 1536 maps"""

    def __init__(self, make: Layers) -> None:
        super().__init__()
        self.branch0 = make.conv(1536, 256, 1)
        self.branch1_0 = make.conv(1536, 384, 1)
        self.branch1_1a = make.conv(384, 256, (1, 3))
        self.branch1_1b = make.conv(384, 256, (3, 1))
        self.branch2_0 = make.conv(1536, 384, 1)
        self.branch2_1 = make.conv(384, 448, (3, 1))
        self.branch2_2 = make.conv(448, 512, (1, 3))
        self.branch2_3a = make.conv(512, 256, (1, 3))
        self.branch2_3b = make.conv(512, 256, (3, 1))
        self.branch3 = make.pooled(1536, 256)

    def forward(self, x: Any) -> Any:
        """(B, 1536, H, W) -> (B, 1536, H, W)"""
        near = self.branch1_0(x)
        far = self.branch2_2(self.branch2_1(self.branch2_0(x)))
        forks = [self.branch1_1a(near), self.branch1_1b(near), self.branch2_3a(far), self.branch2_3b(far)]
        return np.concatenate([self.branch0(x), *forks, self.branch3(x)], axis=1)  # (B, 1536, H, W)


class InceptionV4(Backbone):
    """Figure 9: images (B, C, H, W) -> logits (B, num_classes). The smallest image whose every map has a pixel is 75x75."""

    smallest: ClassVar[int] = 75  # with the paper's stem

    def __init__(self, config: InceptionV4Config) -> None:
        super().__init__()
        self.config, make = config, Layers(config.narrow)
        small: list[nn.Module] = [ConvNorm(config.in_chans, 384 // make.narrow, 3)]
        first = stem(make, config.in_chans) if config.stem == "imagenet" else small
        a, b, c = config.depths
        to_17 = [*(inception_a(make) for _ in range(a)), reduction_a(make)]
        to_8 = [*(inception_b(make) for _ in range(b)), reduction_b(make)]
        self.features = nn.Sequential(*first, *to_17, *to_8, *(InceptionC(make) for _ in range(c)))
        self.head_drop = nn.Dropout(config.drop_rate)
        self.last_linear = nn.Linear(1536 // make.narrow, config.num_classes) if config.num_classes else nn.Identity()

    @property
    def feature_info(self) -> list[FeatureInfo]:
        """What forward_maps gives; without padding a map has some pixels less than the image's side over its stride."""
        a, b, c = self.config.depths
        before = [2, 3] if self.config.stem == "imagenet" else []  # of the stem's modules, the last of their size
        first = 5 if before else 0
        ends = [*before, first + a, first + a + 1 + b, first + a + b + c + 2]
        channels = (64, 160, 384, 1024, 1536)[-len(ends) :]
        start = 2 if before else 1
        return [
            FeatureInfo(f"features.{end}", width // self.config.narrow, start << i)
            for i, (end, width) in enumerate(zip(ends, channels, strict=True))
        ]

    def forward_maps(self, x: Any) -> Iterator[Any]:
        """The last map of each size, while they are computed."""
        return self.maps_along(x, self.features, "features.")

    def forward_head(self, x: Any) -> Any:
        """Global average pooling, dropout and the classifier.  (B, 1536, H', W') -> (B, num_classes)"""
        return self.last_linear(self.head_drop(x.mean((2, 3))))


@dataclass(frozen=True)
class InceptionV4Config(SquareImages):
    """Figure 9, and what a user may change.

    depths: modules A, B and C; narrow: the paper's numbers of maps are divided by it, up to 32; stem: "imagenet", or "small" for
    one convolution that keeps the side; drop_rate: dropout before the classifier (section 3; timm's default is none);
    num_classes: 0 for no head; img_size: that counts are given for, while any is taken that leaves every map a pixel.
    """

    depths: tuple[int, int, int] = (4, 7, 3)
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


SMALL = InceptionV4Config((1, 1, 1), 16, "small", in_chans=1, num_classes=10, img_size=8)


@register("inception_v4", InceptionV4Config(), params=42_679_816, macs=12_253_974_624)
@register("inception_v4_digits", SMALL)
def build(config: InceptionV4Config) -> InceptionV4:
    """An Inception-v4 of the given configuration."""
    return InceptionV4(config)
