"""Distillation: losses row by row in float64, and gradients in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ShapeError
from ...tape import Tensor
from ..expect import expect, expect_error, expect_that
from ..proxy import Student


def log_softmax(z: np.ndarray) -> np.ndarray:
    """Along the last axis."""
    shifted = z - z.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def loss(student: Student, rng: np.random.Generator) -> None:
    """tau^2 KL for several temperatures, shapes and reductions; tau (p - q) / B; classes that are ruled out; the errors."""
    for shape, tau in [((3, 4), 1.0), ((5, 3), 4.0), ((2, 3, 4), 0.5), ((6,), 2.0)]:
        z, v = 2 * rng.standard_normal((2, *shape))
        log_p, log_q = log_softmax(z / tau), log_softmax(v / tau)
        each = tau**2 * np.einsum("...c,...c->...", np.exp(log_q), log_q - log_p)
        for reduction, wanted in ("none", each), ("mean", each.mean()), ("sum", each.sum()):
            label = f"the loss for logits of shape {shape}, tau = {tau}, reduction = {reduction!r}"
            expect(student(Tensor(z), Tensor(v), tau, reduction), Tensor(np.asarray(wanted)), label)
        _, gradient, told = student.drive("distillation:gradients", z, v, tau)
        label = f"logits of shape {shape}, tau = {tau}"
        expect(gradient, tau * (np.exp(log_p) - np.exp(log_q)) / each.size, f"the gradient for {label}")
        expect_that(not told, f"the teacher's logits, {label}", "no gradient", "one came")
    shut, z = np.array([[0.0, 1.0, -np.inf]]), np.array([[0.5, 0.0, 3.0]])
    log_p, log_q = log_softmax(z), log_softmax(shut)
    wanted = np.sum(np.exp(log_q[:, :2]) * (log_q - log_p)[:, :2])
    expect(student(Tensor(z), Tensor(shut)), Tensor(wanted), f"the loss where the teacher's logits are {shut.tolist()}")
    expect_error(lambda: student(Tensor(z), Tensor(z), 0.0), ValueError, "tau = 0")
    expect_error(lambda: student(Tensor(z), Tensor(z[:, :2])), ShapeError, "logits of (1, 3), teacher_logits of (1, 2)")


def divergence(student: Student, rng: np.random.Generator) -> None:
    """Element by element, for targets with zeros and for logarithms, in every reduction."""
    for shape in [(3, 4), (2, 5), (1, 2)]:
        log_p = log_softmax(rng.standard_normal(shape))
        q = np.exp(log_softmax(rng.standard_normal(shape)))
        for target, logs in (q, False), (np.where(q == q.max(-1, keepdims=True), 1.0, 0.0), False), (np.log(q), True):
            losses = np.zeros(shape)
            for i in np.ndindex(shape):
                t = np.exp(target[i]) if logs else target[i]
                losses[i] = t * (np.log(t) - log_p[i]) if t > 0 else 0.0
            sums: dict[str, Any] = {"none": losses, "mean": losses.mean(), "sum": losses.sum()}
            for reduction, wanted in {**sums, "batchmean": losses.sum() / shape[0]}.items():
                kind = "logarithms" if logs else "one 1 in each row" if (target == 1).any() else "probabilities"
                label = f"kl_div for shape {shape}, a target of {kind}, reduction={reduction!r}"
                expect(student(Tensor(log_p), Tensor(target), reduction, logs), Tensor(np.asarray(wanted)), label)


def soft_labels(student: Student, rng: np.random.Generator) -> None:
    """Target by target and class by class, with and without weights and smoothing, for classes of rows and of pixels."""
    for shape, weighted, a in [
        ((4, 3), False, 0.0),
        ((2, 5), True, 0.2),
        ((3, 4), False, 0.3),
        ((2, 3, 4), True, 0.1),
        ((4,), True, 0),
    ]:
        z, q = rng.standard_normal(shape), np.exp(rng.standard_normal(shape))
        axis = 0 if len(shape) == 1 else 1
        q /= q.sum(axis, keepdims=True)
        C, weight = shape[axis], rng.uniform(0.5, 2.0, shape[axis]) if weighted else None
        log_p, last = log_softmax(np.moveaxis(z, axis, -1)), np.moveaxis(q, axis, -1)
        each = np.zeros(log_p.shape[:-1])
        for c in range(C):
            each -= (1.0 if weight is None else weight[c]) * ((1 - a) * last[..., c] + a / C) * log_p[..., c]
        for reduction, wanted in ("none", each), ("mean", each.mean()), ("sum", each.sum()):
            label = f"logits of shape {shape}, {'weights' if weighted else 'no weights'}, smoothing {a}, reduction={reduction!r}"
            got = student(Tensor(z), Tensor(q), None if weight is None else Tensor(weight), reduction, a)
            expect(got, Tensor(np.asarray(wanted)), label)
