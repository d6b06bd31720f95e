"""XNect: Real-time Multi-Person 3D Motion Capture with a Single RGB Camera. The backbone, SelecSLS.

Mehta, Sotnychenko, Mueller, Xu, Elgharib, Fua, Seidel, Rhodin, Pons-Moll, Theobalt. SIGGRAPH 2020, arXiv 1907.00837.

DenseNet joins every earlier map to every later one, and then moves more memory than it computes. Here a block joins only its
own three maps (short skips) and one map of its stage (the long skip, always of the stage's first block), and a 1x1
convolution makes them one narrow map again.

Names, keys and widths are timm's; `load_weights` also takes those of the authors' repository. long_skip=False, for
comparison, is not in the paper.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import nn
from ._backbone import Backbone, FeatureInfo, SquareImages
from ._registry import register


class ConvNormReLU(nn.Sequential):
    """Convolution, norm, ReLU; a side of H becomes ceil(H / stride)."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


class SelecSLSBlock(nn.Module):
    """The SelecSLS module: a chain of five convolutions, whose first, third and fifth maps are joined with the long skip.

    inputs, outputs: channels of the map that comes and goes; skip: channels of the long skip, 0 for none; middle: of the chain.
    """

    def __init__(self, inputs: int, skip: int, middle: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.skip = skip
        self.conv1 = ConvNormReLU(inputs, middle, stride=stride)
        self.conv2 = ConvNormReLU(middle, middle, 1)
        self.conv3 = ConvNormReLU(middle, middle // 2)
        self.conv4 = ConvNormReLU(middle // 2, middle, 1)
        self.conv5 = ConvNormReLU(middle, middle // 2)
        self.conv6 = ConvNormReLU(middle + 2 * (middle // 2) + skip, outputs, 1)

    def joined(self, x: Any, skip: Any = None) -> Any:
        """All that conv6 sees.  (B, inputs, H, W) -> (B, 2 middle + skip, H / stride, W / stride)"""
        first = self.conv1(x)
        second = self.conv3(self.conv2(first))
        third = self.conv5(self.conv4(second))
        return np.concatenate([first, second, third, *([skip] if self.skip else [])], axis=1)

    def forward(self, x: Any, skip: Any = None) -> Any:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)"""
        return self.conv6(self.joined(x, skip))


class SelecSLS(Backbone):
    """Images (B, C, H, W) -> logits (B, num_classes): blocks at 1/4, 1/8 and 1/16, then plain convolutions to 1/64."""

    stem_width: ClassVar[int] = 32

    def __init__(self, config: SelecSLSConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = ConvNormReLU(config.in_chans, self.stem_width, stride=config.stem_stride)
        self.features = nn.ModuleList(blocks(config))
        width, layers = config.stages[-1][1][-1], []
        for outputs, kernel, stride in config.head:
            layers.append(ConvNormReLU(width, outputs, kernel, stride))
            width = outputs
        self.head = nn.Sequential(*layers)
        self.head_drop = nn.Dropout(config.drop_rate)
        self.fc = nn.Linear(width, config.num_classes) if config.num_classes else nn.Identity()
        self.apply(initialise)

    @property
    def feature_info(self) -> list[FeatureInfo]:
        """What forward_maps gives: the last map of each stride."""
        stride, last = self.config.stem_stride, -1
        found = [FeatureInfo("stem.2", self.stem_width, stride)]
        for (_, widths), step in zip(self.config.stages, self.config.strides, strict=True):
            stride, last = stride * step, last + len(widths)
            found.append(FeatureInfo(f"features.{last}", widths[-1], stride))
        for i, (outputs, _, step) in enumerate(self.config.head):
            stride *= step
            found.append(FeatureInfo(f"head.{i}", outputs, stride))
        return list({each.stride: each for each in found}.values())

    def steps(self, x: Any) -> Iterator[tuple[str, Any]]:
        """The name and map of the stem, of every block and of every layer of the head."""
        x = self.stem(x)  # (B, 32, H/2, W/2)
        yield "stem.2", x
        skip = None
        for i, block in enumerate(self.features):
            x = block(x, skip)
            skip = x if block.skip == 0 and self.config.long_skip else skip
            yield f"features.{i}", x
        for i, layer in enumerate(self.head):
            x = layer(x)
            yield f"head.{i}", x

    def forward_maps(self, x: Any) -> Iterator[Any]:
        """The last map of each stride, while they are computed."""
        chosen = {each.module for each in self.feature_info}
        yield from (y for name, y in self.steps(x) if name in chosen)

    def forward_head(self, x: Any) -> Any:
        """Global average pooling and the classifier.  (B, D, H', W') -> (B, num_classes)"""
        return self.fc(self.head_drop(x.mean((2, 3))))

    def from_published(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """The entries of github.com/mehtadushy/SelecSLS-Pytorch under these names: there, fc is in a list of one."""
        return {key.replace("classifier.0.", "fc."): value for key, value in arrays.items()}


def blocks(config: SelecSLSConfig) -> Iterator[SelecSLSBlock]:
    """A stage's first block has no long skip and takes the stride; each later one is given the first one's output."""
    inputs = SelecSLS.stem_width
    for (middle, widths), stride in zip(config.stages, config.strides, strict=True):
        for i, outputs in enumerate(widths):
            skip = widths[0] if i and config.long_skip else 0
            yield SelecSLSBlock(inputs, skip, middle, outputs, 1 if i else stride)
            inputs = outputs


def initialise(module: nn.Module) -> None:
    """He et al. 2015, by what leaves a convolution."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


@dataclass(frozen=True)
class SelecSLSConfig(SquareImages):
    """The published networks, and what a user may change.

    stages: of each one the channels of its chains and the outputs of its blocks; strides: of each one; head: (channels, kernel,
    stride) of the convolutions behind them; long_skip: False for none; num_classes: 0 for no classifier; img_size: that counts
    are given for, while any is taken.
    """

    stages: tuple[tuple[int, tuple[int, ...]], ...]
    head: tuple[tuple[int, int, int], ...]
    strides: tuple[int, ...] = (2, 2, 2)
    stem_stride: int = 2
    long_skip: bool = True
    drop_rate: float = 0.0
    in_chans: int = 3
    num_classes: int = 1000
    img_size: int = 224

    def __post_init__(self) -> None:
        if len(self.strides) != len(self.stages):
            raise ValueError(f"strides are as many as the stages, got {self.strides} for {len(self.stages)} stages")
        if odd := [middle for middle, _ in self.stages if middle % 2]:
            raise ValueError(f"a chain's channels are halved: they should be even, got {odd}")


STAGES_42 = ((64, (64, 128)), (144, (144, 288)), (304, (304, 480)))
STAGES_60 = ((64, (64, 128)), (128, (128, 128, 288)), (288, (288, 288, 288, 416)))
WIDE_THEN_NARROW, NARROW_THEN_WIDE = ((1280, 3, 2), (1024, 1, 1)), ((1024, 3, 2), (1280, 1, 1))  # how a head ends: "b", or not
DIGITS = SelecSLSConfig(
    ((32, (32, 32, 48)), (48, (48, 48, 64))), ((64, 3, 1),), (1, 2), stem_stride=1, in_chans=1, num_classes=10, img_size=8
)


@register(
    "selecsls42b",
    SelecSLSConfig(STAGES_42, ((960, 3, 2), (1024, 3, 1), *WIDE_THEN_NARROW)),
    params=32_458_248,
    macs=2_971_924_480,
)
@register(
    "selecsls60",
    SelecSLSConfig(STAGES_60, ((756, 3, 2), (1024, 3, 1), *NARROW_THEN_WIDE)),
    params=30_670_768,
    macs=3_581_005_952,
)
@register(
    "selecsls60b",
    SelecSLSConfig(STAGES_60, ((756, 3, 2), (1024, 3, 1), *WIDE_THEN_NARROW)),
    params=32_774_064,
    macs=3_618_498_688,
)
@register("selecsls_digits", DIGITS)
def build(config: SelecSLSConfig) -> SelecSLS:
    """A SelecSLS of the given configuration."""
    return SelecSLS(config)
