"""The MetaFormer: a Transformer's block with the token mixer left open.

Yu, Luo, Zhou, Si, Zhou, Wang, Feng, Yan. MetaFormer is Actually What You Need for Vision. CVPR 2022, arXiv 2111.11418,
section 3.1. What may stand in the gap is in token_mixers.py; the networks of the paper are in poolformer.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn
from ._backbone import Classifier, SquareImages, check_choice, check_images
from .token_mixers import ANY_SIZE, MIXERS, token_mixer

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "group": lambda dim: nn.GroupNorm(1, dim),  # over channels and places
    "channel": lambda dim: nn.LayerNorm2d(dim, eps=1e-5),  # over the channels of each place
}


class ChannelMlp(nn.Module):
    """Eq. 3: sigma(Y W_1) W_2, as 1x1 convolutions."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(dim, hidden, 1)
        self.act = nn.GELU()
        self.fc2 = nn.Conv2d(hidden, dim, 1)

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> the same"""
        return self.fc2(self.act(self.fc1(x)))


class LayerScale(nn.Module):
    """A factor for each channel that begins near 0, so that deep networks begin as the identity (Touvron et al. 2021)."""

    def __init__(self, dim: int, start: float) -> None:
        super().__init__()
        self.scale = nn.Parameter((dim,), nn.init.constant(start))

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> the same"""
        return x * self.scale.reshape(-1, 1, 1)


class MetaFormerBlock(nn.Module):
    """Eq. 2-3: Y = TokenMixer(Norm(X)) + X,  Z = sigma(Norm(Y) W_1) W_2 + Y; each branch scaled, and left out at times."""

    def __init__(self, dim: int, mixer: str, places: int, drop_path: float, config: MetaFormerConfig) -> None:
        super().__init__()
        self.norm1 = NORMS[config.norm](dim)
        self.token_mixer = token_mixer(mixer, dim, places, config.pool_size, config.head_dim)
        self.layer_scale1 = LayerScale(dim, config.layer_scale_init)
        self.norm2 = NORMS[config.norm](dim)
        self.mlp = ChannelMlp(dim, int(dim * config.mlp_ratio))
        self.layer_scale2 = LayerScale(dim, config.layer_scale_init)
        self.drop_path = nn.DropPath(drop_path)

    def forward(self, x: Any) -> Any:
        """Tokens, then channels; a branch is norm, mixing, scale, then drop_path.  (B, C, H, W) -> the same"""
        x = x + self.drop_path(self.layer_scale1(self.token_mixer(self.norm1(x))))
        return x + self.drop_path(self.layer_scale2(self.mlp(self.norm2(x))))


class Stage(nn.Module):
    """Figure 2: a convolution that halves the side, but in the first stage; positions, where attention begins; blocks."""

    def __init__(self, i: int, rates: list[float], config: MetaFormerConfig) -> None:
        super().__init__()
        dim, mixer, size = config.dims[i], config.mixers[i], config.sizes[i]
        attends_first = "attention" in config.mixers and config.mixers.index("attention") == i
        self.pos_embed = nn.Parameter((1, dim, *size), nn.init.zeros()) if attends_first else None
        self.downsample = Embedding(config.dims[i - 1], dim, 3, 2, 1) if i else nn.Identity()
        self.blocks = nn.Sequential(*(MetaFormerBlock(dim, mixer, size[0] * size[1], rate, config) for rate in rates))

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, dim, H / 2, W / 2), in the first stage with the same size"""
        x = self.downsample(x)
        return self.blocks(x if self.pos_embed is None else x + self.pos_embed)


class Embedding(nn.Module):
    """Eq. 1, and between stages: a convolution of overlapping patches."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding)

    def forward(self, x: Any) -> Any:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)"""
        return self.conv(x)


class Head(nn.Module):
    """Pooling, norm and classifier, in timm's order; or norm, pooling and classifier, in the official one.

    The parameters are the same, the functions are not: to norm each of the places' features with a deviation taken over the
    whole map, or to norm their mean with its own, differs by a factor for each image.
    """

    def __init__(self, config: MetaFormerConfig) -> None:
        super().__init__()
        dim = config.dims[-1]
        self.pools_first = config.head == "timm"
        self.norm = nn.LayerNorm(dim, eps=1e-6) if self.pools_first else NORMS[config.norm](dim)
        self.drop = nn.Dropout(config.drop_rate)
        self.fc = nn.Linear(dim, config.num_classes) if config.num_classes else nn.Identity()

    def forward(self, x: Any) -> Any:
        """Places' mean, then its norm, if self.pools_first; else the map's norm, then the mean.  (B, D, H, W) -> (B, num_classes)

        Then dropout and the classifier.
        """
        x = self.norm(x.mean((2, 3))) if self.pools_first else self.norm(x).mean((2, 3))  # (B, D)
        return self.fc(self.drop(x))


class MetaFormer(Classifier):
    """Figure 2 with any token mixers: images (B, C, H, W) -> logits (B, num_classes)."""

    def __init__(self, config: MetaFormerConfig) -> None:
        super().__init__()
        self.config = config
        rates = np.linspace(0.0, config.drop_path_rate, sum(config.depths))  # deeper blocks are left out more often
        stages = np.split(rates, np.cumsum(config.depths)[:-1])
        self.stem = Embedding(config.in_chans, config.dims[0], *config.stem)
        self.stages = nn.Sequential(*(Stage(i, each.tolist(), config) for i, each in enumerate(stages)))
        self.head = Head(config)
        self.apply(_initialise)

    def forward_features(self, x: Any) -> Any:
        """The last map.  (B, C, H, W) -> (B, D, H/32, W/32)"""
        if not ANY_SIZE.issuperset(self.config.mixers):
            check_images("metaformer", x, self.config.input_shape)
        return self.stages(self.stem(x))

    def forward_head(self, x: Any) -> Any:
        """Pooling, the last norm and the classifier.  (B, D, H', W') -> (B, num_classes)"""
        return self.head(x)

    def from_published(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """The official entries under timm's names; see `renamed`. Their logits are those of head="official"."""
        return renamed(arrays)


def renamed(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping with timm's names for the official ones, where all that is between stem and head is numbered in one list.

    A "proj" there begins the next stage. Names of timm stay, and so do the values.
    """
    if not any(key.startswith("patch_embed.") for key in mapping):
        return dict(mapping)
    numbered = re.compile(r"network\.(\d+)\.(proj|pos_embed|)")
    found = {int(match[1]): match[2] for match in map(numbered.match, mapping) if match}
    names, stage = {}, 0
    for number, part in sorted(found.items()):
        stage += part == "proj"
        names[number] = f"stages.{stage}.{ {'proj': 'downsample.conv', '': 'blocks.'}.get(part, part) }"

    def name(key: str) -> str:
        key = numbered.sub(lambda match: names[int(match[1])], re.sub(r"layer_scale_(\d)", r"layer_scale\1.scale", key))
        key = re.sub("^head", "head.fc", key.replace("patch_embed.proj", "stem.conv"))
        return re.sub("^norm", "head.norm", key)

    return {name(key): value for key, value in mapping.items()}


def _initialise(module: nn.Module) -> None:
    """As timm starts them: N(0, 0.02^2), biases 0."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@dataclass(frozen=True)
class MetaFormerConfig(SquareImages):
    """Table 1's columns, table 5's changes and what a user may change.

    depths, dims: blocks and channels of each stage; token_mixers: one of MIXERS, or one for each stage; norm: "group", or
    "channel"; head: "timm" or "official", as Head has them; layer_scale_init: where LayerScale begins; stem: kernel, stride and
    padding; pool_size: K; head_dim: of attention; img_size: that counts are given for, while any is taken by pooling and
    identity, and this one alone by other mixers; num_classes: 0 for no head; drop_rate: dropout before the classifier;
    drop_path_rate: the chance of leaving out a branch of the last block, growing linearly from 0 at the first.
    """

    depths: tuple[int, ...]
    dims: tuple[int, ...] = (64, 128, 320, 512)
    token_mixers: str | tuple[str, ...] = "pooling"
    norm: str = "group"
    head: str = "timm"
    layer_scale_init: float = 1e-5
    stem: tuple[int, int, int] = (7, 4, 2)
    pool_size: int = 3
    head_dim: int = 32
    mlp_ratio: float = 4.0
    img_size: int = 224
    in_chans: int = 3
    num_classes: int = 1000
    drop_rate: float = 0.0
    drop_path_rate: float = 0.0

    def __post_init__(self) -> None:
        check_choice(self, "norm", NORMS)
        check_choice(self, "head", ("timm", "official"))
        stages = len(self.dims)
        if not stages or (len(self.depths), len(self.mixers)) != (stages, stages) or min(self.depths) < 1:
            raise ValueError(
                f"depths, dims and token_mixers have one entry for each stage, and depths none below 1, got {self.depths}, "
                f"{self.dims} and {self.mixers}"
            )
        if not set(self.mixers) <= set(MIXERS):
            raise ValueError(f"token_mixers are of {', '.join(MIXERS)}, got {self.mixers}")
        if self.pool_size < 1 or self.pool_size % 2 == 0:
            raise ValueError(f"pool_size is odd, so that a window has a centre, got {self.pool_size}")
        attended = [dim for dim, mixer in zip(self.dims, self.mixers, strict=True) if mixer == "attention"]
        if any(dim % self.head_dim for dim in attended):
            raise ValueError(f"head_dim {self.head_dim} divides the channels of stages with attention, got {attended}")

    @property
    def mixers(self) -> tuple[str, ...]:
        """The token mixer of each stage."""
        return (self.token_mixers,) * len(self.dims) if isinstance(self.token_mixers, str) else self.token_mixers

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(H, W) of each stage's map, for images of img_size."""
        kernel, stride, padding = self.stem
        side = (self.img_size + 2 * padding - kernel) // stride + 1
        sides = [side := side if i == 0 else (side - 1) // 2 + 1 for i in range(len(self.dims))]
        return [(side, side) for side in sides]
