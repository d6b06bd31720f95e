"""DynamicViT's steps, each against the same in plain NumPy or in loops, in float64."""

from __future__ import annotations

import math

import numpy as np

from ...models.dynamic_vit import Predictor
from ...tape import Tensor
from ..drivers.dynamic_vit import small
from ..expect import expect
from ..proxy import Student
from .vit import linear

State = dict[str, np.ndarray]


def weights(rng: np.random.Generator, dim: int) -> State:
    """Random weights of a predictor."""
    return {name: rng.normal(0.2, 0.5, array.shape) for name, array in Predictor(dim).state_dict().items()}


def gelu(x: np.ndarray) -> np.ndarray:
    """x P(X <= x)"""
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


def predicted(x: np.ndarray, policy: np.ndarray, w: State) -> np.ndarray:
    """Image by image: (B, N, D), (B, N) -> (B, N, 2)."""
    rows = []
    for tokens, kept in zip(x, policy > 0, strict=True):
        centred = tokens - tokens.mean(1, keepdims=True)
        normed = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5) * w["in_conv.0.weight"] + w["in_conv.0.bias"]
        local, rest = np.split(gelu(linear(normed, w, "in_conv.1")), 2, axis=1)
        mean = rest[kept].mean(0) if kept.any() else np.zeros(rest.shape[1])
        h = np.array([[*own, *mean] for own in local])
        h = gelu(linear(gelu(linear(h, w, "out_conv.0")), w, "out_conv.2"))
        h = linear(h, w, "out_conv.4")
        rows.append(h - np.log(np.exp(h).sum(1, keepdims=True)))
    return np.array(rows)


def predictor(student: Student, rng: np.random.Generator) -> None:
    """Own features beside the mean of those that are left; with all, some, one and none left."""
    for batch, n in [(1, 1), (2, 6)]:
        w, x = weights(rng, 8), rng.standard_normal((batch, n, 8))
        wanted = Tensor(predicted(x, np.ones((batch, n)), w))
        expect(
            student.drive("dynamic_vit:predictor", w, Tensor(x), None), wanted, f"log-probabilities of x {x.shape}, policy None"
        )
        for left in (n, (n + 1) // 2, 1, 0):
            policy = np.array([rng.permutation(n) < left for _ in range(batch)], np.float64)
            got = student.drive("dynamic_vit:predictor", w, Tensor(x), policy[:, :, None])
            expect(got, Tensor(predicted(x, policy, w)), f"log-probabilities of x {x.shape} where the policy is 1 for {left}")


def masked(scores: np.ndarray, policy: np.ndarray, eps: float) -> np.ndarray:
    """Row by row, from the tokens that it sees."""
    wanted = np.empty_like(scores)
    for b, head, i in np.ndindex(scores.shape[:3]):
        row, n = scores[b, head, i], scores.shape[3]
        e = [math.exp(s - row.max()) if j == i or policy[b, j] else 0.0 for j, s in enumerate(row)]
        wanted[b, head, i] = [(each + eps / n) / (sum(e) + eps) for each in e]
    return wanted


def masked_softmax(student: Student, rng: np.random.Generator) -> None:
    """Weights of rows that see what is kept, and themselves; with and without eps, and where exponentials would overflow."""
    for shape in [(1, 1, 1, 1), (2, 3, 5, 5)]:
        for eps in (0.0, 0.1):
            s, policy = 2 * rng.standard_normal(shape), (rng.permuted(np.tile([0.0, 1, 1, 0, 1], (shape[0], 1)), axis=1))
            policy = policy[:, : shape[3]]
            got = student(Tensor(s), policy[:, :, None], eps)
            expect(got, Tensor(masked(s, policy, eps)), f"weights of scores {shape}, policy {policy.tolist()}, eps={eps}")
    s, policy = np.array([[[[900.0, 899.0], [0.0, 1.0]]]]), np.array([[1.0, 0.0]])
    expect(student(Tensor(s), policy[:, :, None], 0.0), Tensor(masked(s, policy, 0.0)), "weights of scores 900, 899; 0, 1")


def chosen(student: Student, rng: np.random.Generator) -> None:
    """The k places whose patches are likeliest to be kept, in order, at every stage."""
    counts = small().config.tokens
    for stage, n in enumerate((16, *counts[:-1])):
        w, x = weights(rng, 8), rng.standard_normal((3, 1 + n, 8))
        scores = predicted(x[:, 1:], np.ones((3, n)), w)[:, :, 0]
        wanted = [sorted(sorted(range(n), key=lambda j: -row[j])[: counts[stage]]) for row in scores.tolist()]
        got = student.drive("dynamic_vit:chosen", w, Tensor(x), stage)
        expect(got, np.array(wanted), f"the places of {counts[stage]} of {n} patches, stage={stage}")
