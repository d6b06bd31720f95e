"""Searching Central Difference Convolutional Networks for Face Anti-Spoofing.

Yu, Zhao, Wang, Qin, Su, Li, Zhou, Zhao. CVPR 2020, arXiv 2003.04092.

A photograph of a face, shown to a camera, has a face's colours, but not its fine gradients. A central difference convolution
looks at theta parts of differences to the pixel in the middle and 1 - theta parts of the pixels themselves; with it, the
network predicts the depth of the face, which is 0 everywhere for a photograph.

Keys are those of github.com/ZitongYu/CDCN, fd8370e. CDCN++ has the blocks that the paper's search found. `cdcn_digits` is not
from the paper: two blocks and a classifier, to see on digits what theta does.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import functional as F
from .. import nn
from ._backbone import SquareImages
from ._registry import register

SIDE = 3  # of every kernel but the attention's


class CDConv2d(nn.Module):
    """Section 3.1: y(p) = theta sum_n w(n) (x(p + n) - x(p)) + (1 - theta) sum_n w(n) x(p + n), n over the 3 x 3 neighbours.

    theta 0 is the usual convolution; theta 1 sees differences alone, and gives the same for x and x + c away from the border
    (with padding_mode "replicate", everywhere). No bias: a norm follows.
    """

    def __init__(self, inputs: int, outputs: int, theta: float = 0.7, padding_mode: str = "zeros") -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, SIDE, padding=SIDE // 2, bias=False, padding_mode=padding_mode)
        self.theta = theta

    def forward(self, x: Any) -> Any:
        """As section 3.1 computes it: w * x - theta (sum_n w(n)) x, the latter a 1 x 1 convolution.  -> (B, outputs, H, W)"""
        y = self.conv(x)
        if self.theta == 0.0:
            return y
        sums = self.conv.weight.sum((2, 3), keepdims=True)  # (outputs, inputs, 1, 1)
        return y - self.theta * F.conv2d(x, sums)

    def fused(self) -> nn.Conv2d:
        """The same function as one plain convolution, whose weight is a copy."""
        weight = edited(self.conv.weight.numpy(), self.theta)
        made = copy.deepcopy(self.conv)
        made.load_state_dict({"weight": weight})
        return made

    def extra_repr(self) -> str:
        """What the convolution inside does not show."""
        return f"theta={self.theta}"


def edited(weight: Any, theta: float) -> Any:
    """The kernel of the convolution that CDC is: theta sum_n w(n) off the middle.  (outputs, inputs, 3, 3) -> the same"""
    around = (SIDE // 2,) * 4
    return weight - theta * F.pad(weight.sum((2, 3), keepdims=True), around)


def layers(widths: tuple[int, ...], theta: float, padding_mode: str = "zeros") -> list[nn.Module]:
    """CDC, norm, ReLU from each width to the next."""
    pairs = itertools.pairwise(widths)
    return [each for i, o in pairs for each in (CDConv2d(i, o, theta, padding_mode), nn.BatchNorm2d(o), nn.ReLU())]


def block(widths: tuple[int, ...], theta: float) -> nn.Sequential:
    """Section 3.2: one level, and half its side behind it.  (B, widths[0], H, W) -> (B, widths[-1], H / 2, W / 2)"""
    return nn.Sequential(*layers(widths, theta), nn.MaxPool2d(3, stride=2, padding=1))


class SpatialAttention(nn.Module):
    """Section 3.3 (MAFM): where to look, from the mean and the largest over channels.  (B, C, H, W) -> (B, 1, H, W) in 0..1"""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Any) -> Any:
        """sigmoid(w * [mean_c x, max_c x])"""
        both = np.concatenate([x.mean(1, keepdims=True), x.amax(1, keepdims=True)], axis=1)  # (B, 2, H, W)
        return self.conv1(both).sigmoid()


class CDCN(nn.Module):
    """Section 3.2, with attention 3.3: images (B, C, H, W) -> depth (B, 32, 32) from maps of three levels."""

    def __init__(self, config: CDCNConfig) -> None:
        super().__init__()
        self.config = config
        theta, width = config.theta, config.blocks[0][-1]
        self.conv1 = nn.Sequential(*layers((config.in_chans, config.stem), theta))
        self.Block1 = block((config.stem, *config.blocks[0]), theta)
        self.Block2 = block((width, *config.blocks[1]), theta)
        self.Block3 = block((config.blocks[1][-1], *config.blocks[2]), theta)
        joined = sum(widths[-1] for widths in config.blocks)
        if config.attention:
            self.lastconv1 = nn.Sequential(*layers((joined, *config.head), theta), CDConv2d(config.head[-1], 1, theta), nn.ReLU())
            self.sa1, self.sa2, self.sa3 = SpatialAttention(7), SpatialAttention(5), SpatialAttention(3)
        else:
            self.lastconv1 = nn.Sequential(*layers((joined, config.head[0]), theta))
            self.lastconv2 = nn.Sequential(*layers(config.head, theta))
            self.lastconv3 = nn.Sequential(CDConv2d(config.head[-1], 1, theta), nn.ReLU())

    def levels(self, x: Any) -> Iterator[tuple[Any, Any]]:
        """Each level's map, and where it is looked at (None without attention).  -> (B, 128, H/2, W/2), /4 and /8"""
        x = self.conv1(x)
        for i in (1, 2, 3):
            x = getattr(self, f"Block{i}")(x)
            yield x, getattr(self, f"sa{i}")(x) if self.config.attention else None

    def joined(self, x: Any) -> Any:
        """The three levels, attended and resized.  (B, C, H, W) -> (B, 384, 32, 32)"""
        size = (self.config.map_size,) * 2
        maps = (y if seen is None else seen * y for y, seen in self.levels(x))
        return np.concatenate([F.interpolate(y, size, mode="bilinear") for y in maps], axis=1)

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, 32, 32), at least 0"""
        y = self.lastconv1(self.joined(x))
        if not self.config.attention:
            y = self.lastconv3(self.lastconv2(y))
        return y[:, 0]  # (B, 32, 32)

    def fused(self) -> CDCN:
        """A copy, every CDC of which is one plain convolution: the same function for a tenth less."""
        return fuse_all(copy.deepcopy(self))


class CDCClassifier(nn.Module):
    """Two levels of CDC and a classifier: images (B, C, H, W) -> logits (B, num_classes)."""

    def __init__(self, config: CDCClassifierConfig) -> None:
        super().__init__()
        self.config = config
        one, two = config.widths
        self.level1 = nn.Sequential(*layers((config.in_chans, one, one), config.theta, config.padding_mode), nn.MaxPool2d(2))
        self.level2 = nn.Sequential(*layers((one, two), config.theta, config.padding_mode))
        self.fc = nn.Linear(two, config.num_classes)

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, num_classes)"""
        y = self.level2(self.level1(x))  # (B, D, H/2, W/2)
        return self.fc(y.mean((2, 3)))


def fuse_all(module: Any) -> Any:
    """Replaces every CDC inside, in place; returns the module."""
    for name, child in list(module.named_children()):
        setattr(module, name, child.fused() if isinstance(child, CDConv2d) else fuse_all(child))
    return module


# ---------------------------------------------------------------------------------------------------- section 3.2: the loss


def contrasts(depth: Any) -> Any:
    """Section 3.2's kernels: each of 8 neighbours less the middle.  (B, H, W) -> (B, 8, H - 2, W - 2)"""
    kernels = np.zeros((9, 1, SIDE, SIDE), depth.dtype)
    kernels.reshape(9, 9)[np.diag_indices(9)] = 1.0
    kernels[:, :, 1, 1] -= 1.0
    return F.conv2d(depth[:, None], np.delete(kernels, 4, axis=0))


def contrastive_depth_loss(predicted: Any, target: Any) -> Any:
    """Section 3.2: the mean of (contrast of predicted - contrast of target)^2 over images, 8 directions and inner pixels.

    predicted, target (B, H, W), H and W at least 3 -> a number. A constant off costs nothing: what counts is relief.
    """
    return F.mse_loss(contrasts(predicted), contrasts(target))


def contrastive_depth_gradient(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Its gradient for predicted: 2/M sum_n (K_n e moved to p + n, less K_n e at p), e the error, M = all contrasts.

    predicted, target (B, H, W) arrays -> (B, H, W). K_n e (B, H - 2, W - 2) is e at the neighbour n less e in the middle.
    """
    e = predicted - target
    de, (count, height, width) = np.zeros_like(e), e.shape
    inner = (slice(None), slice(1, height - 1), slice(1, width - 1))
    for i, j in np.argwhere(np.arange(9).reshape(3, 3) != 4):
        there = (slice(None), slice(i, i + height - 2), slice(j, j + width - 2))
        contrast = e[there] - e[inner]  # (B, H - 2, W - 2)
        de[there] += contrast
        de[inner] -= contrast
    return de * (2.0 / (8 * count * (height - 2) * (width - 2)))


def depth_loss(predicted: Any, target: Any) -> Any:
    """Section 3.2: mean squared error and contrastive depth loss.  predicted, target (B, H, W) -> a number"""
    return F.mse_loss(predicted, target) + contrastive_depth_loss(predicted, target)


@dataclass(frozen=True)
class CDCNConfig(SquareImages):
    """Section 3.2 (CDCN) and 3.3 (CDCN++), and what a user may change.

    blocks: the widths of each level; head: of what comes behind; attention: on each level, as CDCN++ has it; theta: how much
    of a convolution is differences; map_size: the depth map's side in pixels; img_size: that counts are given for, while any
    is taken.
    """

    blocks: tuple[tuple[int, ...], ...] = ((128, 196, 128),) * 3
    head: tuple[int, ...] = (128, 64)
    attention: bool = False
    theta: float = 0.7
    stem: int = 64
    map_size: int = 32
    in_chans: int = 3
    img_size: int = 256

    def __post_init__(self) -> None:
        if len(self.blocks) != 3:
            raise ValueError(f"blocks are the widths of three levels, got {self.blocks}")


@dataclass(frozen=True)
class CDCClassifierConfig(SquareImages):
    """widths: of the two levels; theta, padding_mode: as CDConv2d has them."""

    widths: tuple[int, int] = (32, 64)
    theta: float = 0.7
    padding_mode: str = "replicate"
    in_chans: int = 1
    num_classes: int = 10
    img_size: int = 8


SEARCHED = ((128, 204, 128), (153, 128, 179, 128), (128, 153, 128))


@register("cdcn", CDCNConfig(), params=2_245_016, macs=52_597_227_520)
@register("cdcnpp", CDCNConfig(SEARCHED, (128,), attention=True), params=2_257_352, macs=56_427_014_144)
def build(config: CDCNConfig) -> CDCN:
    """A CDCN of the given configuration."""
    return CDCN(config)


@register("cdcn_digits", CDCClassifierConfig())
def build_classifier(config: CDCClassifierConfig) -> CDCClassifier:
    """A classifier of CDC layers."""
    return CDCClassifier(config)
