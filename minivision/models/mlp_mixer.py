"""MLP-Mixer: An all-MLP Architecture for Vision.

Tolstikhin, Houlsby, Kolesnikov, Beyer, Zhai, Unterthiner, Yung, Steiner, Keysers, Uszkoreit, Lucic, Dosovitskiy.
NeurIPS 2021, arXiv 2105.01601.

Neither convolution nor attention: an image's patches are the rows of a table, its channels the columns. One MLP mixes every
column, patch with patch, and a second one every row, channel with channel; the same weights serve all columns, and all rows.

Names and keys are timm's. Deviations, as in the weights the field downloads: GELU is the exact one, where the authors' code has
its tanh form; dropout stands before the head alone. Stochastic depth grows from block to block, as in the authors' code (timm
has one rate for all blocks).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn
from ._backbone import SquareImages, check_images
from ._mlp import Mlp
from ._registry import register


class PatchEmbed(nn.Module):
    """Section 2, the per-patch linear layer: S = H W / P^2 patches, each projected to C channels by the same matrix.

    A convolution of kernel and stride P does it: its weight is (C, 3, P, P).
    """

    def __init__(self, config: MixerConfig) -> None:
        super().__init__()
        self.image = config.input_shape
        self.proj = nn.Conv2d(config.in_chans, config.embed_dim, config.patch_size, stride=config.patch_size)

    def forward(self, x: Any) -> Any:
        """(B, 3, H, W) -> (B, S, C)"""
        check_images("patch_embed", x, self.image)
        x = self.proj(x)  # (B, C, H/P, W/P)
        return x.flatten(2).transpose(1, 2)  # (B, S, C)


class MixerBlock(nn.Module):
    """Eq. 1 and figure 1: columns are mixed over the patches, then rows over the channels; X and U are (S, C).

    U_*i = X_*i + W_2 sigma(W_1 LN(X)_*i)  for each channel i,   Y_j* = U_j* + W_4 sigma(W_3 LN(U)_j*)  for each patch j.
    """

    def __init__(self, config: MixerConfig, drop_path: float) -> None:
        super().__init__()
        tokens, channels = (int(ratio * config.embed_dim) for ratio in config.mlp_ratio)  # D_S, D_C
        self.norm1 = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.mlp_tokens = Mlp(config.patches, tokens)
        self.norm2 = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.mlp_channels = Mlp(config.embed_dim, channels)
        self.drop_path = nn.DropPath(drop_path)

    def mix_tokens(self, x: Any) -> Any:
        """W_2 sigma(W_1 x) of every column x, which has a number for each patch.  (B, S, C) -> the same"""
        columns = x.transpose(1, 2)  # (B, C, S)
        return self.mlp_tokens(columns).transpose(1, 2)  # (B, S, C)

    def forward(self, x: Any) -> Any:
        """Tokens, then channels; a branch is norm, mixing, then drop_path.  (B, S, C) -> the same"""
        x = x + self.drop_path(self.mix_tokens(self.norm1(x)))
        return x + self.drop_path(self.mlp_channels(self.norm2(x)))


class MlpMixer(nn.Module):
    """Figure 1: images (B, 3, H, W) -> logits (B, num_classes). No class token, and no positions: W_1 and W_2 know them."""

    def __init__(self, config: MixerConfig) -> None:
        super().__init__()
        self.config = config
        rates = np.linspace(0.0, config.drop_path_rate, config.depth).tolist()  # deeper blocks are left out more often
        self.stem = PatchEmbed(config)
        self.blocks = nn.Sequential(*(MixerBlock(config, rate) for rate in rates))
        self.norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.head_drop = nn.Dropout(config.drop_rate)
        self.head = nn.Linear(config.embed_dim, config.num_classes) if config.num_classes else nn.Identity()
        self.apply(_initialise)
        if isinstance(self.head, nn.Linear):
            nn.init.zeros_(self.head.weight)

    def forward_features(self, x: Any) -> Any:
        """The last block's table, its rows normed.  (B, 3, H, W) -> (B, S, C)"""
        return self.norm(self.blocks(self.stem(x)))

    def forward_head(self, x: Any, pre_logits: bool = False) -> Any:
        """Global average pooling over the patches, and the classifier.  (B, S, C) -> (B, num_classes)

        pre_logits, or a model without classes: the (B, C) before the head.
        """
        x = self.head_drop(x.mean(1))  # (B, C)
        return x if pre_logits else self.head(x)

    def forward(self, x: Any) -> Any:
        """(B, 3, H, W) -> (B, num_classes)"""
        return self.forward_head(self.forward_features(x))


def _initialise(module: nn.Module) -> None:
    """As timm starts them: Glorot and Bengio 2010 for matrices, LeCun et al. 1998 for patches, biases at 0 or nearly.

    The head, which is set after this, starts at 0 and says nothing.
    """
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
    if isinstance(module, Mlp):  # after its layers
        nn.init.normal_(module.fc1.bias, std=1e-6)
        nn.init.normal_(module.fc2.bias, std=1e-6)
    if isinstance(module, nn.Conv2d):
        std = math.prod(module.weight.shape[1:]) ** -0.5 / _spread(2.0)
        nn.init.trunc_normal_(module.weight, std=std, a=-2.0 * std, b=2.0 * std)
        nn.init.zeros_(module.bias)


def _spread(bound: float) -> float:
    """The standard deviation of N(0, 1) given |x| <= bound: sqrt(1 - 2 b phi(b) / P(|x| <= b))."""
    density = math.exp(-0.5 * bound * bound) / math.sqrt(2.0 * math.pi)
    return math.sqrt(1.0 - 2.0 * bound * density / math.erf(bound / math.sqrt(2.0)))


@dataclass(frozen=True)
class MixerConfig(SquareImages):
    """Table 1's columns and what a user may change.

    embed_dim: C; depth: blocks; mlp_ratio: D_S and D_C, the hidden widths over the patches and over the channels, as parts of
    C; img_size: the only side of images that the model takes, for W_1 and W_2 have as many columns as there are patches;
    num_classes: 0 for no head; drop_rate: dropout before the head; drop_path_rate: the chance of leaving out a branch of the
    last block, growing linearly from 0 at the first.
    """

    embed_dim: int
    depth: int
    patch_size: int = 16
    mlp_ratio: tuple[float, float] = (0.5, 4.0)
    img_size: int = 224
    in_chans: int = 3
    num_classes: int = 1000
    drop_rate: float = 0.0
    drop_path_rate: float = 0.0

    def __post_init__(self) -> None:
        if self.patch_size < 1 or self.img_size < 1 or self.img_size % self.patch_size:
            raise ValueError(f"img_size {self.img_size} must be a positive multiple of patch_size {self.patch_size}")
        if len(self.mlp_ratio) != 2 or any(int(ratio * self.embed_dim) < 1 for ratio in self.mlp_ratio):
            raise ValueError(
                f"mlp_ratio is two numbers, for patches and for channels, that give hidden widths of at least 1 "
                f"with embed_dim {self.embed_dim}, got {self.mlp_ratio}"
            )

    @property
    def patches(self) -> int:
        """S, how many patches there are."""
        return (self.img_size // self.patch_size) ** 2


@register("mixer_s32_224", MixerConfig(512, 8, 32), params=19_104_624, macs=1_002_426_368)
@register("mixer_s16_224", MixerConfig(512, 8), params=18_528_264, macs=3_776_958_464)
@register("mixer_b32_224", MixerConfig(768, 12, 32), params=60_293_428, macs=3_237_722_112)
@register("mixer_b16_224", MixerConfig(768, 12), params=59_880_472, macs=12_601_767_936)
@register("mixer_digits", MixerConfig(64, 4, 2, img_size=8, in_chans=1, num_classes=10))
def build(config: MixerConfig) -> MlpMixer:
    """An MLP-Mixer of the given configuration."""
    return MlpMixer(config)
