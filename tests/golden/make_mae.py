"""Writes mae.json and mae.npz.

python tests/golden/make_mae.py      # in an environment with torch, timm and transformers at the versions in reference.py

The official repository is no library. What stands here is its structure on timm's blocks; before anything is written, it is
held against the model of transformers, whose names are others and whose q, k, v are three matrices.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import timm
import torch
import transformers
from reference import fill, write
from timm.models.vision_transformer import Block, PatchEmbed
from torch import nn
from weights import noise, sketch

SIZES = {  # width, depth, heads, patch, image, channels; of the decoder: width, depth, heads
    "mae_vit_base_patch16": ((768, 12, 12, 16, 224, 3), (512, 8, 16)),
    "mae_vit_large_patch16": ((1024, 24, 16, 16, 224, 3), (512, 8, 16)),
    "mae_vit_huge_patch14": ((1280, 32, 16, 14, 224, 3), (512, 8, 16)),
    "mae_digits": ((64, 4, 4, 2, 8, 1), (32, 2, 4)),
}
SEED = 3


class MAE(nn.Module):
    """Images -> loss, predictions, mask; the mask by sorting the raw words of PCG64."""

    def __init__(self, encoder: tuple[int, ...], decoder: tuple[int, ...], ratio: float, normal: bool) -> None:
        super().__init__()
        (D, depth, heads, self.patch, size, channels), (E, layers, others) = encoder, decoder
        norm: dict[str, Any] = {"qkv_bias": True, "norm_layer": functools.partial(nn.LayerNorm, eps=1e-6)}
        self.patch_embed = PatchEmbed(size, self.patch, channels, D)
        self.N, self.normal = self.patch_embed.num_patches, normal
        self.kept = int(self.N * (1 - ratio))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, D))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.N, D), requires_grad=False)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, E))
        self.decoder_pos_embed = nn.Parameter(torch.zeros(1, 1 + self.N, E), requires_grad=False)
        self.blocks = nn.Sequential(*(Block(D, heads, **norm) for _ in range(depth)))
        self.norm = nn.LayerNorm(D, eps=1e-6)
        self.decoder_embed = nn.Linear(D, E)
        self.decoder_blocks = nn.Sequential(*(Block(E, others, **norm) for _ in range(layers)))
        self.decoder_norm = nn.LayerNorm(E, eps=1e-6)
        self.decoder_pred = nn.Linear(E, self.patch**2 * channels)

    def order(self, batch: int) -> torch.Tensor:
        """(B, N) numbers to sort by: the ranks of the words."""
        words = np.random.PCG64(SEED).random_raw(batch * self.N).reshape(batch, self.N)
        return torch.from_numpy(words.argsort(1).argsort(1))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ranks = self.order(len(x)).to(x.device)
        tokens = self.patch_embed(x) + self.pos_embed[:, 1:]
        seen = torch.gather(tokens, 1, ranks.argsort(1)[:, : self.kept, None].expand(-1, -1, tokens.shape[-1]))
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1)
        z = self.decoder_embed(self.norm(self.blocks(torch.cat([first, seen], 1))))
        hidden = (ranks >= self.kept)[:, :, None]
        place = ranks.clamp(max=self.kept - 1)[:, :, None].expand(-1, -1, z.shape[-1])
        full = torch.where(hidden, self.mask_token, torch.gather(z[:, 1:], 1, place))
        y = self.decoder_blocks(torch.cat([z[:, :1], full], 1) + self.decoder_pos_embed)
        pred = self.decoder_pred(self.decoder_norm(y))[:, 1:]
        mask = hidden[:, :, 0].to(x.dtype)
        return self.loss(x, pred, mask), pred, mask

    def loss(self, x: torch.Tensor, pred: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """By unfold, whose patches are (C, p, q), not (p, q, C)."""
        target = nn.functional.unfold(x, self.patch, stride=self.patch)  # (B, C P P, N)
        target = target.unflatten(1, (x.shape[1], -1)).permute(0, 3, 2, 1).flatten(2)  # (B, N, P P C)
        if self.normal:
            variance, mean = torch.var_mean(target, -1, keepdim=True)
            target = (target - mean) / (variance + 1e-6).sqrt()
        return ((pred - target).square().mean(-1) * mask).sum() / mask.sum()


def build(
    name: str,
    depth: int | None = None,
    decoder_depth: int | None = None,
    img_size: int | None = None,
    mask_ratio: float = 0.75,
    norm_pix_loss: bool = False,
    mask_seed: int = SEED,
) -> torch.nn.Module:
    """The reference of a name."""
    (D, deep, heads, patch, size, channels), (E, layers, others) = SIZES[name]
    encoder = D, depth or deep, heads, patch, img_size or size, channels
    return MAE(encoder, (E, decoder_depth or layers, others), mask_ratio, norm_pix_loss)


def translated(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The official entries under the names that transformers has for them."""
    made = {}
    for name, value in state.items():
        if ".qkv." in name:
            parts = dict(zip("qkv", value.chunk(3), strict=True))
            made |= {name.replace("qkv", f"{part}_proj"): each for part, each in parts.items()}
        else:
            made[name.replace("attn.proj", "attn.o_proj")] = value
    renames = [
        ("decoder_blocks", "decoder_layers"), ("attn", "attention"), ("norm1", "layernorm_before"), ("norm2", "layernorm_after"),
    ]  # fmt: skip
    found = {}
    for name, value in made.items():
        for old, new in renames:
            name = name.replace(old, new)
        if name.startswith(("decoder", "mask_token")):
            name = f"decoder.{name}"
        elif name.startswith("blocks"):
            name = f"vit.{name.replace('blocks', 'layers')}"
        elif name.startswith("norm"):
            name = f"vit.{name.replace('norm', 'layernorm')}"
        else:
            name = name.replace("patch_embed.proj", "patch_embeddings.projection").replace("pos_embed", "position_embeddings")
            name = f"vit.embeddings.{name}"
        found[name] = value
    return found


def other(name: str, ratio: float, normal: bool) -> torch.nn.Module:
    """The same model by transformers."""
    (D, depth, heads, patch, size, channels), (E, layers, others) = SIZES[name]
    config = transformers.ViTMAEConfig(
        hidden_size=D, num_hidden_layers=depth, num_attention_heads=heads, intermediate_size=4 * D, image_size=size,
        patch_size=patch, num_channels=channels, decoder_hidden_size=E, decoder_num_hidden_layers=layers,
        decoder_num_attention_heads=others, decoder_intermediate_size=4 * E, mask_ratio=ratio, norm_pix_loss=normal,
        layer_norm_eps=1e-6,
    )  # fmt: skip
    return transformers.ViTMAEForPreTraining(config).eval()


def check(name: str, ratio: float, normal: bool) -> None:
    """Ends the program where the structure above and transformers differ."""
    own, theirs = fill(build(name, mask_ratio=ratio, norm_pix_loss=normal)).double(), other(name, ratio, normal).double()
    theirs.load_state_dict(translated(own.state_dict()))
    x = torch.from_numpy(noise("input", (3, *[SIZES[name][0][i] for i in (5, 4, 4)]))).double()
    with torch.no_grad():
        loss, pred, mask = own(x)
        found = theirs(x, noise=own.order(3))
    for mine, its in ((loss, found.loss), (pred, found.logits), (mask, found.mask)):
        torch.testing.assert_close(mine, its.to(mine.dtype), rtol=1e-12, atol=1e-12)


def positions() -> dict[str, np.ndarray]:
    """transformers' fixed positions: of the digits whole, of the base model's encoder and decoder in short.

    A fresh model of this version has zeros there, for it takes its parts for loaded ones: they are initialised once more.
    """
    small, large = other("mae_digits", 0.75, False), transformers.ViTMAEConfig(num_hidden_layers=1, decoder_num_hidden_layers=1)
    whole = transformers.ViTMAEForPreTraining(large)
    for model in (small, whole):
        model.vit.embeddings.patch_embeddings.projection._is_hf_initialized = False
        model.vit.embeddings.initialize_weights()
        model.decoder.initialize_weights(model.vit.embeddings.patch_embeddings.num_patches)
    tables = {"encoder": whole.vit.embeddings.position_embeddings, "decoder": whole.decoder.decoder_pos_embed}
    shorts = {f"positions/{name}": sketch(name, table.detach().numpy()) for name, table in tables.items()}
    return {"positions/digits": small.vit.embeddings.position_embeddings.detach().numpy(), **shorts}


def case(name: str, shape: tuple[int, int, int], batch: int, **overrides: Any) -> dict[str, Any]:
    """A case with its masks by SEED."""
    return {"model": name, "input": list(shape), "batch": batch, "overrides": {"mask_seed": SEED, **overrides}}


BASE, LARGE, HUGE, DIGITS = SIZES
SHALLOW = {"depth": 1, "decoder_depth": 1}
CASES: dict[str, dict[str, Any]] = {
    "digits eval": {**case(DIGITS, (1, 8, 8), 3), "gradients": True},
    "digits train": {**case(DIGITS, (1, 8, 8), 3), "gradients": True, "train": True},
    "digits normal": {**case(DIGITS, (1, 8, 8), 3, norm_pix_loss=True, mask_ratio=0.4), "gradients": True},
    "base": {**case(BASE, (3, 48, 48), 1, img_size=48, norm_pix_loss=True, **SHALLOW), "gradients": True},
    "large": case(LARGE, (3, 48, 48), 1, img_size=48, **SHALLOW),
    "huge": case(HUGE, (3, 42, 42), 1, img_size=42, **SHALLOW),
}

if __name__ == "__main__":
    for settings in ((0.75, False), (0.4, True)):
        check(DIGITS, *settings)
    shapes = {name: (sizes[5], sizes[4], sizes[4]) for name, (sizes, _) in SIZES.items()}
    write("mae", build, CASES, shapes, [timm, transformers], more=positions())
