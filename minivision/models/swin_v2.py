"""Swin Transformer V2: Scaling Up Capacity and Resolution.

Liu, Hu, Lin, Yao, Xie, Wei, Ning, Cao, Zhang, Dong, Wei, Guo. CVPR 2022, arXiv 2111.09883.

Swin, changed in three places so that it grows in depth and in resolution: each branch is normalised after it and not before,
which bounds what a block can add; attention compares directions alone (cosine), which bounds its scores; and the bias of a
displacement is a small network's answer to the displacement itself, on a logarithmic scale, which any window may ask.

Names and keys are timm's; deviations are those of swin.py, and, as in all published weights: the keys have no bias, and the
bias of a displacement lies between 0 and 16 (16 times a sigmoid), which the paper leaves open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from .. import functional as F
from .. import nn
from ._mlp import Mlp
from ._registry import register
from .shifted_windows import Pair, heads, in_windows, position_bias
from .swin import BASE, DIGITS, SMALL, TINY, SwinConfig, SwinTransformer, merged

HOTTEST = math.log(100.0)  # of the logarithm of 1 / tau: section 3.2 keeps tau above 0.01
HIDDEN, LARGEST_BIAS = 512, 16.0


@lru_cache(maxsize=64)
def log_spaced(window: Pair, trained: Pair) -> np.ndarray:
    """Section 3.3, eq. 4: every displacement d of a window as sign(d) log2(1 + 8 |d| / (M' - 1)) / log2 8.  (displacements, 2)

    M' is the window that was trained with. Its displacements end at +-log2 9 / log2 8, and those of a larger window lie close by.
    """
    axes = [np.arange(1 - m, m) * (8.0 / max(seen - 1, 1)) for m, seen in zip(window, trained, strict=True)]
    d = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    return np.sign(d) * np.log2(1.0 + np.abs(d)) / math.log2(8.0)


class WindowAttention(nn.Module):
    """Eq. 2-3: softmax(cos(q, k) / tau + B) v, a tau for every head, and B from a network of two layers."""

    def __init__(self, config: SwinV2Config, stage: int, window: Pair) -> None:
        super().__init__()
        dim, trained = config.dim(stage), config.pretrained_window_sizes[stage]
        self.num_heads, self.window, self.trained = config.num_heads[stage], window, (trained, trained) if trained else window
        self.logit_scale = nn.Parameter((self.num_heads, 1, 1), nn.init.constant(math.log(10.0)))
        self.q_bias = nn.Parameter((dim,), nn.init.zeros()) if config.qkv_bias else None
        self.v_bias = nn.Parameter((dim,), nn.init.zeros()) if config.qkv_bias else None
        layers = nn.Linear(2, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, self.num_heads, bias=False)
        self.cpb_mlp = nn.Sequential(*layers)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)

    def bias(self) -> Any:
        """B: what the network says of every displacement, between 0 and 16.  (heads, N, N)"""
        table = self.cpb_mlp(log_spaced(self.window, self.trained).astype(self.logit_scale.dtype))  # (displacements, heads)
        return position_bias(LARGEST_BIAS * F.sigmoid(table), self.window)

    def scaled(self, q: Any, k: Any) -> tuple[Any, Any]:
        """Both of length 1, the queries divided by tau, so that their products are cos(q, k) / tau.

        self.logit_scale has log(1 / tau) of each head (heads, 1, 1), of which no more than HOTTEST counts.
        """
        return F.normalize(q, dim=-1) * np.exp(np.minimum(self.logit_scale, HOTTEST)), F.normalize(k, dim=-1)

    def forward(self, x: Any, mask: Any = None) -> Any:
        """Windows (B nW, N, C), mask (nW, 1, N, N) -> (B nW, N, C)"""
        bias, windows = self.bias(), 1
        if mask is not None:
            bias, windows = bias + mask, len(mask)  # (nW, heads, N, N)
        q, k, v = heads(F.linear(x, self.qkv.weight, self.qkv_bias()), self.num_heads, windows)
        y = F.scaled_dot_product_attention(*self.scaled(q, k), v, bias, scale=1.0)  # (B, nW, heads, N, D)
        return self.proj(y.transpose(2, 3).reshape(x.shape))

    def qkv_bias(self) -> Any:
        """The biases of queries and values, 0 for the keys.  (3 C)"""
        if self.q_bias is None:
            return None
        return np.concatenate([self.q_bias, np.zeros(self.q_bias.shape, self.q_bias.dtype), self.v_bias])


class Block(nn.Module):
    """Figure 1: z' = LN((S)W-MSA(z)) + z,  z = LN(MLP(z')) + z'. Both norms begin as 0, and a block as the identity."""

    def __init__(self, config: SwinV2Config, stage: int, shifted: bool, drop_path: float) -> None:
        super().__init__()
        dim, (self.window, shift) = config.dim(stage), config.windows(stage)
        self.shift = shift if shifted else (0, 0)
        self.attn = WindowAttention(config, stage, self.window)
        self.norm1 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * config.mlp_ratio))
        self.norm2 = nn.LayerNorm(dim)
        self.drop_path = nn.DropPath(drop_path)
        for norm in (self.norm1, self.norm2):
            nn.init.zeros_(norm.weight)

    def forward(self, x: Any) -> Any:
        """(B, H, W, C) -> the same"""
        x = x + self.drop_path(self.norm1(in_windows(self.attn, x, self.window, self.shift)))
        return x + self.drop_path(self.norm2(self.mlp(x)))


class PatchMerging(nn.Module):
    """Swin's with the LayerNorm after the linear layer.  (B, H, W, C) -> (B, H/2, W/2, 2 C)"""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = nn.LayerNorm(2 * dim)

    def forward(self, x: Any) -> Any:
        """Half the sides, twice the channels."""
        return self.norm(self.reduction(merged(x)))


class SwinTransformerV2(SwinTransformer):
    """Swin's pyramid of these blocks: images (B, C, H, W) -> logits (B, num_classes)."""

    block: ClassVar[Any] = Block
    merging: ClassVar[Any] = PatchMerging


@dataclass(frozen=True)
class SwinV2Config(SwinConfig):
    """SwinConfig, and pretrained_window_sizes: M' of each stage, 0 for the window itself.

    The same weights work at another window_size: with the sizes they were trained with here, for what they learnt of a
    displacement to stay with it.
    """

    window_size: int = 8
    img_size: int | tuple[int, int] = 256
    pretrained_window_sizes: tuple[int, ...] = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = self.pretrained_window_sizes
        if len(sizes) < len(self.depths) or min(sizes) < 0:
            raise ValueError(f"pretrained_window_sizes has a window for each of {len(self.depths)} stages, or 0, got {sizes}")


@register("swinv2_tiny_window8_256", SwinV2Config(*TINY, 0.2), params=28_347_154, macs=5_939_690_496)
@register("swinv2_small_window8_256", SwinV2Config(*SMALL, 0.3), params=49_728_418, macs=11_545_857_024)
@register("swinv2_base_window8_256", SwinV2Config(*BASE, 0.5), params=87_918_816, macs=20_325_134_336)
@register("swinv2_digits", SwinV2Config(32, (2, 2), (2, 4), **DIGITS))
def build(config: SwinV2Config) -> SwinTransformerV2:
    """A Swin Transformer V2 of the given configuration."""
    return SwinTransformerV2(config)
