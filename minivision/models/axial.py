"""Axial-DeepLab: Stand-Alone Axial-Attention for Panoptic Segmentation.

Wang, Zhu, Green, Adam, Yuille, Chen. ECCV 2020, arXiv 2003.07853; after Axial Attention in Multidimensional Transformers,
Ho, Kalchbrenner, Weissenborn, Salimans, arXiv 1912.12180.

A pixel attends to its column, and then to its row: two passes at h w (h + w) products in place of (h w)^2, after which every
pixel has seen every other. A learned table for each relative position speaks to the query, to the key and to the value, so that
attention can tell where things are, along spans as long as the map.

The classifiers, names and keys are those of the official repository (csrhddlam/axial-deeplab: axial26s, axial50s, 50m, 50l),
"hight_block" included; its buffers flatten_index are left out, on loading too. They keep ResNet's stem of convolutions, where
the paper's Axial-ResNets have one of attention.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import functional as F
from .. import nn
from ..errors import ShapeError
from ..ops.einsum import einsum
from ._backbone import Classifier, SquareImages, check_choice
from ._registry import register

EXPANSION = 2
STEMS = {"conv": 4, "cifar": 1}  # and by how much it makes the side smaller


class AxialAttention(nn.Module):
    """Section 3.2, eq. 4, along one axis of `span` pixels, for every group (head) of channels.

    y_o = sum over p of softmax_p(q_o^T k_p + q_o^T r^q_{p-o} + k_p^T r^k_{p-o}) (v_p + r^v_{p-o}).  A batch norm stands after
    the matrices, one over the three logits of each group, which then need no 1 / sqrt(d), and one over both values.
    """

    def __init__(self, inputs: int, outputs: int, groups: int, span: int, stride: int = 1, width: bool = False) -> None:
        super().__init__()
        if outputs % (2 * groups):
            raise ValueError(
                f"queries and keys have half of a group's channels: {outputs} channels should be a multiple of 2 x {groups} "
                "groups; change planes, scale or groups"
            )
        self.groups, self.channels, self.span, self.stride, self.width = groups, outputs // groups, span, stride, width
        relative = nn.init.normal(std=self.channels**-0.5)
        self.relative = nn.Parameter((2 * self.channels, 2 * span - 1), relative)  # shared by the groups
        self.qkv_transform = nn.Conv1d(inputs, 2 * outputs, 1, bias=False)
        nn.init.normal_(self.qkv_transform.weight, std=inputs**-0.5)
        self.bn_qkv = nn.BatchNorm1d(2 * outputs)
        self.bn_similarity = nn.BatchNorm2d(3 * groups)
        self.bn_output = nn.BatchNorm1d(2 * outputs)

    def split(self, parts: Any) -> Any:
        """2 C channels on axis -3 or -2 as C / 2 for the query, C / 2 for the key and C for the value; C = outputs / groups"""
        half = self.channels // 2
        return parts[..., :half, :], parts[..., half : 2 * half, :], parts[..., 2 * half :, :]

    def heads(self, x: Any) -> Any:
        """q, k, v of every line.  (B, inputs, H, W) -> (L, groups, C / 2 or C, span), L = B W columns or B H rows"""
        B, _, H, W = x.shape
        if (W if self.width else H) != self.span:
            axis, found = ("wide", W) if self.width else ("high", H)
            hint = "resize the images, or build the model for them: create_model(..., img_size=N)"
            raise ShapeError("axial_attention", f"x should be {self.span} {axis}, got {found}", f"x {tuple(x.shape)}", hint)
        qkv = F.conv2d(x, self.qkv_transform.weight[..., None])
        qkv = self.bn_qkv(qkv.flatten(2)).reshape(B, self.groups, 2 * self.channels, H, W)
        lines = qkv.permute(0, 3, 1, 2, 4) if self.width else qkv.permute(0, 4, 1, 2, 3)
        return self.split(lines.reshape(-1, self.groups, 2 * self.channels, self.span))

    def offsets(self) -> Any:
        """r^q and r^v at query minus key, r^k at key minus query.  -> three of (C / 2 or C, span, span), a row for each query

        `relative` (2 C, 2 span - 1) has the relative position d in column d + span - 1, and all three as `split` takes them.
        """
        place = np.arange(self.span)
        index = place[:, None] - place + self.span - 1  # (query, key)
        q, k, v = self.split(self.relative)
        tables = (q, index), (k, index.T), (v, index)
        return tuple(table[:, each.reshape(-1)].reshape(-1, *index.shape) for table, each in tables)

    def weights(self, q: Any, k: Any) -> Any:
        """The softmax over the keys of three logits' sum.  (L, groups, C / 2, span) twice -> (L, groups, span, span)

        Before the sum, bn_similarity norms them: its channels are q^T k of all groups, then all q^T r^q, then all k^T r^k.
        """
        r_q, r_k, _ = self.offsets()
        qk = q.transpose(-2, -1) @ k
        qr = einsum("bgci,cij->bgij", q, r_q)
        kr = einsum("bgcj,cij->bgij", k, r_k)
        parts = self.bn_similarity(np.concatenate([qk, qr, kr], axis=1))  # (L, 3 groups, span, span)
        return F.softmax(parts.reshape(-1, 3, self.groups, self.span, self.span).sum(1), dim=-1)

    def forward(self, x: Any) -> Any:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)"""
        q, k, v = self.heads(x)
        w, r_v = self.weights(q, k), self.offsets()[2]
        pixels = einsum("bgij,bgcj->bgci", w, v)
        places = einsum("bgij,cij->bgci", w, r_v)
        both = np.stack([pixels, places], axis=3).reshape(-1, 2 * self.groups * self.channels, self.span)  # in turns
        y = (
            self.bn_output(both).reshape(len(x), -1, self.groups * self.channels, 2, self.span).sum(3)
        )  # (B, lines, outputs, span)
        y = y.permute(0, 2, 1, 3) if self.width else y.permute(0, 2, 3, 1)
        return F.avg_pool2d(y, self.stride) if self.stride > 1 else y


class AxialBlock(nn.Module):
    """Section 3.2: ResNet's bottleneck with both axes in place of its 3 x 3 convolution, and half of its expansion."""

    def __init__(self, inputs: int, planes: int, stride: int, groups: int, span: int) -> None:
        super().__init__()
        outputs = EXPANSION * planes
        self.conv_down = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.hight_block = AxialAttention(planes, planes, groups, span)
        self.width_block = AxialAttention(planes, planes, groups, span, stride, width=True)
        self.conv_up = nn.Conv2d(planes, outputs, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride > 1 or inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, x: Any) -> Any:
        """(B, inputs, H, W) -> (B, 2 planes, H / stride, W / stride)"""
        y = self.bn1(self.conv_down(x), activation="relu")
        y = F.relu(self.width_block(self.hight_block(y)))
        kept = x if self.downsample is None else self.downsample(x)
        return self.bn2(self.conv_up(y), residual=kept, activation="relu")


class AxialNet(Classifier):
    """Section 3.2, Axial-ResNet: images (B, C, N, N) of the configuration's size -> logits (B, num_classes)."""

    def __init__(self, config: AxialConfig) -> None:
        super().__init__()
        self.config, inputs = config, int(64 * config.scale)
        if config.stem == "conv":
            self.conv1 = nn.Conv2d(config.in_chans, inputs, 7, stride=2, padding=3, bias=False)
        else:
            self.conv1 = nn.Conv2d(config.in_chans, inputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if config.stem == "conv" else nn.Identity()
        span = config.img_size // STEMS[config.stem]
        for i, depth in enumerate(config.depths):
            planes, blocks = int((128 << i) * config.scale), nn.Sequential()
            for n in range(depth):
                stride = 2 if i > 0 and n == 0 else 1
                blocks.append(AxialBlock(inputs, planes, stride, config.groups, span))
                inputs, span = EXPANSION * planes, span // stride
            self.add_module(f"layer{i + 1}", blocks)
        self.fc = nn.Linear(inputs, config.num_classes) if config.num_classes else nn.Identity()
        self.apply(initialise)

    def forward_features(self, x: Any) -> Any:
        """(B, C, N, N) -> (B, D, N/32, N/32)"""
        x = self.maxpool(self.bn1(self.conv1(x), activation="relu"))
        for i in range(len(self.config.depths)):
            x = getattr(self, f"layer{i + 1}")(x)
        return x

    def forward_head(self, x: Any) -> Any:
        """Global average pooling and the classifier.  (B, D, H', W') -> (B, num_classes)"""
        return self.fc(x.mean((2, 3)))

    def from_published(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Without the repository's index tables."""
        return {key: array for key, array in arrays.items() if not key.endswith(".flatten_index")}


def initialise(module: nn.Module) -> None:
    """He et al. 2015, by what leaves a convolution; a block begins as its shortcut."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    if isinstance(module, AxialBlock):
        nn.init.zeros_(module.bn2.weight)


@dataclass(frozen=True)
class AxialConfig(SquareImages):
    """The repository's four networks, and what a user may change.

    depths: blocks of each stage; scale: multiplies all channels (64 in the stem, 128, 256, ... in the blocks); groups: heads of
    every attention; stem: "conv" (7 x 7 and pooling, a quarter of the side) or "cifar" (3 x 3, the whole side); img_size: the
    only size that the network takes; num_classes: 0 for no head.
    """

    depths: tuple[int, ...]
    scale: float = 0.5
    groups: int = 8
    stem: str = "conv"
    in_chans: int = 3
    num_classes: int = 1000
    img_size: int = 224

    def __post_init__(self) -> None:
        check_choice(self, "stem", STEMS)
        smallest = STEMS[self.stem] << (len(self.depths) - 1)
        if self.img_size < 1 or self.img_size % smallest:
            raise ValueError(f"img_size is a positive multiple of the last stage's stride {smallest}, got {self.img_size}")


@register("axial_resnet26s", AxialConfig((1, 2, 4, 1)), params=5_944_936, macs=1_811_875_840)
@register("axial_resnet50s", AxialConfig((3, 4, 6, 3)), params=11_586_216, macs=2_842_942_464)
@register("axial_resnet50m", AxialConfig((3, 4, 6, 3), 0.75), params=25_179_400, macs=5_955_144_192)
@register("axial_resnet50l", AxialConfig((3, 4, 6, 3), 1.0), params=43_973_480, macs=10_194_499_584)
@register("axial_digits", AxialConfig((1, 1), 0.125, 2, "cifar", in_chans=1, num_classes=10, img_size=8))
def build(config: AxialConfig) -> AxialNet:
    """The network of the given configuration."""
    return AxialNet(config)
