"""Writes axial.json and axial.npz.

python tests/golden/make_axial.py      # in an environment with torch at the version in reference.py

The reference below follows the paper's equations in plain PyTorch, with the structure and names of
github.com/csrhddlam/axial-deeplab; its index tables are not kept as buffers.
"""

from __future__ import annotations

from typing import Any

import torch
from reference import both_modes, write
from torch import nn
from torch.nn import functional as F

Tensor = torch.Tensor


class Axis(nn.Module):
    """Attention along the last axis of (lines, channels, span)."""

    def __init__(self, D: int, groups: int, span: int) -> None:
        super().__init__()
        self.groups, self.span = groups, span
        self.relative = nn.Parameter(torch.zeros(2 * D // groups, 2 * span - 1))
        self.qkv_transform = nn.Conv1d(D, 2 * D, 1, bias=False)
        self.bn_qkv, self.bn_similarity, self.bn_output = nn.BatchNorm1d(2 * D), nn.BatchNorm2d(3 * groups), nn.BatchNorm1d(2 * D)

    def forward(self, x: Tensor) -> Tensor:
        lines, D, K = x.shape
        c = D // self.groups
        parts = [c // 2, c // 2, c]
        q, k, v = self.bn_qkv(self.qkv_transform(x)).reshape(lines, self.groups, 2 * c, K).split(parts, 2)
        # row i of a table, at query i, holds the positions i - 0, i - 1, ..., i - (K - 1), so it is a window read backwards
        table = torch.stack([self.relative[:, i : i + K].flip(-1) for i in range(K)], 1)  # (2 c, query, key)
        r_q, r_k, r_v = table.split(parts, 0)
        logits = [torch.einsum("lgci,lgcj->lgij", q, k), torch.einsum("lgci,cij->lgij", q, r_q)]
        logits.append(torch.einsum("lgcj,cji->lgij", k, r_k))  # key minus query: the table of the key's own row
        summed = sum(self.bn_similarity(torch.cat(logits, 1)).chunk(3, 1))
        assert isinstance(summed, Tensor)
        p = summed.softmax(-1)
        values = [torch.einsum("lgij,lgcj->lgci", p, v), torch.einsum("lgij,cij->lgci", p, r_v)]
        alternating = torch.stack([each.reshape(lines, D, K) for each in values], 2).flatten(1, 2)  # (lines, 2 D, K)
        y = self.bn_output(alternating)
        return y[:, 0::2] + y[:, 1::2]


class Block(nn.Module):
    def __init__(self, inputs: int, planes: int, stride: int, groups: int, span: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv_down, self.bn1 = nn.Conv2d(inputs, planes, 1, bias=False), nn.BatchNorm2d(planes)
        self.hight_block, self.width_block = Axis(planes, groups, span), Axis(planes, groups, span)
        self.conv_up, self.bn2 = nn.Conv2d(planes, 2 * planes, 1, bias=False), nn.BatchNorm2d(2 * planes)
        if stride > 1 or inputs != 2 * planes:
            projection = nn.Conv2d(inputs, 2 * planes, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(2 * planes))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv_down(x)).relu()
        B, D, H, W = y.shape
        columns = self.hight_block(y.permute(0, 3, 1, 2).flatten(0, 1)).reshape(B, W, D, H)
        rows = self.width_block(columns.permute(0, 3, 2, 1).flatten(0, 1)).reshape(B, H, D, W)
        y = F.avg_pool2d(rows.transpose(1, 2), self.stride).relu()
        return (self.bn2(self.conv_up(y)) + (self.downsample(x) if hasattr(self, "downsample") else x)).relu()


class Network(nn.Module):
    def __init__(self, depths: Any, s: float, groups: int, stem: str, num_classes: int, size: int) -> None:
        super().__init__()
        inputs, large = int(64 * s), stem == "conv"
        self.conv1 = nn.Conv2d(3, inputs, 7, 2, 3, bias=False) if large else nn.Conv2d(3, inputs, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        side = size // 4 if large else size
        for i, depth in enumerate(depths, start=1):
            planes, blocks = int(64 * 2**i * s), []
            for n in range(depth):
                stride = 2 if n == 0 and i > 1 else 1
                blocks.append(Block(inputs, planes, stride, groups, side))
                inputs, side = 2 * planes, side // stride
            self.add_module(f"layer{i}", nn.Sequential(*blocks))
        self.stages, self.fc = len(depths), nn.Linear(inputs, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        for i in range(self.stages):
            x = getattr(self, f"layer{i + 1}")(x)
        return self.fc(x.mean((2, 3)))


KNOWN: dict[str, tuple[tuple[int, ...], float]] = {
    "axial_resnet26s": ((1, 2, 4, 1), 0.5),
    "axial_resnet50s": ((3, 4, 6, 3), 0.5),
    "axial_resnet50m": ((3, 4, 6, 3), 0.75),
    "axial_resnet50l": ((3, 4, 6, 3), 1.0),
}


def build(
    name: str, depths: Any = None, scale: float = 0.0, groups: int = 8, stem: str = "conv", num_classes: int = 1000,
    img_size: int = 224,
) -> nn.Module:  # fmt: skip
    """The reference of a name."""
    return Network(depths or KNOWN[name][0], scale or KNOWN[name][1], groups, stem, num_classes, img_size)


SMALL: dict[str, Any] = {"depths": [1, 2], "scale": 0.25, "num_classes": 10}
CASES: dict[str, dict[str, Any]] = {}
CASES |= both_modes("axial_resnet26s", (3, 32, 32), **SMALL, img_size=32)
CASES |= both_modes("axial_resnet50m", (3, 8, 8), label="cifar", **SMALL, stem="cifar", groups=4, img_size=8)
CASES["axial_resnet26s whole"] = {"model": "axial_resnet26s", "input": [3, 224, 224], "batch": 1}

if __name__ == "__main__":
    write("axial", build, CASES, dict.fromkeys(KNOWN, (3, 224, 224)))
