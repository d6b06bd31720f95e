"""Focal Self-attention for Local-Global Interactions in Vision Transformers.

Yang, Li, Zhang, Dai, Xiao, Yuan, Gao. NeurIPS 2021, arXiv 2107.00641.

The patches of a window attend finely to what is near, to their own window and a margin around it, and coarsely to what is far: to
windows pooled to one token each. A query's keys stay as few as they are, and the cost grows with the area of the image.

Names and keys are the official ones (microsoft/Focal-Transformer, its classification/focal_transformer.py); `from_published`
leaves out its buffers. As there: the margin wraps around the map, whose last rows are next to the first; its keys come from four
rolled maps, and those that two of them give stand there twice; pooled windows outside of the map are kept out by a score of -100.
Deviations: two levels at most, patches and windows, as all published models have; no shift of the windows; no dropout inside the
blocks, whose rate is 0 there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .. import functional as F
from .. import nn
from ..errors import ShapeError
from ._backbone import Backbone, FeatureInfo, SquareImages, initialise
from ._mlp import Mlp
from ._pyramid import Stages
from ._registry import register
from .focal_attention import FocalAttention, Pair, pooled

# published, but they follow from the sizes
BUFFERS = "relative_position_index", "relative_position_index_0", "valid_ind_rolled"


class Block(nn.Module):
    """z' = Attention(LN(z)) + z,  z = MLP(LN(z')) + z'; in training each branch may be left out (drop path)."""

    def __init__(self, config: FocalConfig, stage: int, drop_path: float) -> None:
        super().__init__()
        dim, (self.window, expand), region = config.dim(stage), config.windows(stage), config.focal_windows[stage]
        self.pool_layers = nn.ModuleList([nn.Linear(self.window**2, 1)] if region else [])
        self.norm1 = nn.LayerNorm(dim)
        self.attn = FocalAttention(dim, config.num_heads[stage], self.window, expand, region, config.qkv_bias)
        self.drop_path = nn.DropPath(drop_path)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * config.mlp_ratio))

    def attention(self, x: Any) -> Any:
        """Cut into windows, each pooled, attended to, and put together again; a map that windows do not divide gets zeros at
        the bottom and to the right.  (B, H, W, C) -> the same
        """
        B, H, W, C = x.shape
        M, below, right = self.window, -H % self.window, -W % self.window
        if below or right:
            x = F.pad(x, (0, 0, 0, right, 0, below))
        grid = (H + below) // M, (W + right) // M
        windows = F.window_partition(x, M).reshape(B, -1, M * M, C)  # (B, P Q, M^2, C)
        coarse = pooled(windows, self.pool_layers[0].weight, self.pool_layers[0].bias) if len(self.pool_layers) else None
        y = self.attn(windows, coarse, grid).reshape(-1, M, M, C)
        return F.window_reverse(y, M, (H + below, W + right))[:, :H, :W]

    def forward(self, x: Any) -> Any:
        """(B, H, W, C) -> the same"""
        x = x + self.drop_path(self.attention(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class Embed(nn.Module):
    """Patches of P x P through one linear map, a convolution of stride P, and a LayerNorm.  (B, C, H, W) -> (B, H/P, W/P, D)"""

    def __init__(self, inputs: int, outputs: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(inputs, outputs, patch, stride=patch)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x: Any) -> Any:
        """In the layout of the blocks."""
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class FocalTransformer(Backbone):
    """Figure 2: images (B, C, H, W), whose sides the last stage's stride divides -> logits (B, num_classes)."""

    def __init__(self, config: FocalConfig) -> None:
        super().__init__()
        self.config = config
        last = len(config.depths) - 1
        self.patch_embed, self.layers = Embed(config.in_chans, config.embed_dim, config.patch_size), nn.ModuleList()
        for i, each in enumerate(config.rates()):
            parts: dict[str, nn.Module] = {"blocks": nn.Sequential(*(Block(config, i, rate) for rate in each))}
            self.layers.append(
                nn.ModuleDict(parts | ({"downsample": Embed(config.dim(i), config.dim(i + 1), 2)} if i < last else {}))
            )
        self.norm = nn.LayerNorm(config.dim(last))
        self.head = nn.Linear(config.dim(last), config.num_classes) if config.num_classes else nn.Identity()
        self.apply(initialise)

    @property
    def feature_info(self) -> list[FeatureInfo]:
        """What forward_maps gives."""
        config = self.config
        return [FeatureInfo(f"layers.{i}.blocks", config.dim(i), config.patch_size << i) for i in range(len(config.depths))]

    def forward_maps(self, x: Any) -> Iterator[Any]:
        """The map after the blocks of each stage, while they are computed."""
        stride, C = self.feature_info[-1].stride, self.config.in_chans
        if x.ndim != 4 or x.shape[1] != C or any(n % stride or not n for n in x.shape[2:]):
            problem = f"images should be (B, {C}, H, W) with H and W multiples of {stride}, got {tuple(x.shape)}"
            hint = "pad or resize the images; other channels: create_model(..., in_chans=C)"
            raise ShapeError("focal", problem, f"x {tuple(x.shape)} {x.dtype}", hint)
        x = self.patch_embed(x)  # (B, H/P, W/P, D)
        for i, layer in enumerate(self.layers):
            x = layer["blocks"](self.layers[i - 1]["downsample"](x) if i else x)
            x = x.permute(0, 3, 1, 2)  # (B, C, H', W')
            yield x

    def forward_head(self, x: Any) -> Any:
        """LayerNorm, global average pooling and the classifier.  (B, D, H', W') -> (B, num_classes)"""
        return self.head(self.norm(x.permute(0, 2, 3, 1)).mean((1, 2)))

    def from_published(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Without the buffers."""
        return {key: value for key, value in arrays.items() if key.rpartition(".")[2] not in BUFFERS}


@dataclass(frozen=True)
class FocalConfig(Stages, SquareImages):
    """Table 1's numbers, and what a user may change.

    embed_dim: C, the first stage's channels; depths, num_heads: blocks and heads of each stage; window_size: M; expand_size: how
    many patches the margin is wide, 0 for none; focal_windows: along how many pooled windows a query of each stage sees, an odd
    number, 0 for none; img_size: that counts are given for, and with it a stage whose map is no larger than a window, which is
    one window without a margin, while images of other sizes are taken; num_classes: 0 for no head; drop_path_rate: the chance
    of leaving out a branch of the last block, growing linearly from 0 at the first (the named models have the repository's).
    """

    embed_dim: int
    depths: tuple[int, ...]
    num_heads: tuple[int, ...]
    focal_windows: tuple[int, ...] = (7, 5, 3, 1)
    drop_path_rate: float = 0.0
    window_size: int = 7
    expand_size: int = 3
    patch_size: int = 4
    img_size: int = 224
    in_chans: int = 3
    num_classes: int = 1000
    mlp_ratio: float = 4.0
    qkv_bias: bool = True

    def __post_init__(self) -> None:
        self.check_stages("focal_windows")
        if any(n < 0 or (n and n % 2 == 0) for n in self.focal_windows):
            raise ValueError(f"focal_windows are odd, with a query's own window in the middle, or 0, got {self.focal_windows}")
        if self.window_size < 1 or not 0 <= self.expand_size < self.window_size:
            wanted = "window_size is at least 1 and expand_size less than it, at least 0"
            raise ValueError(f"{wanted}, got {self.window_size} and {self.expand_size}")
        if self.img_size < 1 or self.img_size % (self.patch_size << (len(self.depths) - 1)):
            raise ValueError(f"img_size {self.img_size} must be a positive multiple of the last stage's stride")

    def windows(self, stage: int) -> Pair:
        """A stage's window and margin: where the map is no larger than a window, itself and none."""
        side = self.img_size // (self.patch_size << stage)
        return (side, 0) if side <= self.window_size else (self.window_size, self.expand_size)


TINY = 96, (2, 2, 6, 2), (3, 6, 12, 24)
SMALL = 96, (2, 2, 18, 2), (3, 6, 12, 24)
BASE = 128, (2, 2, 18, 2), (4, 8, 16, 32)
DIGITS: dict[str, Any] = {"window_size": 2, "expand_size": 1, "patch_size": 1, "img_size": 8, "in_chans": 1, "num_classes": 10}


@register("focal_tiny_patch4_window7_224", FocalConfig(*TINY, drop_path_rate=0.2), params=28_880_380, macs=4_953_223_680)
@register("focal_small_patch4_window7_224", FocalConfig(*SMALL, drop_path_rate=0.3), params=51_141_940, macs=9_480_362_496)
@register("focal_base_patch4_window7_224", FocalConfig(*BASE, drop_path_rate=0.5), params=89_815_400, macs=16_435_804_160)
@register("focal_digits", FocalConfig(32, (2, 2), (2, 4), (3, 1), **DIGITS))
def build(config: FocalConfig) -> FocalTransformer:
    """A Focal Transformer of the given configuration."""
    return FocalTransformer(config)
