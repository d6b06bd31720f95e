"""The vision transformer's steps, each against the same in plain NumPy on random weights, in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...ops.taps import antialiased
from ...tape import Tensor
from ..drivers.vit import small
from ..expect import expect, expect_parts, expect_that
from ..proxy import Student

State = dict[str, np.ndarray]


def weights(rng: np.random.Generator, **overrides: Any) -> State:
    """Random weights of the small ViT, norms about 1."""
    state = small(**overrides).state_dict()
    return {name: rng.normal(float("norm" in name and "weight" in name), 0.5, array.shape) for name, array in state.items()}


def layer_norm(x: np.ndarray, w: State, name: str) -> np.ndarray:
    """(x - mean) / sqrt(variance + 1e-6) weight + bias"""
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * w[f"{name}.weight"] + w[f"{name}.bias"]


def linear(x: np.ndarray, w: State, name: str) -> np.ndarray:
    """x W^T + b"""
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def softmax(s: np.ndarray) -> np.ndarray:
    """Along the last axis."""
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention(x: np.ndarray, w: State, name: str, heads: int) -> np.ndarray:
    """Head by head: each has its own columns of q, k and v."""
    q, k, v = np.split(linear(x, w, f"{name}.qkv"), 3, axis=-1)
    outs = []
    for own in np.split(np.arange(x.shape[-1]), heads):
        scores = q[..., own] @ np.swapaxes(k[..., own], -1, -2) / math.sqrt(len(own))
        outs.append(softmax(scores) @ v[..., own])
    return linear(np.concatenate(outs, axis=-1), w, f"{name}.proj")


def mlp(x: np.ndarray, w: State, name: str) -> np.ndarray:
    """fc2(GELU(fc1(x)))"""
    hidden = linear(x, w, f"{name}.fc1")
    return linear(hidden * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2))) / 2, w, f"{name}.fc2")


def head(student: Student, rng: np.random.Generator) -> None:
    """The class token, or the mean of the others after its own norm, read by one matrix; or what comes before that."""
    for pool in ("token", "avg"):
        w = weights(rng, global_pool=pool)
        for batch in (1, 3):
            x = rng.standard_normal((batch, 7, 12))
            features = x[:, 0] if pool == "token" else layer_norm(x[:, 1:].mean(1), w, "fc_norm")
            for pre_logits in (False, True):
                got = student.drive("vit:model", "", w, Tensor(x), pre_logits, global_pool=pool)
                label = f"the answer for x of shape {x.shape}, global_pool={pool!r}, pre_logits={pre_logits}"
                expect(got, Tensor(features if pre_logits else linear(features, w, "head")), label)


def embed(student: Student, rng: np.random.Generator) -> None:
    """Patches cut by a reshape and multiplied; the class token in front of each image's; the positions added to all."""
    for batch in (1, 3):
        w, x = weights(rng), rng.standard_normal((batch, 1, 6, 4))
        patches = x.reshape(batch, 1, 3, 2, 2, 2).transpose(0, 2, 4, 1, 3, 5).reshape(batch, 6, 4)
        tokens = patches @ w["patch_embed.proj.weight"].reshape(12, 4).T + w["patch_embed.proj.bias"]
        first = np.repeat(w["cls_token"], batch, axis=0)
        expected = np.concatenate([first, tokens], axis=1) + w["pos_embed"]
        expect(student.drive("vit:model", "", w, Tensor(x)), Tensor(expected), f"z_0 of {batch} images of 6 x 4, patches of 2")


def heads(student: Student, rng: np.random.Generator) -> None:
    """q, k and v of each head, from the rows of U_qkv that are its own."""
    for batch, tokens in [(1, 7), (2, 5), (3, 1)]:
        w, x = weights(rng), rng.standard_normal((batch, tokens, 12))
        qkv = np.split(linear(x, w, "blocks.0.attn.qkv"), 9, axis=-1)  # q's three heads, then k's, then v's
        expected = [np.stack(qkv[3 * i : 3 * i + 3], axis=1) for i in range(3)]
        got = expect_parts(student.drive("vit:model", "blocks.0.attn", w, Tensor(x)), "q k v")
        for name, one, other in zip("qkv", got, expected, strict=True):
            expect(one, Tensor(other), f"{name} for x of shape {x.shape} and 3 heads")


def block(student: Student, rng: np.random.Generator) -> None:
    """Pre-norm with two sums; and in training nothing but the input where both branches are left out."""
    for batch, tokens in [(1, 7), (2, 4), (2, 1)]:
        w, x = weights(rng), rng.standard_normal((batch, tokens, 12))
        middle = x + attention(layer_norm(x, w, "blocks.1.norm1"), w, "blocks.1.attn", 3)
        expected = middle + mlp(layer_norm(middle, w, "blocks.1.norm2"), w, "blocks.1.mlp")
        got = student.drive("vit:model", "blocks.1", w, Tensor(x))
        expect(got, Tensor(expected), f"the block's result for x of shape {x.shape}, 3 heads")
    none, all_of_it = expect_parts(student.drive("vit:stochastic", Tensor(x)), "none all")
    label = "how far the result is from x where drop_path always leaves both branches out"
    expect_that(none == 0.0, label, "0: it is x", none)
    expect_that(all_of_it > 0.0, "the same where drop_path leaves out none", "above 0", all_of_it)


def positions(student: Student, rng: np.random.Generator) -> None:
    """R x R^T along both axes of the grid for each channel; the prefix as it was; the table's own element type."""
    for side, grid, prefix in [(3, (5, 4), 1), (4, (2, 2), 1), (2, (2, 2), 1), (2, (3, 1), 0), (3, (2, 6), 2)]:
        for dtype in (np.float64, np.float32):
            table = rng.standard_normal((1, prefix + side**2, 5)).astype(dtype)
            down, right = (antialiased(n, side, side / n, "cubic").matrix() for n in grid)
            cells = np.einsum("ya,xb,abd->yxd", down, right, table[0, prefix:].astype(np.float64).reshape(side, side, 5))
            expected = np.concatenate([table[0, :prefix], cells.reshape(-1, 5).astype(dtype)])[None]
            label = f"a table of {prefix} + {side} x {side} on the grid {grid}, prefix={prefix}, {np.dtype(dtype)}"
            expect(student(table, grid, prefix), expected, label)
