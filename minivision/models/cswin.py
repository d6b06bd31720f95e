"""CSWin Transformer: A General Vision Transformer Backbone with Cross-Shaped Windows.

Dong, Bao, Chen, Zhang, Yu, Yuan, Chen, Guo. CVPR 2022, arXiv 2107.00652.

Half of the heads attend inside vertical stripes of the map, half inside horizontal ones, so that a block sees a cross whose arms
reach all borders; stripes are narrow where maps are large. Where a patch lies is told by a convolution of the values, which needs
no table and no size (LePE).

Names: cswin_tiny_224 is the official CSWin_64_12211_tiny_224, and so on; keys are the official ones (microsoft/CSWin-Transformer,
its models/cswin.py). A map that stripes do not divide is padded around with queries, keys and values of 0, as in the repository's
code for segmentation. Deviation: there is no dropout inside the blocks, where all published models have a rate of 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import functional as F
from .. import nn
from ._backbone import Backbone, FeatureInfo, SquareImages, initialise
from ._mlp import Mlp
from ._pyramid import Stages
from ._registry import register

Pair = tuple[int, int]


def cross(size: Pair, width: int) -> list[Pair]:
    """The windows (rows, columns) of the two halves of the heads on a map of that size (H, W): vertical stripes,
    which are `width` columns wide, and horizontal ones, `width` rows high; each is as long as the map.
    """
    return [(size[0], width), (width, size[1])]


def halves(qkv: Any, parts: int) -> list[Any]:
    """Each part's own queries, keys and values, side by side.  (B, H, W, 3 C) -> `parts` times (B, H, W, 3 C / parts)

    The last axis of qkv holds C queries, C keys, C values. Of each, the first C / parts channels belong to the first part, the
    next to the second.
    """
    B, H, W, C3 = qkv.shape
    each = qkv.reshape(B, H, W, 3, parts, C3 // (3 * parts)).permute(4, 0, 1, 2, 3, 5)  # (parts, B, H, W, 3, C / parts)
    return [part.flatten(3) for part in each.unbind(0)]


class LePEAttention(nn.Module):
    """y = softmax(q k^T / sqrt(D)) v + DWConv(v) inside every window: positions act on the values (LePE).

    The convolution, 3 x 3 and depthwise, sees zeros beyond the border of its window.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.get_v = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def inside(self, qkv: Any) -> Any:
        """y = softmax(q k^T / sqrt(D)) v + DWConv(v) in windows that are cut already.  (windows, h, w, 3 C) -> (windows, h, w, C)

        The last axis of qkv holds C queries, C keys, C values; of each, a head has D = C / num_heads channels side by side.
        get_v is the convolution with its bias, of maps (windows, C, h, w).
        """
        (M, h, w), C = qkv.shape[:3], qkv.shape[3] // 3
        q, k, v = qkv.reshape(M, h * w, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)  # (M, heads, h w, D)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(M, h, w, C)
        return y + self.get_v(qkv[..., 2 * C :].permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    def forward(self, qkv: Any, window: Pair) -> Any:
        """(B, H, W, 3 C), cut into windows (h, w) -> (B, H, W, C)"""
        H, W = qkv.shape[1:3]
        below, right = -H % window[0], -W % window[1]
        top, left = below // 2, right // 2
        if below or right:
            qkv = F.pad(qkv, (0, 0, left, right - left, top, below - top))
        y = F.window_reverse(self.inside(F.window_partition(qkv, window)), window, (H + below, W + right))
        return y[:, top : top + H, left : left + W] if below or right else y


class Block(nn.Module):
    """z' = Attention(LN(z)) + z,  z = MLP(LN(z')) + z'; in training each branch may be left out (drop path).

    width: of the stripes, or None for one window as large as the map, as in the last stage.
    """

    def __init__(self, dim: int, num_heads: int, width: int | None, mlp_ratio: float, qkv_bias: bool, drop_path: float) -> None:
        super().__init__()
        self.width, parts = width, 1 if width is None else 2
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.norm1 = nn.LayerNorm(dim)
        self.proj = nn.Linear(dim, dim)
        self.attns = nn.ModuleList([LePEAttention(dim // parts, num_heads // parts) for _ in range(parts)])
        self.drop_path = nn.DropPath(drop_path)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.norm2 = nn.LayerNorm(dim)

    def attention(self, x: Any) -> Any:
        """The halves attend in their own stripes, and one linear layer mixes them.  (B, H, W, C) -> the same"""
        size: Pair = tuple(x.shape[1:3])
        windows = [size] if self.width is None else cross(size, self.width)
        parts = zip(self.attns, halves(self.qkv(x), len(windows)), windows, strict=True)
        return self.proj(np.concatenate([attend(qkv, window) for attend, qkv, window in parts], axis=-1))

    def forward(self, x: Any) -> Any:
        """(B, H, W, C) -> the same"""
        x = x + self.drop_path(self.attention(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class ChannelsLast(nn.Module):
    """(B, C, H, W) -> (B, H, W, C)"""

    def forward(self, x: Any) -> Any:
        """In the layout of the blocks."""
        return x.permute(0, 2, 3, 1)


class Merge(nn.Module):
    """Between stages, a convolution of 3 x 3 and stride 2, and a LayerNorm.  (B, H, W, C) -> (B, H/2, W/2, 2 C)"""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, 2 * dim, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(2 * dim)

    def forward(self, x: Any) -> Any:
        """Half the sides, of an odd one the larger half."""
        return self.norm(self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class CSWinTransformer(Backbone):
    """Figure 2: images (B, C, H, W) -> logits (B, num_classes)."""

    def __init__(self, config: CSWinConfig) -> None:
        super().__init__()
        self.config = config
        dim, P, rates = config.embed_dim, config.patch_size, config.rates()
        overlapping = nn.Conv2d(config.in_chans, dim, 2 * P - 1, stride=P, padding=P // 2)  # 7 x 7 pixels for a stride of 4
        self.stage1_conv_embed = nn.Sequential(overlapping, ChannelsLast(), nn.LayerNorm(dim))
        for i, each in enumerate(rates):
            if i:
                self.add_module(f"merge{i}", Merge(config.dim(i - 1)))
            sizes = config.dim(i), config.num_heads[i], config.width(i), config.mlp_ratio, config.qkv_bias
            self.add_module(f"stage{i + 1}", nn.Sequential(*(Block(*sizes, rate) for rate in each)))
        self.norm = nn.LayerNorm(config.dim(len(rates) - 1))
        self.head = nn.Linear(config.dim(len(rates) - 1), config.num_classes) if config.num_classes else nn.Identity()
        self.apply(initialise)

    @property
    def feature_info(self) -> list[FeatureInfo]:
        """What forward_maps gives."""
        config = self.config
        return [FeatureInfo(f"stage{i + 1}", config.dim(i), config.patch_size << i) for i in range(len(config.depths))]

    def forward_maps(self, x: Any) -> Iterator[Any]:
        """The map after each stage, while they are computed."""
        x = self.stage1_conv_embed(x)  # (B, H/P, W/P, D)
        for i in range(len(self.config.depths)):
            x = getattr(self, f"stage{i + 1}")(getattr(self, f"merge{i}")(x) if i else x)
            yield x.permute(0, 3, 1, 2)  # (B, C, H', W')

    def forward_head(self, x: Any) -> Any:
        """LayerNorm, global average pooling and the classifier.  (B, D, H', W') -> (B, num_classes)"""
        return self.head(self.norm(x.permute(0, 2, 3, 1)).mean((1, 2)))


@dataclass(frozen=True)
class CSWinConfig(Stages, SquareImages):
    """Table 1's numbers, and what a user may change.

    embed_dim: C, the first stage's channels; depths, num_heads: blocks and heads of each stage; split_sizes: sw, the stripes'
    width in each stage (of the last it says nothing, for there every patch sees the whole map); img_size: that counts are given
    for, and with it which other stage's map is no wider than its stripes and is one window too, while images of any size are
    taken; patch_size: the stem's stride; num_classes: 0 for no head; drop_path_rate: the chance of leaving out a branch of the
    last block, growing linearly from 0 at the first (the named models have the repository's).
    """

    embed_dim: int
    depths: tuple[int, ...]
    num_heads: tuple[int, ...]
    split_sizes: tuple[int, ...] = (1, 2, 7, 7)
    drop_path_rate: float = 0.0
    patch_size: int = 4
    img_size: int = 224
    in_chans: int = 3
    num_classes: int = 1000
    mlp_ratio: float = 4.0
    qkv_bias: bool = True

    def __post_init__(self) -> None:
        self.check_stages("split_sizes")
        for i, count in enumerate(self.num_heads):
            if self.split_sizes[i] < 1:
                raise ValueError(f"split_sizes counts patches across a stripe, at least 1, got {self.split_sizes}")
            if count % 2 and self.width(i) is not None:
                raise ValueError(f"half of the heads see vertical stripes: stage {i} should have an even number, got {count}")

    def width(self, stage: int) -> int | None:
        """The stripes' width; None where a stage sees the whole map."""
        width, side = self.split_sizes[stage], self.img_size // (self.patch_size << stage)
        return None if stage == len(self.depths) - 1 or width == side else width


TINY = CSWinConfig(64, (1, 2, 21, 1), (2, 4, 8, 16), drop_path_rate=0.2)
SMALL = CSWinConfig(64, (2, 4, 32, 2), (2, 4, 8, 16), drop_path_rate=0.4)
BASE = CSWinConfig(96, (2, 4, 32, 2), (4, 8, 16, 32), drop_path_rate=0.5)
DIGITS: dict[str, Any] = {"patch_size": 1, "img_size": 8, "in_chans": 1, "num_classes": 10}


@register("cswin_tiny_224", TINY, params=22_320_552, macs=4_324_203_008)
@register("cswin_small_224", SMALL, params=34_643_304, macs=6_800_714_752)
@register("cswin_base_224", BASE, params=77_382_184, macs=14_955_348_480)
@register("cswin_digits", CSWinConfig(32, (2, 2), (2, 4), (1, 4), **DIGITS))
def build(config: CSWinConfig) -> CSWinTransformer:
    """A CSWin Transformer of the given configuration."""
    return CSWinTransformer(config)
