"""Writes sasa.json and sasa.npz.

python tests/golden/make_sasa.py      # in an environment with torch at the version in reference.py

The port that the field uses (github.com/leaderj1001/Stand-Alone-Self-Attention) does not take a head's dot product, so the
reference below follows the paper's equations in plain PyTorch, under the port's names.
"""

from __future__ import annotations

from typing import Any

import torch
from reference import both_modes, write
from torch import nn
from torch.nn import functional as F

Tensor = torch.Tensor


def around(x: Tensor, k: int, heads: int) -> Tensor:
    """(B, D, H, W) -> (B, heads, H W, k k, D / heads), by shifting the padded map."""
    B, D, H, W = x.shape
    p = F.pad(x, (k // 2, (k - 1) // 2) * 2)
    shifted = torch.stack([p[:, :, a : a + H, b : b + W] for a in range(k) for b in range(k)], -1)  # (B, D, H, W, k k)
    return shifted.reshape(B, heads, D // heads, H * W, k * k).permute(0, 1, 3, 4, 2)


def looked_up(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Eq. 2 for every pixel and head."""
    B, _, H, W = q.shape
    query = q.reshape(B, k.shape[1], -1, H * W, 1).transpose(2, 3)  # (B, heads, H W, D / heads, 1)
    weights = torch.matmul(k, query).softmax(-2)  # (B, heads, H W, k k, 1)
    return torch.matmul(v.transpose(-1, -2), weights).squeeze(-1).transpose(2, 3).reshape(B, -1, H, W)


def pointwise(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, stride, bias=False)


class Attention(nn.Module):
    def __init__(self, D: int, k: int, heads: int) -> None:
        super().__init__()
        self.k, self.heads = k, heads
        self.rel_h = nn.Parameter(torch.zeros(D // 2, 1, 1, k, 1))
        self.rel_w = nn.Parameter(torch.zeros(D // 2, 1, 1, 1, k))
        self.key_conv, self.query_conv, self.value_conv = pointwise(D, D), pointwise(D, D), pointwise(D, D)

    def forward(self, x: Tensor) -> Tensor:
        k, heads = self.k, self.heads
        tables = self.rel_h.reshape(heads, -1, k), self.rel_w.reshape(heads, -1, k)
        r = torch.stack([torch.cat([tables[0][..., a], tables[1][..., b]], 1) for a in range(k) for b in range(k)], 1)
        keys = around(self.key_conv(x), k, heads) + r[:, None]  # r (heads, k k, D / heads)
        return looked_up(self.query_conv(x), keys, around(self.value_conv(x), k, heads))


class Stem(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.emb_a, self.emb_b = nn.Parameter(torch.zeros(outputs, 4)), nn.Parameter(torch.zeros(outputs, 4))
        self.emb_mix = nn.Parameter(torch.zeros(4, outputs))
        self.key_conv, self.query_conv = pointwise(3, outputs), pointwise(3, outputs)
        self.value_conv = nn.ModuleList(pointwise(3, outputs) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        a, b = torch.matmul(self.emb_mix, self.emb_a), torch.matmul(self.emb_mix, self.emb_b)
        p = torch.stack([a[:, i] + b[:, j] for i in range(4) for j in range(4)], 1).softmax(0)  # (mixtures, 16)
        shared = torch.cat([around(x, 4, 1) * share[:, None] for share in p], -1)  # (B, 1, H W, 16, mixtures inputs)
        read = looked_up(self.query_conv(x), around(self.key_conv(x), 4, 1), shared).split(3, 1)
        parts = [conv(part) for conv, part in zip(self.value_conv, read, strict=True)]
        return torch.stack(parts).sum(0)


class Block(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int, k: int, heads: int) -> None:
        super().__init__()
        outputs, norm = 4 * width, nn.BatchNorm2d
        self.stride = stride
        self.conv1 = nn.Sequential(pointwise(inputs, width), norm(width))
        self.conv2 = nn.Sequential(Attention(width, k, heads), norm(width))
        self.conv3 = nn.Sequential(pointwise(width, outputs), norm(outputs))
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(pointwise(inputs, outputs, stride), norm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2[0](self.conv1(x).relu())
        y = self.conv2[1](F.avg_pool2d(y, self.stride)).relu()
        return (self.conv3(y) + (self.shortcut(x) if hasattr(self, "shortcut") else x)).relu()


class Network(nn.Module):
    def __init__(self, depths: Any, widths: Any, stem: str, k: int, heads: int, num_classes: int) -> None:
        super().__init__()
        inputs, first = widths[0], {"conv": (7, 2, 3), "cifar": (3, 1, 1)}
        layer = Stem(inputs) if stem == "attention" else nn.Conv2d(3, inputs, *first[stem], bias=False)
        self.init = nn.Sequential(layer, nn.BatchNorm2d(inputs))
        self.pool = {"conv": nn.MaxPool2d(3, 2, 1), "attention": nn.MaxPool2d(4), "cifar": nn.Identity()}[stem]
        for i, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            blocks = [Block(inputs if n == 0 else 4 * width, width, 2 if i and n == 0 else 1, k, heads) for n in range(depth)]
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
            inputs = 4 * width
        self.stages, self.dense = len(widths), nn.Linear(inputs, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.init(x).relu())
        for i in range(self.stages):
            x = getattr(self, f"layer{i + 1}")(x)
        return self.dense(x.mean((2, 3)))


DEPTHS = {"26": (1, 2, 4, 1), "38": (2, 3, 5, 2), "50": (3, 4, 6, 3)}


def build(
    name: str, depths: Any = None, widths: Any = (64, 128, 256, 512), stem: str = "", window: int = 7, heads: int = 8,
    num_classes: int = 1000,
) -> nn.Module:  # fmt: skip
    """The reference of a name."""
    found = DEPTHS[name.removeprefix("sasa_resnet").removesuffix("_full")]
    stem = stem or ("attention" if name.endswith("_full") else "conv")
    return Network(depths or found, widths, stem, window, heads, num_classes)


NAMES = [f"sasa_resnet{depth}{stem}" for stem in ("", "_full") for depth in DEPTHS]
SMALL: dict[str, Any] = {"depths": [1, 2], "widths": [16, 32], "num_classes": 10}
CASES: dict[str, dict[str, Any]] = {}
CASES |= both_modes("sasa_resnet26", (3, 24, 24), **SMALL, window=5)
CASES |= both_modes("sasa_resnet26_full", (3, 24, 24), **SMALL, heads=4)
CASES |= both_modes("sasa_resnet50", (3, 8, 8), batch=4, label="cifar", **SMALL, stem="cifar", heads=2, window=3)
CASES["sasa_resnet26 whole"] = {"model": "sasa_resnet26", "input": [3, 224, 224], "batch": 1}

if __name__ == "__main__":
    write("sasa", build, CASES, dict.fromkeys(NAMES, (3, 224, 224)))
