"""Masked Autoencoders Are Scalable Vision Learners.

He, Chen, Xie, Li, Dollar, Girshick. CVPR 2022, arXiv 2111.06377.

Three quarters of an image's patches are left out and the network paints them. Its encoder, a ViT, sees the others alone, so
that pre-training costs a fraction; a small decoder fills the gaps from one learned token, and is thrown away afterwards.

Names and keys are the official ones (facebookresearch/mae). The encoder's are vit.py's, so what was pre-trained goes there:

    tuned = mv.create_model("vit_base_patch16_224", global_pool="avg", drop_path_rate=0.1)
    tuned.load_state_dict(mae.state_dict(), strict=False)   # missing: fc_norm and head, which pre-training does not have
    optimizer = mv.optim.AdamW(fine_tuning_groups(tuned, lr=5e-4))

Deviations, as there: the patch embedding starts as a linear layer; no normalised pixels unless asked for (norm_pix_loss).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from .. import nn
from ..optim import layer_decay_groups
from ..tape import Tensor
from . import vit
from ._masking import masking_noise
from ._positions import fixed_positions
from ._registry import register


class Masking(NamedTuple):
    """Which patches are seen: keep (B, K), their numbers; restore (B, N), where each patch stands once the seen are in
    front; mask (B, N), 1 where a patch is left out."""

    keep: np.ndarray
    restore: np.ndarray
    mask: np.ndarray


class Pretraining(NamedTuple):
    """What pre-training computes: loss, a number; pred (B, N, P P C); mask (B, N), 1 where a patch was left out."""

    loss: Any
    pred: Any
    mask: Any


def random_masking(noise: np.ndarray, visible: int) -> Masking:
    """Section 3, "Masking": shuffle, keep the first. noise (B, N), any numbers to sort by: the smallest are seen."""
    shuffle = np.argsort(noise, axis=1, kind="stable")  # (B, N)
    restore = np.argsort(shuffle, axis=1)
    return Masking(shuffle[:, :visible], restore, (restore >= visible).astype(np.float32))


def patchify(images: Any, patch_size: int) -> Any:
    """(B, C, H, W) -> (B, N, P P C): row by row the patches, in each row by row the pixels, in each the channels."""
    (B, C, H, W), P = images.shape, patch_size
    x = images.reshape(B, C, H // P, P, W // P, P)
    return np.transpose(x, (0, 2, 4, 3, 5, 1)).reshape(B, (H // P) * (W // P), P * P * C)  # (B, N, P P C)


def unpatchify(patches: Any, grid: tuple[int, int], patch_size: int) -> Any:
    """Undoes patchify: (B, N, P P C), grid (H / P, W / P) -> (B, C, H, W)"""
    B, (rows, columns), P = patches.shape[0], grid, patch_size
    x = patches.reshape(B, rows, columns, P, P, -1)
    return np.transpose(x, (0, 5, 1, 3, 2, 4)).reshape(B, -1, rows * P, columns * P)  # (B, C, H, W)


def normalise_pixels(patches: Any) -> Any:
    """Section 3, "Reconstruction target": (x - mean) / sqrt(var + 1e-6) of each patch (B, N, n), var the sum over n - 1."""
    centred = patches - patches.mean(-1, keepdims=True)
    variance = (centred * centred).sum(-1, keepdims=True) / (patches.shape[-1] - 1)  # (B, N, 1)
    return centred / (variance + 1e-6) ** 0.5


class MaskedAutoencoderViT(nn.Module):
    """Section 3, figure 1: images (B, C, H, W) -> (loss, predicted patches, mask)."""

    def __init__(self, config: MAEConfig) -> None:
        super().__init__()
        self.config = config
        encoder, decoder = config.encoder, config.decoder
        self.patches = config.grid[0] * config.grid[1]
        self.cls_token = nn.Parameter((1, 1, encoder.embed_dim), nn.init.normal(std=0.02))
        self.pos_embed = fixed_positions(encoder.embed_dim, encoder.grid)
        self.mask_token = nn.Parameter((1, 1, decoder.embed_dim), nn.init.normal(std=0.02))
        self.decoder_pos_embed = fixed_positions(decoder.embed_dim, decoder.grid)
        self.patch_embed = vit.PatchEmbed(encoder)
        self.blocks = nn.Sequential(*(vit.Block(encoder, 0.0) for _ in range(encoder.depth)))
        self.norm = nn.LayerNorm(encoder.embed_dim, eps=1e-6)
        self.decoder_embed = nn.Linear(encoder.embed_dim, decoder.embed_dim)
        self.decoder_blocks = nn.Sequential(*(vit.Block(decoder, 0.0) for _ in range(decoder.depth)))
        self.decoder_norm = nn.LayerNorm(decoder.embed_dim, eps=1e-6)
        self.decoder_pred = nn.Linear(decoder.embed_dim, config.patch_size**2 * config.in_chans)
        self.apply(_initialise)
        self.patch_embed.proj.weight.initialise(_flat_xavier)

    def masking(self, batch: int, noise: Any = None) -> Masking:
        """What `batch` images show. noise: numbers (batch, N) to sort by, or a generator to draw them from.

        Without noise they follow from config.mask_seed, else from mv.manual_seed's generator.
        """
        noise = masking_noise((batch, self.patches), noise, self.config.mask_seed, "patch")
        return random_masking(noise, self.config.visible)

    def forward_encoder(self, images: Any, keep: np.ndarray) -> Any:
        """Section 3, "MAE encoder": a ViT on the patches that are seen.  (B, C, H, W), keep (B, K) -> (B, 1 + K, D)"""
        x = self.patch_embed(images) + self.pos_embed[:, 1:]  # (B, N, D)
        x = _take(x, keep)  # (B, K, D)
        first = (self.cls_token + self.pos_embed[:, :1]).expand(x.shape[0], -1, -1)  # (B, 1, D)
        return self.norm(self.blocks(np.concatenate([first, x], axis=1)))

    def forward_decoder(self, latent: Any, restore: np.ndarray) -> Any:
        """Section 3, "MAE decoder": every gap is the mask token and its position.  (B, 1 + K, D) -> (B, N, P P C)"""
        x = self.decoder_embed(latent)  # (B, 1 + K, E)
        gaps = self.mask_token.expand(x.shape[0], 1 + self.patches - x.shape[1], -1)  # (B, N - K, E)
        patches = _take(np.concatenate([x[:, 1:], gaps], axis=1), restore)  # (B, N, E)
        x = np.concatenate([x[:, :1], patches], axis=1) + self.decoder_pos_embed  # (B, 1 + N, E)
        return self.decoder_pred(self.decoder_norm(self.decoder_blocks(x)))[:, 1:]

    def forward_loss(self, images: Any, pred: Any, mask: Any) -> Any:
        """Section 3: the mean squared error of a pixel, averaged over the patches that were left out."""
        target = patchify(images, self.config.patch_size)  # (B, N, P P C)
        if self.config.norm_pix_loss:
            target = normalise_pixels(target)
        error = ((pred - target) ** 2).mean(-1)  # (B, N)
        return (error * mask).sum() / mask.sum()

    def forward(self, images: Any, noise: Any = None) -> Pretraining:
        """(B, C, H, W) -> (loss, pred (B, N, P P C), mask (B, N)); noise as `masking` takes it"""
        seen = self.masking(images.shape[0], noise)
        pred = self.forward_decoder(self.forward_encoder(images, seen.keep), seen.restore)
        mask = Tensor(seen.mask.astype(pred.dtype))
        return Pretraining(self.forward_loss(images, pred, mask), pred, mask)

    def painted(self, images: Any, noise: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Figure 2: what it makes of what it sees, (B, C, H, W), and which pixels were left out, (B, 1, H, W) of bool."""
        _, pred, mask = self(images, noise)
        patches, P = pred.data, self.config.patch_size
        if self.config.norm_pix_loss:  # in the mean and deviation of the true patch
            true = patchify(images.data, P)
            patches = patches * true.std(-1, ddof=1, keepdims=True) + true.mean(-1, keepdims=True)
        hidden = np.repeat(mask.data[:, :, None] > 0, P * P, axis=2)  # (B, N, P P)
        return unpatchify(patches, self.config.grid, P), unpatchify(hidden, self.config.grid, P)


def _take(x: Any, numbers: np.ndarray) -> Any:
    """Of each image the tokens with these numbers.  (B, N, D), (B, K) -> (B, K, D)"""
    return x[np.arange(len(numbers))[:, None], numbers]


def _flat_xavier(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """The patch embedding (D, C, P, P) as the matrix (D, C P P) that it is."""
    return nn.init.xavier_uniform()(rng, (shape[0], int(np.prod(shape[1:])))).reshape(shape)


def _initialise(module: nn.Module) -> None:
    """Appendix A.1: Xavier's uniform numbers, bias 0."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def fine_tuning_groups(
    model: vit.VisionTransformer, lr: float, weight_decay: float = 0.05, layer_decay: float = 0.65
) -> list[dict[str, Any]]:
    """Appendix A.1, table 9: parameter groups of a ViT, each block's learning rate layer_decay times that of the next.

    The embeddings are layer 0, block i is layer i + 1, norm and head the last, which alone learns at lr. Vectors, the class
    token and the positions have no weight decay. The authors' code has a layer_decay of 0.65 for ViT-B, 0.75 for larger ones.
    """

    def layer(name: str) -> int:
        part, _, rest = name.partition(".")
        if part == "blocks":
            return 1 + int(rest.partition(".")[0])
        return 0 if part in ("cls_token", "pos_embed", "patch_embed") else 1 + model.config.depth

    return layer_decay_groups(model, layer, lr, weight_decay, layer_decay, without=("cls_token", "pos_embed"))


@dataclass(frozen=True)
class MAEConfig:
    """Section 4 and what a user may change.

    mask_ratio: of the patches, rounded so that no more than the rest are seen; norm_pix_loss: predict each patch in its own
    mean and deviation; mask_seed: a number from which every batch gets the same mask, for measurements, in place of random
    ones.
    """

    embed_dim: int
    depth: int
    num_heads: int
    decoder_embed_dim: int = 512
    decoder_depth: int = 8
    decoder_num_heads: int = 16
    patch_size: int = 16
    img_size: int | tuple[int, int] = 224
    in_chans: int = 3
    mlp_ratio: float = 4.0
    mask_ratio: float = 0.75
    norm_pix_loss: bool = False
    mask_seed: int | None = None

    def __post_init__(self) -> None:
        for name, width in (("embed_dim", self.embed_dim), ("decoder_embed_dim", self.decoder_embed_dim)):
            if width % 4:
                raise ValueError(f"{name} should be a multiple of 4, for sines and cosines of two places, got {width}")
        patches = self.grid[0] * self.grid[1]
        if not 0 < self.visible < patches:
            raise ValueError(f"mask_ratio should show some of {patches} patches and hide some, got {self.mask_ratio}")
        if self.norm_pix_loss and self.patch_size**2 * self.in_chans < 2:
            raise ValueError("norm_pix_loss needs patches of two numbers or more: choose a larger patch_size")

    @property
    def encoder(self) -> vit.ViTConfig:
        """The ViT that is pre-trained."""
        sizes = self.embed_dim, self.depth, self.num_heads, self.patch_size, self.img_size, self.in_chans
        return vit.ViTConfig(*sizes, num_classes=0, mlp_ratio=self.mlp_ratio)

    @property
    def decoder(self) -> vit.ViTConfig:
        """Its smaller partner, on the same grid."""
        width, depth, heads = self.decoder_embed_dim, self.decoder_depth, self.decoder_num_heads
        return replace(self.encoder, embed_dim=width, depth=depth, num_heads=heads)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return self.encoder.input_shape

    @property
    def grid(self) -> tuple[int, int]:
        """How many patches there are from top to bottom and from left to right."""
        return self.encoder.grid

    @property
    def visible(self) -> int:
        """How many patches of an image the encoder sees."""
        return int(self.grid[0] * self.grid[1] * (1 - self.mask_ratio))


@register("mae_vit_base_patch16", MAEConfig(768, 12, 12), params=111_907_840, macs=9_781_133_312)
@register("mae_vit_large_patch16", MAEConfig(1024, 24, 16), params=329_541_888, macs=20_755_783_680)
@register("mae_vit_huge_patch14", MAEConfig(1280, 32, 16, patch_size=14), params=657_074_508, macs=48_561_911_808)
@register("mae_digits", MAEConfig(64, 4, 4, 32, 2, 4, patch_size=2, img_size=8, in_chans=1), alias="mae")
def build(config: MAEConfig) -> MaskedAutoencoderViT:
    """A masked autoencoder of the given configuration."""
    return MaskedAutoencoderViT(config)
