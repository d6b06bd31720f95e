"""The convolutions of two networks at 224 x 224, each shape once: (channels, outputs, side, kernel, stride, groups)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Layer(NamedTuple):
    """One convolution: `side` is that of its input; the padding is (kernel - 1) / 2."""

    channels: int
    outputs: int
    side: int
    kernel: int
    stride: int = 1
    groups: int = 1


def resnet50() -> list[Layer]:
    """He et al. 2016, table 1, with the stride in the 3 x 3 layer of a block, as torchvision has it."""
    return list(dict.fromkeys(_resnet50()))


def _resnet50() -> Iterator[Layer]:
    yield Layer(3, 64, 224, 7, 2)
    channels, side = 64, 56
    for width, blocks, first_stride in [(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)]:
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            yield Layer(channels, width, side, 1)
            yield Layer(width, width, side, 3, stride)
            yield Layer(width, 4 * width, side // stride, 1)
            if block == 0:
                yield Layer(channels, 4 * width, side, 1, stride)
            channels, side = 4 * width, side // stride


# Howard et al. 2019, table 1: kernel, expanded channels, output channels, stride of each block.
MOBILENET_V3_LARGE = [
    (3, 16, 16, 1), (3, 64, 24, 2), (3, 72, 24, 1), (5, 72, 40, 2), (5, 120, 40, 1), (5, 120, 40, 1), (3, 240, 80, 2),
    (3, 200, 80, 1), (3, 184, 80, 1), (3, 184, 80, 1), (3, 480, 112, 1), (3, 672, 112, 1), (5, 672, 160, 2),
    (5, 960, 160, 1), (5, 960, 160, 1),
]  # fmt: skip


def mobilenet_v3_large() -> list[Layer]:
    """The stem, the blocks (expand, depthwise, project) and the last 1 x 1 layer; squeeze-and-excitation left out."""
    return list(dict.fromkeys(_mobilenet_v3_large()))


def _mobilenet_v3_large() -> Iterator[Layer]:
    yield Layer(3, 16, 224, 3, 2)
    channels, side = 16, 112
    for kernel, expanded, outputs, stride in MOBILENET_V3_LARGE:
        if expanded != channels:
            yield Layer(channels, expanded, side, 1)
        yield Layer(expanded, expanded, side, kernel, stride, expanded)
        side //= stride
        yield Layer(expanded, outputs, side, 1)
        channels = outputs
    yield Layer(channels, 960, side, 1)
