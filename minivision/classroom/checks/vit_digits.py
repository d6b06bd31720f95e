"""Attention's maps and the training of a ViT: each against plain NumPy, or differences, or a list written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops.loss import _cross_entropy
from ...tape import Tensor
from ..expect import expect, expect_parts, expect_that
from ..proxy import Student
from .vit import State, attention, layer_norm, linear, mlp, softmax, weights

Layout = list[tuple[str, tuple[int, ...]]]


def looks(x: np.ndarray, w: State, name: str, heads: int = 3) -> np.ndarray:
    """A of every head, from the columns of q and k that are its own: (B, N, D) -> (B, heads, N, N)"""
    q, k = np.split(linear(x, w, f"{name}.qkv"), 3, axis=-1)[:2]
    pairs = zip(np.split(q, heads, axis=-1), np.split(k, heads, axis=-1), strict=True)
    return np.stack([softmax(own @ np.swapaxes(other, -1, -2) / own.shape[-1] ** 0.5) for own, other in pairs], axis=1)


def attention_weights(student: Student, rng: np.random.Generator) -> None:
    """A of eq. 6, head by head, for tokens of several numbers, a single one among them."""
    for batch, tokens in [(1, 7), (2, 4), (3, 1)]:
        w, x = weights(rng), rng.standard_normal((batch, tokens, 12))
        got = student.drive("vit:model", "blocks.1.attn", w, Tensor(x))
        expect(got, Tensor(looks(x, w, "blocks.1.attn")), f"A for x of shape {x.shape} and 3 heads")


def attention_maps(student: Student, rng: np.random.Generator) -> None:
    """A of both blocks, each from the tokens that go into it, for one image and for three; as arrays."""
    for batch in (1, 3):
        w, x = weights(rng), rng.standard_normal((batch, 1, 6, 4))
        patches = x.reshape(batch, 3, 2, 2, 2).transpose(0, 1, 3, 2, 4).reshape(batch, 6, 4)
        tokens = patches @ w["patch_embed.proj.weight"].reshape(12, 4).T + w["patch_embed.proj.bias"]
        z = np.concatenate([np.repeat(w["cls_token"], batch, axis=0), tokens], axis=1) + w["pos_embed"]
        expected = []
        for block in ("blocks.0", "blocks.1"):
            normed = layer_norm(z, w, f"{block}.norm1")
            expected.append(looks(normed, w, f"{block}.attn"))
            z = z + attention(normed, w, f"{block}.attn", 3)
            z = z + mlp(layer_norm(z, w, f"{block}.norm2"), w, f"{block}.mlp")
        expect(student.drive("vit:model", "", w, Tensor(x)), expected, f"the maps of 2 blocks for x of shape {x.shape}")


VIT: Layout = [("cls_token", (1, 1, 4)), ("pos_embed", (1, 5, 4)), ("patch_embed.proj.weight", (4, 1, 2, 2)), ("norm.bias", (4,))]
LAYOUTS: list[Layout] = [
    VIT,
    [("blocks.0.attn.pos_embed", (2, 9)), ("head.weight", (3, 4)), ("blocks.0.norm1.weight", (4,)), ("scale", ())],
    [("head.weight", (3, 4)), ("pos_embed_old", (1, 5, 4))],
    [("norm.weight", (4,)), ("pos_embed", (5,))],
]


def parameter_groups(student: Student, rng: np.random.Generator) -> None:
    """Which parameters are in which group, and its settings: models with and without tables, matrices and vectors."""
    for layout in LAYOUTS:
        lr, table_lr, decay = (float(value) for value in rng.uniform(0.1, 0.9, 3))
        tables = [name for name, _ in layout if name.split(".")[-1] in ("cls_token", "pos_embed")]
        matrices = [name for name, shape in layout if name not in tables and len(shape) > 1]
        vectors = [name for name, shape in layout if name not in tables and len(shape) < 2]
        settings: list[dict[str, Any]] = [
            {"weight_decay": decay},
            {"weight_decay": 0.0},
            {"weight_decay": 0.0, "lr": lr * table_lr},
        ]
        pairs = zip((matrices, vectors, tables), settings, strict=True)
        expected = [{"params": names, **values} for names, values in pairs if names]
        got = student.drive("vit_digits:named_groups", layout, lr, table_lr, decay)
        expect(got, expected, f"groups of a model with {', '.join(f'{name} {shape}' for name, shape in layout)}")


def slopes(x: np.ndarray, target: np.ndarray, weight: np.ndarray | None, dy: np.ndarray, settings: dict[str, Any]) -> list[Any]:
    """J^T dy of the loss for x and for weight, by central differences."""

    def loss(logits: np.ndarray, factors: np.ndarray | None) -> float:
        return float(dy @ _cross_entropy(logits, target, factors, **settings)[0])

    def numeric(at: np.ndarray, value: Any) -> np.ndarray:
        steps = 1e-5 * np.eye(at.size).reshape(at.size, *at.shape)
        return np.array([value(at + step) - value(at - step) for step in steps]).reshape(at.shape) / 2e-5

    dx = numeric(x, lambda moved: loss(moved, weight))
    return [dx, None if weight is None else numeric(weight, lambda moved: loss(x, moved))]


def smoothed_cross_entropy(student: Student, rng: np.random.Generator) -> None:
    """dx and dw by central differences: with and without smoothing, weights and ignored rows; and a logit of -infinity."""
    for (rows, classes), smoothing, weighted in [
        ((4, 3), 0.0, False),
        ((4, 3), 0.2, True),
        ((1, 5), 0.5, False),
        ((6, 2), 0.1, True),
    ]:
        x, dy = rng.standard_normal((rows, classes)), rng.standard_normal(rows)
        target = rng.integers(classes, size=rows)
        target[-1] = 9 if rows > 1 else target[-1]
        weight = rng.uniform(0.5, 2.0, classes) if weighted else None
        settings = {"smoothing": smoothing, "ignore_index": 9}
        dx, dw = slopes(x, target, weight, dy, settings)
        kept = _cross_entropy(x, target, weight, **settings)[1]
        got = expect_parts(student(dy, kept, needs=(True, False, weighted), **settings), "dx None dw")
        given = "weights" if weighted else "no weights"
        what = f"for x of shape {x.shape}, smoothing={smoothing}, {given}, target {target.tolist()}"
        for name, one, other in zip(("dx", "the target's part", "dw"), got, (dx, None, dw), strict=True):
            expect(one, other, f"{name} {what}, ignore_index=9", tolerance=1e-8)  # what differences are good to
    x, target, weight, dy = np.array([[0.5, -np.inf, 1.0]]), np.array([2]), np.array([1.0, 3.0, 2.0]), np.ones(1)
    kept = _cross_entropy(x, target, weight)[1]
    dw = expect_parts(student(dy, kept, needs=(True, False, True)), "dx None dw")[2]
    expect(dw, np.array([0.0, 0.0, float(kept[3][0] - 1.0)]), "dw for x [[0.5, -inf, 1.0]], target [2], no smoothing")
    unasked = expect_parts(student(dy, kept, needs=(True, False, False)), "dx None dw")[2]
    expect_that(unasked is None, "dw where needs[2] is False", "None", unasked)
