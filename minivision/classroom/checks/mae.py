"""The masked autoencoder's steps, against loops over pixels and patches, and a Transformer of plain NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...tape import Tensor
from ..drivers.mae import small
from ..expect import expect
from ..proxy import Student
from .vit import State, attention, layer_norm, linear, mlp


def cut(images: np.ndarray, side: int) -> np.ndarray:
    """(B, C, H, W) -> (B, N, P P C), pixel by pixel."""
    B, C, H, W = images.shape
    found = np.empty((B, (H // side) * (W // side), side * side * C), images.dtype)
    for b, c, y, x in np.ndindex(images.shape):
        patch = (y // side) * (W // side) + x // side
        found[b, patch, ((y % side) * side + x % side) * C + c] = images[b, c, y, x]
    return found


def patches(student: Student, rng: np.random.Generator) -> None:
    """Every pixel's place, for arrays and Tensors; sides that are not alike, one patch, patches of one pixel, no image."""
    for shape, side in [((2, 3, 4, 6), 2), ((1, 1, 6, 3), 3), ((2, 2, 2, 3), 1), ((1, 2, 4, 4), 4), ((0, 1, 4, 4), 2)]:
        for dtype in (np.float64, np.float32):
            images = rng.standard_normal(shape).astype(dtype)
            label = f"patches of {side} x {side} of images {shape}, {np.dtype(dtype)}"
            expect(student(images, side), cut(images, side), label)
    images = rng.standard_normal((2, 1, 4, 6))
    expect(student(Tensor(images), 2), Tensor(cut(images, 2)), "patches of 2 x 2 of images (2, 1, 4, 6), a Tensor")


def masking(student: Student, rng: np.random.Generator) -> None:
    """Sorted row by row in Python: who is seen, where each patch went, who is left out; some numbers are equal."""
    for shape, visible in [((2, 6), 2), ((3, 5), 4), ((1, 9), 1), ((4, 2), 1)]:
        for noise, kind in [(rng.random(shape), "numbers"), (rng.integers(3, size=shape) / 2, "some equal numbers")]:
            keep, restore = np.empty((shape[0], visible), np.int64), np.empty(shape, np.int64)
            for row, (seen, places) in zip(noise, zip(keep, restore, strict=True), strict=True):
                order = sorted(range(len(row)), key=row.__getitem__)
                seen[:] = order[:visible]
                places[:] = [order.index(n) for n in range(len(row))]
            mask = np.ones(shape, np.float32)
            np.put_along_axis(mask, keep, 0, axis=1)
            got = student(noise, visible)
            told = f"of {kind} {shape}, {visible} visible"
            expect(tuple(got) if isinstance(got, tuple) else got, (keep, restore, mask), f"keep, restore, mask {told}")


def weights(rng: np.random.Generator, **overrides: Any) -> State:
    """Random weights of the small autoencoder, norms about 1."""
    state = small(**overrides).state_dict()
    return {name: rng.normal(float("norm" in name and "weight" in name), 0.5, array.shape) for name, array in state.items()}


def gaps(student: Student, rng: np.random.Generator) -> None:
    """Each patch put in its place by a loop, one block of a Transformer, and what is predicted of every patch."""
    for batch, visible in [(2, 3), (1, 1), (3, 5)]:
        w = weights(rng)
        latent, order = rng.standard_normal((batch, 1 + visible, 12)), rng.permuted(np.tile(np.arange(6), (batch, 1)), axis=1)
        x = linear(latent, w, "decoder_embed")
        z = np.repeat(w["mask_token"] + np.zeros((1, 7, 8)), batch, axis=0)
        z[:, 0] = x[:, 0]
        for b in range(batch):
            for place, patch in enumerate(order[b, :visible]):
                z[b, 1 + patch] = x[b, 1 + place]
        z = z + w["decoder_pos_embed"]
        block = "decoder_blocks.0"
        z = z + attention(layer_norm(z, w, f"{block}.norm1"), w, f"{block}.attn", 2)
        z = z + mlp(layer_norm(z, w, f"{block}.norm2"), w, f"{block}.mlp")
        wanted = linear(layer_norm(z, w, "decoder_norm"), w, "decoder_pred")
        got = student.drive("mae:model", w, Tensor(latent), np.argsort(order, axis=1))
        expect(got, Tensor(wanted[:, 1:]), f"what {batch} images predict of 6 patches, {visible} of which were seen")


def loss(student: Student, rng: np.random.Generator) -> None:
    """The mean over hidden patches, one after the other, of the pixels as they are or in their patch's own mean and deviation."""
    for normed in (False, True):
        for batch, hidden in [(2, 3), (1, 1), (3, 6)]:
            w = weights(rng, norm_pix_loss=normed)
            images, pred = rng.standard_normal((batch, 2, 4, 6)), rng.standard_normal((batch, 6, 8))
            mask = rng.permuted(np.tile((np.arange(6) < hidden) * 1.0, (batch, 1)), axis=1)
            errors = []
            for b, n in zip(*np.nonzero(mask), strict=True):
                target = cut(images, 2)[b, n]
                if normed:
                    target = (target - target.mean()) / math.sqrt(target.var(ddof=1) + 1e-6)
                errors.append(np.mean((pred[b, n] - target) ** 2))
            got = student.drive("mae:model", w, Tensor(images), Tensor(pred), Tensor(mask), norm_pix_loss=normed)
            label = f"the loss of {batch} images, {hidden} of 6 patches hidden, norm_pix_loss={normed}"
            expect(got, Tensor(np.array(np.mean(errors))), label)
