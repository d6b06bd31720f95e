"""Writes simmim.json and simmim.npz.

python tests/golden/make_simmim.py      # in an environment with torch and timm at the versions in reference.py

The official repository is no library: around timm's Swin stands what the paper adds to it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import timm
import torch
from reference import write
from timm.models.swin_transformer import SwinTransformer
from torch import nn
from torch.nn.functional import interpolate, pixel_shuffle

BASE: dict[str, Any] = {
    "embed_dim": 128, "depths": (2, 2, 18, 2), "num_heads": (4, 8, 16, 32), "window_size": 6, "patch_size": 4, "img_size": 192,
    "in_chans": 3, "mask_patch_size": 32, "mask_ratio": 0.6,
}  # fmt: skip
DIGITS: dict[str, Any] = {
    "embed_dim": 32, "depths": (2, 2), "num_heads": (2, 4), "window_size": 4, "patch_size": 1, "img_size": 8, "in_chans": 1,
    "mask_patch_size": 2, "mask_ratio": 0.6,
}  # fmt: skip
SIZES = {"simmim_swin_base": BASE, "simmim_digits": DIGITS}
SEED = 3


class Masked(SwinTransformer):
    """timm's, with a token in place of what is hidden."""

    def __init__(self, **sizes: Any) -> None:
        super().__init__(num_classes=0, drop_path_rate=0.0, **sizes)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, sizes["embed_dim"]))

    def forward(self, x: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        z = torch.where(hidden[..., None], self.mask_token, self.patch_embed(x))
        return self.norm(self.layers(z)).permute(0, 3, 1, 2)


class SimMIM(nn.Module):
    """Images -> loss, predicted images, mask; the mask by sorting the raw words of PCG64."""

    def __init__(self, mask_patch_size: int, mask_ratio: float, **sizes: Any) -> None:
        super().__init__()
        self.cell, self.ratio, self.patch = mask_patch_size, mask_ratio, sizes["patch_size"]
        self.stride = self.patch * 2 ** (len(sizes["depths"]) - 1)
        self.encoder = Masked(**sizes)
        self.decoder = nn.Sequential(nn.Conv2d(self.encoder.num_features, self.stride**2 * sizes["in_chans"], 1))

    def hidden(self, x: torch.Tensor) -> torch.Tensor:
        """(B, H/P, W/P) booleans."""
        rows, columns = x.shape[2] // self.cell, x.shape[3] // self.cell
        words = np.random.PCG64(SEED).random_raw(len(x) * rows * columns).reshape(len(x), -1)
        first = words.argsort(1)[:, : math.ceil(rows * columns * self.ratio)]
        mask = np.zeros(words.shape)
        np.put_along_axis(mask, first, 1.0, axis=1)
        cells = torch.from_numpy(mask.reshape(len(x), 1, rows, columns)).to(x.device)
        return interpolate(cells, scale_factor=self.cell // self.patch)[:, 0] > 0

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        hidden = self.hidden(x)
        pred = pixel_shuffle(self.decoder(self.encoder(x, hidden)), self.stride)
        mask = hidden.to(x.dtype)
        pixels = interpolate(mask[:, None], scale_factor=self.patch)
        loss = ((x - pred).abs() * pixels).sum() / (pixels.sum() + 1e-5) / x.shape[1]
        return loss, pred, mask


def build(name: str, mask_seed: int = SEED, **overrides: Any) -> torch.nn.Module:
    """The reference of a name."""
    return SimMIM(**{**SIZES[name], **overrides})


def case(name: str, side: int, batch: int, **overrides: Any) -> dict[str, Any]:
    """A case with gradients and its masks by SEED."""
    shape = [SIZES[name]["in_chans"], side, side]
    return {"model": name, "input": shape, "batch": batch, "gradients": True, "overrides": {"mask_seed": SEED, **overrides}}


THIN = {"embed_dim": 16, "depths": [2, 2, 1], "num_heads": [2, 2, 4], "window_size": 3, "img_size": 48, "mask_patch_size": 16}
CASES: dict[str, dict[str, Any]] = {
    "digits eval": case("simmim_digits", 8, 3),
    "digits train": {**case("simmim_digits", 8, 3), "train": True},
    "digits fine cells": case("simmim_digits", 8, 2, mask_patch_size=4, mask_ratio=0.25),
    "three maps": case("simmim_swin_base", 48, 1, **THIN),
    "base": {**case("simmim_swin_base", 64, 1, depths=[1, 1, 1, 1], img_size=64), "gradients": False},
}

if __name__ == "__main__":
    shapes = {name: (sizes["in_chans"], sizes["img_size"], sizes["img_size"]) for name, sizes in SIZES.items()}
    write("simmim", build, CASES, shapes, [timm])
