"""Swin Transformer: Hierarchical Vision Transformer using Shifted Windows.

Liu, Lin, Cao, Hu, Wei, Zhang, Lin, Guo. ICCV 2021, arXiv 2103.14030.

Attention stays inside windows of M x M patches, so that its cost grows with the area of the image and not with its square.
Every second block moves the windows by half a window, which lets neighbours meet; and between stages 2 x 2 patches become one,
so that there are maps of four sizes, as of a convolutional network.

Names and keys are timm's: a stage begins with its merging, where the paper ends the stage before with it. A map that windows
do not divide is padded, after the shift, at the bottom and to the right, with patches that all others of their window see.
Tables of another window are interpolated on loading, bicubic as by the authors (timm spaces displacements geometrically).
Deviation: there is no dropout inside the blocks, where all published models have a rate of 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import functional as F
from .. import nn
from ..errors import ShapeError
from ..tape import Tensor
from ._backbone import Backbone, FeatureInfo, Images, initialise
from ._mlp import Mlp
from ._pyramid import Stages
from ._registry import register
from ._resize import can_resize_bias, resize_bias
from .shifted_windows import Pair, heads, in_windows, position_bias

BUFFERS = ("relative_position_index", "relative_coords_table", "attn_mask")  # published, but they follow from the sizes


class WindowAttention(nn.Module):
    """Eq. 4: softmax(q k^T / sqrt(D) + B) v, with a bias B for every displacement of a key from its query."""

    def __init__(self, config: SwinConfig, stage: int, window: Pair) -> None:
        super().__init__()
        dim, self.num_heads, self.window = config.dim(stage), config.num_heads[stage], window
        displacements = (2 * window[0] - 1) * (2 * window[1] - 1)
        self.relative_position_bias_table = nn.Parameter((displacements, self.num_heads), nn.init.trunc_normal(std=0.02))
        self.qkv = nn.Linear(dim, 3 * dim, bias=config.qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Any, mask: Any = None) -> Any:
        """Windows (B nW, N, C), mask (nW, 1, N, N) -> (B nW, N, C)"""
        bias, windows = position_bias(self.relative_position_bias_table, self.window), 1
        if mask is not None:
            bias, windows = bias + mask, len(mask)  # (nW, heads, N, N)
        q, k, v = heads(self.qkv(x), self.num_heads, windows)
        y = F.scaled_dot_product_attention(q, k, v, bias)  # (B, nW, heads, N, D)
        return self.proj(y.transpose(2, 3).reshape(x.shape))


class Block(nn.Module):
    """Eq. 3: z' = (S)W-MSA(LN(z)) + z,  z = MLP(LN(z')) + z'; in training each branch may be left out (drop path)."""

    def __init__(self, config: SwinConfig, stage: int, shifted: bool, drop_path: float) -> None:
        super().__init__()
        dim, (self.window, shift) = config.dim(stage), config.windows(stage)
        self.shift = shift if shifted else (0, 0)
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(config, stage, self.window)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * config.mlp_ratio))
        self.drop_path = nn.DropPath(drop_path)

    def forward(self, x: Any) -> Any:
        """(B, H, W, C) -> the same"""
        x = x + self.drop_path(in_windows(self.attn, self.norm1(x), self.window, self.shift))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    """Patches of P x P pixels, each through one linear map (a convolution of stride P) and a LayerNorm."""

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(config.in_chans, config.embed_dim, config.patch_size, stride=config.patch_size)
        self.norm = nn.LayerNorm(config.embed_dim)

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, H / P, W / P, D)"""
        P, C = self.proj.kernel_size[0], self.proj.in_channels
        if x.ndim != 4 or x.shape[1] != C or 0 in x.shape[2:] or any(n % P for n in x.shape[2:]):
            problem = f"images should be (B, {C}, H, W) with H and W multiples of {P}, got {tuple(x.shape)}"
            hint = "pad or resize the images; other channels: create_model(..., in_chans=C)"
            raise ShapeError("patch_embed", problem, f"x {tuple(x.shape)} {x.dtype}", hint)
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


def merged(x: Any) -> Any:
    """Every 2 x 2 patches side by side: (0, 0), (1, 0), (0, 1), (1, 1) by row and column.  (B, H, W, C) -> (B, H/2, W/2, 4 C)

    An odd side gets a row or column of zeros.
    """
    if x.shape[1] % 2 or x.shape[2] % 2:
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
    B, H, W, C = x.shape
    return x.reshape(B, H // 2, 2, W // 2, 2, C).permute(0, 1, 3, 4, 2, 5).flatten(3)


class PatchMerging(nn.Module):
    """A linear layer on the 4 C numbers of 2 x 2 patches, after a LayerNorm.  (B, H, W, C) -> (B, H/2, W/2, 2 C)"""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Any) -> Any:
        """Half the sides, twice the channels."""
        return self.reduction(self.norm(merged(x)))


def stage(config: SwinConfig, number: int, rates: list[float], block: Any, merging: Any) -> nn.Sequential:
    """Figure 3: the merging, but for the first stage, and blocks of which every second one shifts its windows."""
    blocks = (block(config, number, i % 2 == 1, rate) for i, rate in enumerate(rates))
    return nn.Sequential(
        {"downsample": merging(config.dim(number - 1)) if number else nn.Identity(), "blocks": nn.Sequential(*blocks)}
    )


class SwinTransformer(Backbone):
    """Figure 3: images (B, C, H, W), H and W any multiples of the patch -> logits (B, num_classes)."""

    block: ClassVar[Any] = Block
    merging: ClassVar[Any] = PatchMerging

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        self.config = config
        last = len(config.depths) - 1
        stages = (stage(config, i, each, self.block, self.merging) for i, each in enumerate(config.rates()))
        self.patch_embed = PatchEmbed(config)
        self.layers = nn.Sequential(*stages)
        self.norm = nn.LayerNorm(config.dim(last))
        fc = nn.Linear(config.dim(last), config.num_classes) if config.num_classes else nn.Identity()
        self.head = nn.Sequential({"drop": nn.Dropout(config.drop_rate), "fc": fc})
        self.apply(initialise)

    @property
    def feature_info(self) -> list[FeatureInfo]:
        """What forward_maps gives."""
        config = self.config
        return [FeatureInfo(f"layers.{i}", config.dim(i), config.patch_size << i) for i in range(len(config.depths))]

    def forward_maps(self, x: Any) -> Iterator[Any]:
        """The map after each stage, while they are computed."""
        x = self.patch_embed(x)  # (B, H/P, W/P, D)
        for layer in self.layers:
            x = layer(x)
            yield x.permute(0, 3, 1, 2)  # (B, C, H', W')

    def forward_head(self, x: Any) -> Any:
        """LayerNorm, global average pooling and the classifier.  (B, D, H', W') -> (B, num_classes)"""
        return self.head(self.norm(x.permute(0, 2, 3, 1)).mean((1, 2)))

    def load_state_dict(self, mapping: Mapping[str, Any], strict: bool = True) -> Any:
        """As Module.load_state_dict; a square window's biases are interpolated where this model has another window there."""
        resized, layers = {}, dict[str, Any](self.named_modules())
        for path, layer in layers.items():
            own = getattr(layer, "relative_position_bias_table", None)
            found = mapping.get(name := f"{path}.relative_position_bias_table")
            table = np.asarray(found.data if isinstance(found, Tensor) else found)
            if own is not None and table.shape != own.shape and can_resize_bias(table, own.shape[1]):
                resized[name] = resize_bias(table, layer.window)
        return super().load_state_dict({**mapping, **resized}, strict)

    def from_published(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Without the buffers; the authors' layout, where a stage ends with the merging, under timm's names."""
        kept = {key: value for key, value in arrays.items() if key.rpartition(".")[2] not in BUFFERS}
        if not any(key.startswith("layers.0.downsample.") for key in kept):
            return kept
        later = {re.sub(r"(?<=^layers\.)\d+(?=\.downsample)", lambda i: str(int(i[0]) + 1), k): v for k, v in kept.items()}
        return {re.sub(r"^head\.", "head.fc.", key): value for key, value in later.items()}


@dataclass(frozen=True)
class SwinConfig(Stages, Images):
    """Section 3.3's numbers, and what a user may change.

    embed_dim: C, the first stage's channels; depths, num_heads: blocks and heads of each stage; window_size: M; img_size: one
    number, or (H, W): what counts are given for, and with it windows and shifts, as `windows` has them, while images of any
    size are taken; num_classes: 0 for no head; drop_rate: dropout before the head; drop_path_rate: the chance of leaving out a
    branch of the last block, growing linearly from 0 at the first (the named models have the paper's).
    """

    embed_dim: int
    depths: tuple[int, ...]
    num_heads: tuple[int, ...]
    drop_path_rate: float = 0.0
    window_size: int = 7
    patch_size: int = 4
    img_size: int | tuple[int, int] = 224
    in_chans: int = 3
    num_classes: int = 1000
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    drop_rate: float = 0.0

    def __post_init__(self) -> None:
        self.check_stages()
        if self.window_size < 1:
            raise ValueError(f"window_size counts patches along a side, at least 1, got {self.window_size}")
        if any(size < 1 or size % self.patch_size for size in self.input_shape[1:]):
            raise ValueError(f"img_size {self.img_size} must be a positive multiple of patch_size {self.patch_size}")

    def windows(self, stage: int) -> tuple[Pair, Pair]:
        """A stage's windows and their shift, by rows and columns: no larger than the map, and no shift along a side that one
        window covers.
        """
        height, width = (-(-size // (self.patch_size << stage)) for size in self.input_shape[1:])
        M, shift = self.window_size, self.window_size // 2
        return (min(M, height), min(M, width)), (shift if height > M else 0, shift if width > M else 0)


TINY = 96, (2, 2, 6, 2), (3, 6, 12, 24)
SMALL = 96, (2, 2, 18, 2), (3, 6, 12, 24)
BASE = 128, (2, 2, 18, 2), (4, 8, 16, 32)
LARGE = 192, (2, 2, 18, 2), (6, 12, 24, 48)
DIGITS: dict[str, Any] = {"window_size": 4, "patch_size": 1, "img_size": 8, "in_chans": 1, "num_classes": 10}


@register("swin_tiny_patch4_window7_224", SwinConfig(*TINY, 0.2), params=28_288_354, macs=4_490_566_656)
@register("swin_small_patch4_window7_224", SwinConfig(*SMALL, 0.3), params=49_606_258, macs=8_740_875_264)
@register("swin_base_patch4_window7_224", SwinConfig(*BASE, 0.5), params=87_768_224, macs=15_430_946_816)
@register("swin_large_patch4_window7_224", SwinConfig(*LARGE, 0.2), params=196_532_476, macs=34_475_759_616)
@register("swin_digits", SwinConfig(32, (2, 2), (2, 4), **DIGITS), alias="swin")
def build(config: SwinConfig) -> SwinTransformer:
    """A Swin Transformer of the given configuration."""
    return SwinTransformer(config)
