"""ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design.

Ma, Zhang, Zheng, Sun. ECCV 2018, arXiv 1807.11164.

The speed of a small network is set by memory traffic and by the number of its pieces as much as by its multiply-adds: four
guidelines follow (section 2). A unit that keeps them splits the channels, works on one half with as many channels in as out
and without groups, puts the halves side by side instead of adding them, and shuffles, so that the next unit splits others.

Deviations: none that is known; names and keys are torchvision's. Stage 1 of the paper's table 5 is conv1 and maxpool.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import functional as F
from .. import nn
from ._backbone import Backbone, FeatureInfo, SquareImages, check_choice
from ._registry import register

STEMS = ("imagenet", "small")


def pointwise(inputs: int, outputs: int) -> list[nn.Module]:
    """A 1x1 convolution with its norm and ReLU."""
    return [nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]


def depthwise(channels: int, stride: int) -> list[nn.Module]:
    """A 3x3 convolution of each channel by itself, with its norm; no ReLU follows."""
    return [nn.Conv2d(channels, channels, 3, stride=stride, padding=1, groups=channels, bias=False), nn.BatchNorm2d(channels)]


class Unit(nn.Module):
    """Figure 3 (c), stride 1: half of the channels pass, the other half is worked on.  (B, C, H, W) -> (B, C, H, W)"""

    def __init__(self, channels: int, shuffle: bool = True) -> None:
        super().__init__()
        half, self.shuffle = channels // 2, shuffle
        self.branch2 = nn.Sequential(*pointwise(half, half), *depthwise(half, 1), *pointwise(half, half))

    def forward(self, x: Any) -> Any:
        """Split, work, concatenate, shuffle."""
        half = x.shape[1] // 2
        kept, worked = x[:, :half], x[:, half:]  # each (B, C / 2, H, W)
        return join(kept, self.branch2(worked), self.shuffle)


class DownUnit(nn.Module):
    """Figure 3 (d), stride 2: no split, both branches see all of x.  (B, C, H, W) -> (B, outputs, H / 2, W / 2)"""

    def __init__(self, inputs: int, outputs: int, shuffle: bool = True) -> None:
        super().__init__()
        half, self.shuffle = outputs // 2, shuffle
        self.branch1 = nn.Sequential(*depthwise(inputs, 2), *pointwise(inputs, half))
        self.branch2 = nn.Sequential(*pointwise(inputs, half), *depthwise(half, 2), *pointwise(half, half))

    def forward(self, x: Any) -> Any:
        """Both branches, concatenate, shuffle."""
        return join(self.branch1(x), self.branch2(x), self.shuffle)


def join(a: Any, b: Any, shuffle: bool) -> Any:
    """The halves side by side, then a channel of each in turn.  two (B, C / 2, H, W) -> (B, C, H, W)"""
    both = np.concatenate([a, b], axis=1)
    return F.channel_shuffle(both, 2) if shuffle else both


class ShuffleNetV2(Backbone):
    """Table 5: images (B, C, H, W) -> logits (B, num_classes)."""

    def __init__(self, config: ShuffleNetV2Config) -> None:
        super().__init__()
        self.config = config
        first, *widths, last = config.widths
        stride = 2 if config.stem == "imagenet" else 1
        stem = nn.Conv2d(config.in_chans, first, 3, stride=stride, padding=1, bias=False)
        self.conv1 = nn.Sequential(stem, nn.BatchNorm2d(first), nn.ReLU())
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if config.stem == "imagenet" else nn.Identity()
        for i, (inputs, outputs, depth) in enumerate(zip([first, *widths], widths, config.depths, strict=False), start=2):
            self.add_module(f"stage{i}", stage(inputs, outputs, depth, config.shuffle))
        self.conv5 = nn.Sequential(*pointwise(widths[-1], last))
        self.fc = nn.Linear(last, config.num_classes) if config.num_classes else nn.Identity()

    @property
    def stages(self) -> list[str]:
        """Names of the stages."""
        return [f"stage{i + 2}" for i in range(len(self.config.depths))]

    @property
    def feature_info(self) -> list[FeatureInfo]:
        """What forward_maps gives: the last map of each stride."""
        first, *widths, last = self.config.widths
        stem = [("conv1", first, 2), ("maxpool", first, 4)] if self.config.stem == "imagenet" else [("conv1", first, 1)]
        widths[-1] = last
        stages = zip([*self.stages[:-1], "conv5"], widths, strict=True)
        return [FeatureInfo(*each) for each in stem] + [
            FeatureInfo(name, width, stem[-1][2] << i) for i, (name, width) in enumerate(stages, start=1)
        ]

    def forward_maps(self, x: Any) -> Iterator[Any]:
        """The last map of each stride, while they are computed."""
        x = self.conv1(x)
        yield x
        if self.config.stem == "imagenet":
            x = self.maxpool(x)
            yield x
        *names, final = self.stages
        for name in names:
            x = getattr(self, name)(x)
            yield x
        yield self.conv5(getattr(self, final)(x))

    def forward_head(self, x: Any) -> Any:
        """Global average pooling and the classifier.  (B, D, H', W') -> (B, num_classes)"""
        return self.fc(x.mean((2, 3)))


def stage(inputs: int, outputs: int, depth: int, shuffle: bool) -> nn.Sequential:
    """One unit that halves the side, then depth - 1 that keep it."""
    return nn.Sequential(DownUnit(inputs, outputs, shuffle), *(Unit(outputs, shuffle) for _ in range(depth - 1)))


@dataclass(frozen=True)
class ShuffleNetV2Config(SquareImages):
    """Table 5's columns, and what a user may change.

    widths: channels of conv1, of each stage and of conv5; depths: units of each stage; stem: "imagenet" (stride 2 and pooling)
    or "small" (the whole side); shuffle: False to see what it is for; num_classes: 0 for no head; img_size: that counts are
    given for, while any is taken.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...] = (4, 8, 4)
    stem: str = "imagenet"
    shuffle: bool = True
    in_chans: int = 3
    num_classes: int = 1000
    img_size: int = 224

    def __post_init__(self) -> None:
        check_choice(self, "stem", STEMS)
        if not self.depths or len(self.widths) != len(self.depths) + 2:
            raise ValueError(f"widths are those of conv1, each stage of depths and conv5, got {self.widths} for {self.depths}")
        if any(width % 2 for width in self.widths[1:-1]):
            raise ValueError(f"a stage's channels are split in halves: an even number of them, got widths {self.widths}")


DIGITS = ShuffleNetV2Config((16, 32, 64, 128), (2, 2), "small", in_chans=1, num_classes=10, img_size=8)


@register("shufflenet_v2_x0_5", ShuffleNetV2Config((24, 48, 96, 192, 1024)), params=1_366_792, macs=40_476_448)
@register("shufflenet_v2_x1_0", ShuffleNetV2Config((24, 116, 232, 464, 1024)), params=2_278_604, macs=144_907_992)
@register("shufflenet_v2_x1_5", ShuffleNetV2Config((24, 176, 352, 704, 1024)), params=3_503_624, macs=295_759_392)
@register("shufflenet_v2_x2_0", ShuffleNetV2Config((24, 244, 488, 976, 2048)), params=7_393_996, macs=583_253_464)
@register("shufflenet_v2_digits", DIGITS)
def build(config: ShuffleNetV2Config) -> ShuffleNetV2:
    """A ShuffleNet v2 of the given configuration."""
    return ShuffleNetV2(config)
