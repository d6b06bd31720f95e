"""SimMIM: A Simple Framework for Masked Image Modeling.

Xie, Zhang, Cao, Lin, Bao, Yao, Dai, Hu. CVPR 2022, arXiv 2111.09886.

Large cells of an image are hidden behind one learned token, and the network says what pixels are there, to the mean absolute
error. All tokens go through the encoder, so it may be any; and one linear layer is decoder enough.

Names are the official ones (microsoft/SimMIM); in the encoder they are swin.py's, where what was pre-trained goes:

    state = {key.removeprefix("encoder."): value for key, value in simmim.state_dict().items()}
    tuned = mv.create_model("swin_base_patch4_window7_224", img_size=192, window_size=6)
    tuned.load_state_dict(state, strict=False)    # missing: the head, which pre-training does not have

`from_published` takes the official layout. Of the official encoders, ViT is not built here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import nn
from ..tape import Tensor
from . import swin
from ._masking import masking_noise
from ._registry import register


class Pretraining(NamedTuple):
    """What pre-training computes: loss, a number; pred (B, C, H, W); mask (B, H / P, W / P), 1 where a patch was hidden."""

    loss: Any
    pred: Any
    mask: Any


def masked_l1(images: Any, pred: Any, mask: Any) -> Any:
    """Section 3.4: the mean of |x - y| over the pixels where mask is 1.  images, pred (B, C, H, W), mask (B, H, W) -> a number

    1e-5 of a pixel is added to their count, so that an empty mask gives 0.
    """
    error = np.abs(images - pred) * mask[:, None]  # (B, C, H, W)
    return error.sum() / (mask.sum() + 1e-5) / images.shape[1]


def enlarged(mask: np.ndarray, scale: int) -> np.ndarray:
    """Every cell as scale x scale of them.  (B, H, W) -> (B, scale H, scale W)"""
    return mask.repeat(scale, axis=1).repeat(scale, axis=2)


class SwinTransformerForSimMIM(swin.SwinTransformer):
    """Section 3.2: a Swin whose hidden patches are the mask token, put there behind the patch embedding and its norm."""

    def __init__(self, config: SimMIMConfig) -> None:
        super().__init__(config)
        self.mask_token = nn.Parameter((1, 1, config.embed_dim), nn.init.trunc_normal(std=0.02))

    def forward(self, x: Any, mask: Any = None) -> Any:
        """(B, C, H, W), mask (B, H/P, W/P) of 0 and 1, None for nothing hidden -> (B, D, H', W'), normalised"""
        x = self.patch_embed(x)  # (B, H/P, W/P, D)
        if mask is not None:
            hidden = mask[..., None]  # (B, H/P, W/P, 1)
            x = x * (1 - hidden) + self.mask_token * hidden
        for layer in self.layers:
            x = layer(x)
        return self.norm(x).permute(0, 3, 1, 2)


class SimMIM(nn.Module):
    """Section 3.1: images (B, C, H, W) -> (loss, predicted images, mask)."""

    def __init__(self, config: SimMIMConfig) -> None:
        super().__init__()
        self.config = config
        width = config.dim(len(config.depths) - 1)
        self.encoder = SwinTransformerForSimMIM(config)
        self.decoder = nn.Sequential(
            nn.Conv2d(width, config.stride**2 * config.in_chans, 1), nn.PixelShuffle(config.stride)
        )  # section 3.3

    def masking(self, batch: int, noise: Any = None) -> np.ndarray:
        """Section 3.2: which patches are hidden, by whole cells, as many of every image.  -> (batch, H/P, W/P) of 0 and 1

        noise: numbers (batch, cells) to sort by, the smallest are hidden; or a generator to draw them from. Without it they
        follow from config.mask_seed, else from mv.manual_seed's generator.
        """
        rows, columns = self.config.cells
        noise = masking_noise((batch, rows * columns), noise, self.config.mask_seed, "cell")
        ranks = np.argsort(np.argsort(noise, axis=1, kind="stable"), axis=1)
        hidden = (ranks < self.config.hidden).astype(np.float32).reshape(batch, rows, columns)
        return enlarged(hidden, self.config.mask_patch_size // self.config.patch_size)

    def forward(self, images: Any, noise: Any = None) -> Pretraining:
        """(B, C, H, W) -> (loss, pred (B, C, H, W), mask (B, H/P, W/P)); noise as `masking` takes it"""
        hidden = self.masking(images.shape[0], noise).astype(images.dtype)
        mask, pixels = Tensor(hidden), Tensor(enlarged(hidden, self.config.patch_size))
        pred = self.decoder(self.encoder(images, mask))
        return Pretraining(masked_l1(images, pred, pixels), pred, mask)

    def painted(self, images: Any, noise: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """What it makes of what it sees, (B, C, H, W), and which pixels were hidden, (B, 1, H, W) of bool."""
        _, pred, mask = self(images, noise)
        return pred.data, enlarged(mask.data, self.config.patch_size)[:, None] > 0

    def from_published(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Without the buffers; the official layout of the encoder under swin.py's names."""
        inside = {key.removeprefix("encoder."): value for key, value in arrays.items() if key.startswith("encoder.")}
        own = {f"encoder.{key}": value for key, value in self.encoder.from_published(inside).items()}
        return {**own, **{key: value for key, value in arrays.items() if not key.startswith("encoder.")}}


@dataclass(frozen=True)
class SimMIMConfig(swin.SwinConfig):
    """Swin's (img_size is the images' only size; no classes), and what a user may change.

    mask_patch_size: the side of a hidden cell in pixels; mask_ratio: how many of them, rounded up; mask_seed: a number from
    which every batch gets the same mask, for measurements, in place of random ones.
    """

    mask_patch_size: int = 32
    mask_ratio: float = 0.6
    mask_seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_classes:
            raise ValueError(f"pre-training has no classes: num_classes should be 0, got {self.num_classes}")
        if self.mask_patch_size < 1 or self.mask_patch_size % self.patch_size:
            raise ValueError(
                f"mask_patch_size {self.mask_patch_size} should be a positive multiple of patch_size {self.patch_size}"
            )
        for name, size in (("mask_patch_size", self.mask_patch_size), ("the last map's stride", self.stride)):
            if any(side % size for side in self.input_shape[1:]):
                raise ValueError(f"img_size {self.img_size} should be a multiple of {name}, {size}")
        if not 0.0 < self.mask_ratio <= 1.0:
            raise ValueError(f"mask_ratio is the part that is hidden, above 0 and up to 1, got {self.mask_ratio}")

    @property
    def stride(self) -> int:
        """Pixels along a side of what a place of the last map predicts."""
        return self.patch_size << (len(self.depths) - 1)

    @property
    def cells(self) -> tuple[int, int]:
        """How many cells there are from top to bottom and from left to right."""
        _, height, width = self.input_shape
        return height // self.mask_patch_size, width // self.mask_patch_size

    @property
    def hidden(self) -> int:
        """How many cells of an image are hidden."""
        return math.ceil(math.prod(self.cells) * self.mask_ratio)


PRETRAINED: dict[str, Any] = {"window_size": 6, "img_size": 192, "num_classes": 0}
DIGITS: dict[str, Any] = {"window_size": 4, "patch_size": 1, "img_size": 8, "in_chans": 1, "num_classes": 0}


@register(
    "simmim_swin_base", SimMIMConfig(128, (2, 2, 18, 2), (4, 8, 16, 32), **PRETRAINED), params=89_874_104, macs=11_390_091_264
)
@register("simmim_digits", SimMIMConfig(32, (2, 2), (2, 4), mask_patch_size=2, **DIGITS), alias="simmim")
def build(config: SimMIMConfig) -> SimMIM:
    """SimMIM around a Swin of the given configuration."""
    return SimMIM(config)
