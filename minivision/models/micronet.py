"""MicroNet: Improving Image Recognition with Extremely Low FLOPs.

Li, Chen, Dai, Chen, Liu, Yuan, Liu, Zhang, Vasconcelos. ICCV 2021, arXiv 2108.05894.

With a few million multiply-adds a network can have few channels, or many that are sparsely connected. Micro-Factorized
convolution takes the second way: a 1x1 convolution becomes two with groups and a shuffle between, so that one path leads from
each input to each output; Dynamic Shift-Max mixes the groups once more, by weights that depend on the picture.

Deviations: as in the authors' code (github.com/liyunsheng13/micronet, whose names and keys these are). Logits pass a norm and
h-swish; a second shuffle follows where an activation has mixed groups; depthwise kernels are k x 1 then 1 x k throughout.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import functional as F
from .. import nn
from ._backbone import Backbone, FeatureInfo, SquareImages
from ._registry import register
from .shift_max import ShiftMax

REDUCTION = 8  # of the channels between the two linear maps that find them


class Row(NamedTuple):
    """A block of section 5's table.

    stride, channels, kernel; expand: how many channels each of the two depthwise kernels makes of one (in a block that begins
    with a 1x1 convolution, that one makes their product); first, second: groups of the two 1x1 convolutions, each with those of
    the shuffle behind it, 0 where there is none; ratio: by which the inner maps of its Dynamic Shift-Max are narrower.
    """

    stride: int
    channels: int
    kernel: int
    expand: tuple[int, int]
    first: tuple[int, int]
    second: tuple[int, int]
    ratio: int


class Under(nn.Module):
    """Layers one after the other, under the name that the entries have."""

    def __init__(self, name: str, *layers: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, nn.Sequential(*layers))

    def forward(self, x: Any) -> Any:
        """As nn.Sequential."""
        return getattr(self, self.name)(x)


def pointwise(inputs: int, outputs: int, groups: int) -> Under:
    """Section 3.1, one factor: a 1x1 convolution in groups, block-diagonal.  (B, C, H, W) -> (B, outputs, H, W)"""
    return Under("conv", nn.Conv2d(inputs, outputs, 1, groups=groups, bias=False), nn.BatchNorm2d(outputs))


def depthwise(inputs: int, expand: tuple[int, int], kernel: int, stride: int) -> Under:
    """Section 3.2: a k x k kernel of rank 1, as k x 1 then 1 x k: 2k weights for k^2.

    (B, C, H, W) -> (B, a b C, H / s, W / s): the first kernel makes `a` channels of each, the second `b` of each of those.
    """
    inner = inputs * expand[0]
    return Under("conv", *separable(inputs, inner, inner * expand[1], kernel, stride, inputs))


def separable(inputs: int, inner: int, outputs: int, kernel: int, stride: int, groups: int) -> list[nn.Module]:
    """k x 1 in the given groups, then 1 x k in as many as there are channels; each with a norm."""
    half = kernel // 2
    column = nn.Conv2d(inputs, inner, (kernel, 1), stride=(stride, 1), padding=(half, 0), groups=groups, bias=False)
    row = nn.Conv2d(inner, outputs, (1, kernel), stride=(1, stride), padding=(0, half), groups=inner, bias=False)
    return [column, nn.BatchNorm2d(inner), row, nn.BatchNorm2d(outputs)]


class Block(nn.Module):
    """Section 5: Micro-Block A (no first 1x1), B (both) or C (no second); shortcut where the shape stays.

    plain: ReLU6 where the widest channels have Dynamic Shift-Max otherwise: in Micro-Block A, as the first block has it.
    """

    def __init__(self, inputs: int, row: Row, config: MicroNetConfig, plain: bool = False) -> None:
        super().__init__()
        hidden, reduction = inputs * row.expand[0] * row.expand[1], REDUCTION * row.ratio
        self.adds = row.stride == 1 and inputs == row.channels
        if not row.second[0]:
            layers = [pointwise(inputs, hidden, row.first[0]), linear_mix(hidden, row.first[1], reduction, config)]
        elif not row.first[0]:
            layers = self.widen(inputs, hidden, row, config, plain) + self.squeeze(hidden, row, reduction // 2, config)
        else:
            halved = reduction // 2 if row.channels < hidden else reduction
            layers = self.expand(inputs, hidden, row, config) + self.squeeze(hidden, row, halved, config)
        self.layers = nn.Sequential(*layers)

    @staticmethod
    def widen(inputs: int, hidden: int, row: Row, config: MicroNetConfig, plain: bool) -> list[nn.Module]:
        """Depthwise convolutions that make more channels.  (B, C, H, W) -> (B, hidden, H / s, W / s)"""
        groups, inner = row.first[1], depthwise(inputs, row.expand, row.kernel, row.stride)
        if plain:
            return [inner, nn.ReLU6(), nn.ChannelShuffle(groups), nn.Identity()]
        act = ShiftMax(hidden, groups, REDUCTION * row.ratio, config.start)
        return [inner, act, nn.ChannelShuffle(groups), nn.ChannelShuffle(hidden // 2)]

    @staticmethod
    def expand(inputs: int, hidden: int, row: Row, config: MicroNetConfig) -> list[nn.Module]:
        """The first 1x1 convolution, and the depthwise ones among its channels.  (B, C, H, W) -> (B, hidden, H / s, W / s)"""
        groups, reduction = row.first[1], REDUCTION * row.ratio
        act = ShiftMax(hidden, groups, reduction, config.start) if config.everywhere else nn.ReLU6()
        inner = depthwise(hidden, (1, 1), row.kernel, row.stride)
        across = ShiftMax(hidden, hidden // groups, reduction, config.start)  # groups as the shuffle before has left them
        back = nn.ChannelShuffle(hidden // (4 if config.everywhere else 2))
        return [pointwise(inputs, hidden, row.first[0]), act, nn.ChannelShuffle(groups), inner, nn.Identity(), across, back]

    @staticmethod
    def squeeze(hidden: int, row: Row, reduction: int, config: MicroNetConfig) -> list[nn.Module]:
        """The second 1x1 convolution.  (B, hidden, H, W) -> (B, channels, H, W)"""
        groups, channels = row.second, row.channels
        act = linear_mix(channels, groups[1], reduction, config)
        back = nn.ChannelShuffle(channels // 2) if config.everywhere else nn.Identity()
        return [pointwise(hidden, channels, groups[0]), act, nn.ChannelShuffle(groups[1]), back]

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, channels, H / s, W / s)"""
        return self.layers(x) + x if self.adds else self.layers(x)


def linear_mix(channels: int, groups: int, reduction: int, config: MicroNetConfig) -> nn.Module:
    """What ends a block: a x_i + b x_j without a maximum, or nothing."""
    return ShiftMax(channels, groups, reduction, ((1.0, 0.0),)) if config.everywhere else nn.Identity()


def stem(inputs: int, widths: tuple[int, int], stride: int) -> Under:
    """Section 5: 3 x 1 into a few channels, 1 x 3 makes several of each, shuffle.  (B, C, H, W) -> (B, a b, H / s, W / s)"""
    layers = separable(inputs, widths[0], widths[0] * widths[1], 3, stride, 1)
    return Under("stem", Under("conv", *layers, nn.ChannelShuffle(widths[0])), nn.ReLU6())


def dense(inputs: int, outputs: int) -> Under:
    """A linear map with norm and h-swish.  (B, C) -> (B, outputs)"""
    return Under("linear", nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.Hardswish())


def head(inputs: int, config: MicroNetConfig) -> nn.Sequential:
    """Two linear maps, with dropout between.  (B, D) -> (B, num_classes)"""
    return nn.Sequential(dense(inputs, config.width), nn.Dropout(config.drop_rate), dense(config.width, config.num_classes))


class MicroNet(Backbone):
    """Section 5: images (B, C, H, W) -> logits (B, num_classes)."""

    def __init__(self, config: MicroNetConfig) -> None:
        super().__init__()
        self.config, inputs = config, config.stem[0] * config.stem[1]
        blocks: list[nn.Module] = [stem(config.in_chans, config.stem, config.stem_stride)]
        for i, row in enumerate(config.rows):
            blocks.append(Block(inputs, row, config, plain=config.everywhere and i == 0))
            inputs = row.channels
        self.features = nn.Sequential(*blocks)
        self.classifier = head(inputs, config) if config.num_classes else nn.Identity()
        self.apply(initialise)

    @property
    def feature_info(self) -> list[FeatureInfo]:
        """What forward_maps gives: the last map of each stride."""
        stem, rows = self.config.stem, self.config.rows
        strides = np.cumprod([self.config.stem_stride, *(row.stride for row in rows)]).tolist()
        channels = [stem[0] * stem[1], *(row.channels for row in rows)]
        return list({stride: FeatureInfo(f"features.{i}", channels[i], stride) for i, stride in enumerate(strides)}.values())

    def forward_maps(self, x: Any) -> Iterator[Any]:
        """The last map of each stride, while they are computed."""
        return self.maps_along(x, self.features, "features.")

    def forward_head(self, x: Any) -> Any:
        """ReLU6, global average pooling, h-swish and the classifier.  (B, D, H', W') -> (B, num_classes)"""
        return self.classifier(F.hardswish(F.relu6(x).mean((2, 3))))


def initialise(module: nn.Module) -> None:
    """He et al. 2015, by what leaves a convolution; small linear maps, so that every Dynamic Shift-Max begins at `start`."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)


@dataclass(frozen=True)
class MicroNetConfig(SquareImages):
    """The columns of section 5's table, and what a user may change.

    rows: the blocks; stem: channels of the 3 x 1 convolution, and how many the 1 x 3 makes of each; width: of the hidden
    layer of the head; everywhere: Dynamic Shift-Max after every convolution of a block, or after the depthwise ones alone;
    start: (a_k, b_k) of its pieces; num_classes: 0 for no head; img_size: that counts are given for, while any is taken.
    """

    rows: tuple[Row, ...]
    stem: tuple[int, int]
    width: int
    drop_rate: float = 0.05
    everywhere: bool = True
    start: tuple[tuple[float, float], ...] = ((1.0, 0.0), (1.0, 0.0))
    stem_stride: int = 2
    in_chans: int = 3
    num_classes: int = 1000
    img_size: int = 224


def rows(table: str) -> tuple[Row, ...]:
    """From ten numbers each: stride, channels, kernel, expand (2), first (2), second (2), ratio."""
    found = (tuple(map(int, line.split())) for line in table.split(";"))
    return tuple(Row(s, c, k, (a, b), (g1, g2), (g3, g4), r) for s, c, k, a, b, g1, g2, g3, g4, r in found)


M0 = rows(
    "2 8 3 2 2 0 4 2 2 1; 2 12 3 2 2 0 8 4 4 1; 2 16 5 2 2 0 12 4 4 1; 1 32 5 1 4 4 4 4 4 1; "
    "2 64 5 1 4 8 8 8 8 1; 1 96 3 1 4 8 8 8 8 2; 1 384 3 1 4 12 12 0 0 2"
)
M1 = rows(
    "2 8 3 2 2 0 6 2 2 1; 2 16 3 2 2 0 8 4 4 1; 2 16 5 2 2 0 16 4 4 1; 1 32 5 1 6 4 4 4 4 1; "
    "2 64 5 1 6 8 8 8 8 1; 1 96 3 1 6 8 8 8 8 2; 1 576 3 1 6 12 12 0 0 2"
)
M2 = rows(
    "2 12 3 2 2 0 8 4 4 1; 2 16 3 2 2 0 12 4 4 1; 1 24 3 2 2 0 16 4 4 1; 2 32 5 1 6 6 6 4 4 1; "
    "1 32 5 1 6 8 8 4 4 2; 1 64 5 1 6 8 8 8 8 2; 2 96 5 1 6 8 8 8 8 2; 1 128 3 1 6 12 12 8 8 2; "
    "1 768 3 1 6 16 16 0 0 2"
)
M3 = rows(
    "2 16 3 2 2 0 12 4 4 1; 2 24 3 2 2 0 16 4 4 1; 1 24 3 2 2 0 24 4 4 1; 2 32 5 1 6 6 6 4 4 1; "
    "1 32 5 1 6 8 8 4 4 2; 1 64 5 1 6 8 8 8 8 2; 1 80 5 1 6 8 8 8 8 2; 1 80 5 1 6 10 10 8 8 2; "
    "2 120 5 1 6 10 10 10 10 2; 1 120 5 1 6 12 12 10 10 2; 1 144 3 1 6 12 12 12 12 2; 1 864 3 1 6 12 12 0 0 2"
)
HALVES = (1.0, 0.0), (0.5, 0.5)  # of x_i, and of both
DIGITS = rows("1 16 3 2 2 0 8 4 4 1; 2 32 3 1 6 4 4 4 4 1; 1 192 3 1 6 8 8 0 0 1")


@register("micronet_m0", MicroNetConfig(M0, (2, 2), 640), params=1_019_590, macs=3_448_880)
@register("micronet_m1", MicroNetConfig(M1, (3, 2), 960), params=1_777_587, macs=5_314_080)
@register("micronet_m2", MicroNetConfig(M2, (4, 2), 1024, 0.1), params=2_393_876, macs=10_338_128)
@register("micronet_m3", MicroNetConfig(M3, (4, 3), 1024, 0.1, False, HALVES), params=2_622_960, macs=18_236_000)
@register("micronet_digits", MicroNetConfig(DIGITS, (4, 2), 64, stem_stride=1, in_chans=1, num_classes=10, img_size=8))
def build(config: MicroNetConfig) -> MicroNet:
    """A MicroNet of the given configuration."""
    return MicroNet(config)
