"""Residual Attention: A Simple but Effective Method for Multi-Label Recognition.

Zhu, Wu. ICCV 2021, arXiv 2108.02456.

A picture with several labels is spoilt by one average over its whole map: a small object is a small share of it. Each class
scores every position, and beside the average of its scores it takes one that its own scores weigh, from the mean (temperature 0)
to the largest (temperature infinity).

Names and keys are the official ones (Kevinz-code/CSRA). Deviations, as there: only the classifier's rows are scaled to length 1,
no feature is; heads are summed, where section 3.3 has the sum too; the vision transformer drops its class token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import functional as F
from .. import nn
from . import resnet, vit
from ._registry import register

HARD = 99  # the authors' mark for an infinite temperature
TEMPERATURES = {1: (1,), 2: (1, HARD), 4: (1, 2, 4, HARD), 6: (1, 2, 3, 4, 5, HARD), 8: (1, 2, 3, 4, 5, 6, 7, HARD)}  # by heads


def class_attention(scores: Any, temperature: float) -> Any:
    """Eq. 2-3: a = sum_j p_j s_j,  p = softmax(T s) over the positions.  scores (B, C, N) -> (B, C)

    T -> 0 makes it the mean, T -> infinity the largest: that is taken at once where temperature is HARD or infinite.
    """
    if temperature in (HARD, math.inf):
        return np.max(scores, axis=-1)
    return (F.softmax(temperature * scores, dim=-1) * scores).sum(-1)


class CSRA(nn.Module):
    """Section 3.1: logits = mean + lam times class_attention of the scores.  (B, D, H, W) -> (B, num_classes)"""

    def __init__(self, input_dim: int, num_classes: int, T: float, lam: float) -> None:
        super().__init__()
        self.T, self.lam = T, lam
        self.head = nn.Conv2d(input_dim, num_classes, 1, bias=False)  # m_1 ... m_C

    def scores(self, x: Any) -> Any:
        """Eq. 1's x_j^T m_i, with m_i of length 1.  (B, D, H, W) -> (B, C, N)"""
        return F.conv2d(x, F.normalize(self.head.weight, dim=1)).flatten(2)  # (B, C, N)

    def forward(self, x: Any) -> Any:
        """Eq. 4-5: what all positions say, and lam times what the class looks at."""
        scores = self.scores(x)
        return scores.mean(-1) + self.lam * class_attention(scores, self.T)


class MHA(nn.Module):
    """Section 3.3: the sum of heads that differ in temperature, so that none need be chosen.  (B, D, H, W) -> (B, num_classes)"""

    def __init__(self, num_heads: int, lam: float, input_dim: int, num_classes: int) -> None:
        super().__init__()
        if num_heads not in TEMPERATURES:
            raise ValueError(f"there are temperatures for {', '.join(map(str, TEMPERATURES))} heads, got {num_heads}")
        self.multi_head = nn.ModuleList([CSRA(input_dim, num_classes, T, lam) for T in TEMPERATURES[num_heads]])

    def forward(self, x: Any) -> Any:
        """Eq. 6."""
        first, *others = (head(x) for head in self.multi_head)
        return sum(others, first)


class CSRAResNet(resnet.ResNet):
    """A ResNet whose pooling and classifier are the heads: images (B, C, H, W) -> logits (B, num_classes)."""

    def __init__(self, config: CSRAResNetConfig) -> None:
        super().__init__(replace(config, num_classes=0))
        self.config = config
        width = self.feature_info[-1].channels
        self.classifier = MHA(config.csra_heads, config.lam, width, config.num_classes) if config.num_classes else nn.Identity()

    def forward_head(self, x: Any) -> Any:
        """(B, D, H', W') -> (B, num_classes); without classes the pooled (B, D)."""
        return self.classifier(x) if self.config.num_classes else x.mean((2, 3))


class CSRAViT(vit.VisionTransformer):
    """Section 4.1's vision transformer: its patch tokens, laid out as a map, are what the heads read."""

    def __init__(self, config: CSRAViTConfig) -> None:
        super().__init__(replace(config, num_classes=0))
        self.config = config
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        heads, D = config.csra_heads, config.embed_dim
        self.classifier = MHA(heads, config.lam, D, config.num_classes) if config.num_classes else nn.Identity()

    def forward_head(self, x: Any, pre_logits: bool = False) -> Any:
        """(B, 1 + N, D) -> (B, num_classes); pre_logits, or a model without classes: the mean patch (B, D)."""
        patches = x[:, 1:]  # (B, N, D)
        if pre_logits or not self.config.num_classes:
            return patches.mean(1)
        B, _, D = patches.shape
        return self.classifier(self.head_drop(patches.transpose(1, 2).reshape(B, D, *self.config.grid)))  # (B, D, H/P, W/P)


@dataclass(frozen=True)
class CSRAResNetConfig(resnet.ResNetConfig):
    """ResNet's, and csra_heads: 1, 2, 4, 6 or 8; lam: the weight of the attention."""

    csra_heads: int = 1
    lam: float = 0.1


@dataclass(frozen=True)
class CSRAViTConfig(vit.ViTConfig):
    """ViT's, and csra_heads: 1, 2, 4, 6 or 8; lam: the weight of the attention; global_pool stays as it is."""

    csra_heads: int = 1
    lam: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.global_pool != "token":
            raise ValueError(f"the heads pool: global_pool is not to be chosen, got {self.global_pool!r}")


RESNET101 = CSRAResNetConfig("bottleneck", (3, 4, 23, 3), num_classes=20, img_size=448)
DIGITS = CSRAResNetConfig("basic", (1, 1), (16, 32), "cifar", in_chans=1, num_classes=10, img_size=8)


@register("csra_resnet101", RESNET101, params=42_541_120, macs=31_205_457_920)
@register("csra_digits", DIGITS)
def build(config: CSRAResNetConfig) -> CSRAResNet:
    """A ResNet with the heads, of the given configuration."""
    return CSRAResNet(config)


@register("csra_vit_base_patch16_224", CSRAViTConfig(768, 12, 12, num_classes=80), params=85_860_096, macs=17_575_102_464)
@register("csra_vit_large_patch16_224", CSRAViTConfig(1024, 24, 16, num_classes=80), params=303_383_552, macs=61_569_744_896)
def build_vit(config: CSRAViTConfig) -> CSRAViT:
    """A vision transformer with the heads, of the given configuration."""
    return CSRAViT(config)
