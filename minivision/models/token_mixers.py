"""What may mix the tokens of a MetaFormer (metaformer.py): maps (B, C, H, W) -> the same.

Yu et al., MetaFormer is Actually What You Need for Vision. CVPR 2022, arXiv 2111.11418, sections 3.2 and 4.4 (table 5).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import functional as F
from .. import nn, random
from ._mlp import Mlp
from .vit import Attention, ViTConfig


class Pooling(nn.Module):
    """Section 3.2, eq. 4: the mean of K x K neighbours, less the token itself, which the shortcut adds. No parameters."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, x: Any) -> Any:
        """Mean of the window around each place, less the place itself.  (B, C, H, W) -> the same

        Where the window leaves the map, the mean is of what is left in it: a constant map becomes 0, border and all.
        """
        return F.avg_pool2d(x, self.kernel, stride=1, padding=self.kernel // 2, count_include_pad=False) - x


class SelfAttention(Attention):
    """Attention between all places of the map, with heads of head_dim and no bias in queries, keys and values."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__(ViTConfig(dim, 1, num_heads, qkv_bias=False))

    def forward(self, x: Any) -> Any:
        """Places are tokens."""
        tokens = x.flatten(2).transpose(1, 2)  # (B, H W, C)
        return super().forward(tokens).transpose(1, 2).reshape(x.shape)  # (B, C, H, W)


class SpatialFc(nn.Module):
    """One matrix (H W, H W) over the places, the same for all channels (section 4.4, hybrid stages)."""

    def __init__(self, places: int) -> None:
        super().__init__()
        self.fc = nn.Linear(places, places, bias=False)

    def forward(self, x: Any) -> Any:
        """y_i = sum_j W_ij x_j"""
        return self.fc(x.flatten(2)).reshape(x.shape)  # (B, C, H W) -> (B, C, H, W)


class SpatialMlp(Mlp):
    """MLP-Mixer's two layers over the places, with half as many hidden numbers as channels, as in its table 1."""

    def forward(self, x: Any) -> Any:
        """W_2 sigma(W_1 x), channel by channel."""
        return super().forward(x.flatten(2)).reshape(x.shape)  # (B, C, H W) -> (B, C, H, W)


class RandomMixing(nn.Module):
    """Section 4.4: a matrix (H W, H W) of U(0, 1), its rows through a softmax, drawn once and never learnt."""

    random_matrix: Any

    def __init__(self, places: int) -> None:
        super().__init__()
        self.register_buffer("random_matrix", F.softmax(random.generator().random((places, places), np.float32), dim=-1))

    def forward(self, x: Any) -> Any:
        """y_i = sum_j W_ij x_j"""
        return F.linear(x.flatten(2), self.random_matrix).reshape(x.shape)  # (B, C, H W) -> (B, C, H, W)


MIXERS = ("pooling", "identity", "attention", "spatial_fc", "spatial_mlp", "random")
ANY_SIZE = {"pooling", "identity"}  # the others, or the positions beside them, belong to maps of one size


def token_mixer(kind: str, dim: int, places: int, pool_size: int, head_dim: int) -> nn.Module:
    """One of MIXERS, for maps of `dim` channels and `places` = H W."""
    made: dict[str, Callable[[], nn.Module]] = {
        "pooling": lambda: Pooling(pool_size),
        "identity": nn.Identity,
        "attention": lambda: SelfAttention(dim, dim // head_dim),
        "spatial_fc": lambda: SpatialFc(places),
        "spatial_mlp": lambda: SpatialMlp(places, dim // 2),
        "random": lambda: RandomMixing(places),
    }
    return made[kind]()
