"""Residual attention's steps, each against the same in plain NumPy, in float64."""

from __future__ import annotations

import math

import numpy as np

from ...models.csra import HARD, TEMPERATURES
from ...tape import Tensor
from ..expect import expect
from ..proxy import Student


def attention(s: np.ndarray, T: float) -> np.ndarray:
    """What the scores (B, C, N) of a class weigh themselves to, (B, C)."""
    if T in (HARD, math.inf):
        return s.max(-1)
    e = np.exp(T * (s - s.max(-1, keepdims=True)))
    return (e * s).sum(-1) / e.sum(-1)


def pooling(student: Student, rng: np.random.Generator) -> None:
    """From the mean to the largest, over one position and many, and where exponentials would overflow."""
    for shape in [(1, 1, 1), (2, 3, 4), (1, 2, 49)]:
        s = rng.standard_normal(shape)
        for T in (0.0, 1.0, 5.0, HARD, math.inf):
            expect(student(Tensor(s), T), Tensor(attention(s, T)), f"the attention of scores {shape} at temperature {T}")
    s = np.array([[[900.0, 800.0, -900.0]]])
    expect(student(Tensor(s), 1.0), Tensor(s[..., 0]), "the attention of the scores 900, 800, -900 at temperature 1")


def unit_scores(student: Student, rng: np.random.Generator) -> None:
    """x_j . m_i / |m_i| at every position, whatever the length of m_i."""
    for shape, classes in [((1, 4, 1, 1), 1), ((2, 4, 3, 2), 5)]:
        x, m = rng.standard_normal(shape), rng.standard_normal((classes, 4)) * 10.0 ** rng.integers(-2, 3, (classes, 1))
        expected = np.einsum("bdn,cd->bcn", x.reshape(*shape[:2], -1), m / np.sqrt((m * m).sum(1, keepdims=True)))
        got = student.drive("csra:head", m[:, :, None, None], Tensor(x))
        expect(got, Tensor(expected), f"the scores of x {shape} for {classes} classes")


def residual(student: Student, rng: np.random.Generator) -> None:
    """Mean plus lam times the attention, for lam 0 too."""
    for T in (1.0, 4.0, HARD):
        for lam in (0.0, 0.1, 2.0):
            x, m = rng.standard_normal((2, 4, 3, 2)), rng.standard_normal((5, 4))
            s = np.einsum("bdn,cd->bcn", x.reshape(2, 4, 6), m / np.linalg.norm(m, axis=1, keepdims=True))
            got = student.drive("csra:head", m[:, :, None, None], Tensor(x), T=T, lam=lam)
            expect(got, Tensor(s.mean(-1) + lam * attention(s, T)), f"logits of x (2, 4, 3, 2) at T={T}, lam={lam}")


def as_map(student: Student, rng: np.random.Generator) -> None:
    """The patch tokens of a 2 x 3 grid as a map, without the class token; or their mean."""
    for batch, count in [(1, 1), (2, 4)]:
        x, m = rng.standard_normal((batch, 7, 6)), rng.standard_normal((count, 3, 6))
        s = np.einsum("bnd,hcd->bhcn", x[:, 1:], m / np.linalg.norm(m, axis=-1, keepdims=True))
        heads = [s[:, h].mean(-1) + 0.5 * attention(s[:, h], T) for h, T in enumerate(TEMPERATURES[count])]
        got = student.drive("csra:vit", m, Tensor(x))
        expect(got, Tensor(np.sum(heads, axis=0)), f"the logits of tokens {x.shape}, {count} heads")
        expect(student.drive("csra:vit", m, Tensor(x), True), Tensor(x[:, 1:].mean(1)), f"pre_logits of tokens {x.shape}")
        expect(
            student.drive("csra:laid_out", Tensor(x)), x[:, 1:].transpose(0, 2, 1).reshape(batch, 6, 2, 3), "the map that is read"
        )
