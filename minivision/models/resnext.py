"""Aggregated Residual Transformations for Deep Neural Networks (ResNeXt).

Xie, Girshick, Dollár, Tu, He. CVPR 2017, arXiv 1611.05431.

A block is a sum of many narrow bottlenecks of one shape; how many, the cardinality, is a size of a network beside its depth and
its width. The sum is the same function as one bottleneck whose 3x3 convolution works in groups, and is computed as that.

Names and keys are torchvision's. Deviation, as there: a block's stride is at its 3x3 convolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import functional as F
from .. import nn
from ._registry import register
from .resnet import ResNet, ResNetConfig

# ------------------------------------------------------------------------------------ section 3.3, figure 3: three equal forms
#
# D channels come in, D' go out, and each of C paths is d channels wide. Form (c) is Bottleneck.branch with groups=C.


class Path(nn.Module):
    """T_i of eq. 2 up to its last convolution: 1x1 from D to d, 3x3 from d to d, each with its norm and ReLU."""

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Any) -> Any:
        """(B, D, H, W) -> (B, d, H / stride, W / stride)"""
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)))


class SumOfPaths(nn.Module):
    """Figure 3a, eq. 2: every path goes back to D' channels, and what they give is added."""

    def __init__(self, inputs: int, outputs: int, cardinality: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.paths = nn.ModuleList([Path(inputs, width, stride) for _ in range(cardinality)])
        self.conv3 = nn.ModuleList([nn.Conv2d(width, outputs, 1, bias=False) for _ in range(cardinality)])
        self.bn3 = nn.BatchNorm2d(outputs)

    def forward(self, x: Any) -> Any:
        """(B, D, H, W) -> (B, D', H / stride, W / stride)"""
        return self.bn3(sum(back(path(x)) for path, back in zip(self.paths, self.conv3, strict=True)))


class ConcatenatedPaths(nn.Module):
    """Figure 3b: the paths side by side, and one convolution back from all of their channels."""

    def __init__(self, inputs: int, outputs: int, cardinality: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.paths = nn.ModuleList([Path(inputs, width, stride) for _ in range(cardinality)])
        self.conv3 = nn.Conv2d(cardinality * width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)

    def forward(self, x: Any) -> Any:
        """(B, D, H, W) -> (B, D', H / stride, W / stride)"""
        return self.bn3(self.conv3(np.concatenate([path(x) for path in self.paths], 1)))


State = dict[str, np.ndarray]


def split_groups(block: Mapping[str, np.ndarray], cardinality: int) -> State:
    """The state of ConcatenatedPaths, from that of a Bottleneck with as many groups.

    block: the arrays of conv1, bn1, conv2, bn2, conv3 and bn3, by their keys ("conv1.weight", "bn1.running_mean", ...).
    Path i has the i-th of `cardinality` equal parts, along the first axis, of each array of conv1, bn1, conv2 and bn2, under
    "paths.i." and the array's key; an array without axes (a norm's num_batches_tracked) goes to every path as it is. conv3
    and bn3 stay; other entries, such as the shortcut's, are left out.
    """
    found: State = {}
    for key, value in block.items():
        if key.startswith(("conv3.", "bn3.")):
            found[key] = value
        elif key.startswith(("conv1.", "bn1.", "conv2.", "bn2.")):
            parts = np.split(value, cardinality) if np.ndim(value) else [value] * cardinality
            found |= {f"paths.{i}.{key}": part for i, part in enumerate(parts)}
    return found


def split_sum(state: Mapping[str, np.ndarray], cardinality: int) -> State:
    """The state of SumOfPaths, from that of ConcatenatedPaths: a matrix times stacked vectors is a sum of its parts times each.

    conv3.weight (D', C d, 1, 1) is cut along its input channels into conv3.0.weight, conv3.1.weight, ..., each (D', d, 1, 1);
    all else stays.
    """
    found = dict(state)
    parts = np.split(found.pop("conv3.weight"), cardinality, axis=1)
    return found | {f"conv3.{i}.weight": part for i, part in enumerate(parts)}


# ----------------------------------------------------------------------------------------------------- sizes (section 4, table 2)


def block_weights(channels: int, cardinality: int, width: int) -> int:
    """Eq. 4: C (256 d + 3 * 3 * d d + d 256) for a block of 256 channels, C = cardinality and d = width."""
    return cardinality * (channels * width + 9 * width * width + width * channels)


def equal_width(channels: int, cardinality: int, weights: int) -> float:
    """Eq. 4 solved for d: how wide C paths are whose block has so many weights.

    9 d^2 + 2 channels d = weights / C; the positive root.
    """
    return float(np.sqrt(channels**2 + 9 * weights / cardinality) - channels) / 9


@dataclass(frozen=True)
class ResNeXtConfig(ResNetConfig):
    """ResNetConfig with the paper's groups: C = groups (32), d = base_width (4) in a first stage of 64 channels."""

    block: str = "bottleneck"
    depths: tuple[int, ...] = (3, 4, 6, 3)
    groups: int = 32
    base_width: int = 4


DIGITS = ResNeXtConfig(
    depths=(1, 1), widths=(16, 32), stem="cifar", groups=8, base_width=16, in_chans=1, num_classes=10, img_size=8
)


@register("resnext50_32x4d", ResNeXtConfig(), params=25_028_904, macs=4_230_479_872)
@register("resnext101_32x8d", ResNeXtConfig(depths=(3, 4, 23, 3), base_width=8), params=88_791_336, macs=16_414_015_488)
@register("resnext_digits", DIGITS)
def build(config: ResNeXtConfig) -> ResNet:
    """A ResNeXt of the given configuration."""
    return ResNet(config)
