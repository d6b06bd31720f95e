"""DeiT's losses against NumPy, image by image, and its two heads against two matrices, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...tape import Tensor
from ..drivers.deit import small
from ..expect import expect, expect_error, expect_that
from ..proxy import Student


def softmax(z: np.ndarray) -> np.ndarray:
    """Along the last axis."""
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def cross_entropy(z: np.ndarray, labels: np.ndarray) -> float:
    """The mean of -log softmax at the labels, image by image."""
    return float(np.mean([-np.log(softmax(row)[label]) for row, label in zip(z, labels, strict=True)]))


def logits(rng: np.random.Generator, batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Those of both heads and of the teacher, (B, 4) each, and labels; the teacher is wrong about the first image."""
    by_class, by_teacher, taught = 2 * rng.standard_normal((3, batch, 4))
    labels = rng.integers(4, size=batch)
    labels[0] = (taught[0].argmax() + 1) % 4
    return by_class, by_teacher, taught, labels


def soft(student: Student, rng: np.random.Generator) -> None:
    """Eq. 2 for several temperatures and shares, a student of two heads and of one, and the errors."""
    for batch, tau, lam in [(3, 3.0, 0.1), (1, 1.0, 0.5), (4, 0.5, 1.0), (2, 2.0, 0.0)]:
        a, b, taught, labels = logits(rng, batch)
        for pair, told in ((a, b), "two heads"), ((b,), "one head"):
            p, q = softmax(pair[-1] / tau), softmax(taught / tau)
            wanted = (1 - lam) * cross_entropy(pair[0], labels) + lam * tau**2 * sum((q * np.log(q / p)).ravel()) / batch
            given = tuple(map(Tensor, pair)) if len(pair) == 2 else Tensor(pair[0])
            label = f"the loss of {batch} images, {told}, tau = {tau}, lam = {lam}"
            expect(student(given, labels, Tensor(taught), tau, lam), Tensor(np.float64(wanted)), label)
    a, _, taught, labels = logits(rng, 2)
    expect_error(lambda: student(Tensor(a), labels, Tensor(taught), 0.0), ValueError, "tau = 0")


def hard(student: Student, rng: np.random.Generator) -> None:
    """Eq. 3 for several shares, a student of two heads and of one, and smoothed labels."""
    for batch, lam, smoothing in [(3, 0.5, 0.0), (1, 0.25, 0.0), (2, 1.0, 0.0), (4, 0.5, 0.2)]:
        a, b, taught, labels = logits(rng, batch)
        for pair, told in ((a, b), "two heads"), ((b,), "one head"):
            spread = float(np.mean(-np.log(softmax(pair[0]))))  # what label_smoothing adds: all classes alike
            label_part = (1 - smoothing) * cross_entropy(pair[0], labels) + smoothing * spread
            wanted = (1 - lam) * label_part + lam * cross_entropy(pair[-1], taught.argmax(1))
            given = tuple(map(Tensor, pair)) if len(pair) == 2 else Tensor(pair[0])
            label = f"the loss of {batch} images, {told}, lam = {lam}, label_smoothing = {smoothing}"
            expect(student(given, labels, Tensor(taught), lam, smoothing), Tensor(np.float64(wanted)), label)


def heads(student: Student, rng: np.random.Generator) -> None:
    """Both answers in distilled training, else their mean; before the heads the mean of the tokens."""
    modes: list[tuple[bool, dict[str, Any]]] = [
        (False, {"distilled_training": True}), (True, {"distilled_training": True}), (True, {}),
    ]  # fmt: skip
    for training, overrides in modes:
        w = {name: rng.normal(0.0, 0.5, value.shape) for name, value in small(**overrides).state_dict().items()}
        x = rng.standard_normal((3, 6, 12))
        answers = [x[:, i] @ w[f"{name}.weight"].T + w[f"{name}.bias"] for i, name in enumerate(("head", "head_dist"))]
        label = f"the answer in {'training' if training else 'evaluation'}, distilled_training={bool(overrides)}"
        got = student.drive("deit:model", w, training, Tensor(x), overrides=overrides)
        if training and overrides:
            expect_that(isinstance(got, (tuple, list)) and len(got) == 2, label, "the answers of both heads", got)
            for one, other, name in zip(got, answers, ("class", "distillation"), strict=True):
                expect(one, Tensor(other), f"{label}, of the {name} token")
        else:
            expect(got, Tensor((answers[0] + answers[1]) / 2), label)
        got = student.drive("deit:model", w, training, Tensor(x), True, overrides=overrides)
        expect(got, Tensor((x[:, 0] + x[:, 1]) / 2), f"{label}, pre_logits=True")
