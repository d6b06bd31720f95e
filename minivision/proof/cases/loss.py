"""Losses: every class a target, label smoothing, logits far apart."""

from __future__ import annotations

import numpy as np

from ...ops.loss import _cross_entropy_vjp
from ...ops.softmax import softmax
from ..case import Case, Mutant, normal, with_constants

CASES = {
    "cross_entropy": [
        Case("one of each class", with_constants(normal((3, 3)), np.array([2, 0, 1]))),
        Case("a class twice", with_constants(normal((4, 3)), np.array([1, 1, 0, 2]))),
        Case("smoothing", with_constants(normal((3, 4)), np.array([3, 0, 3])), {"smoothing": 0.1}),
        Case("all smoothing", with_constants(normal((2, 3)), np.array([0, 2])), {"smoothing": 1.0}),
        Case("far apart", lambda rng: (rng.permutation(6).reshape(2, 3) * 8.0, np.array([0, 1]))),
        Case("far from 0", lambda rng: (rng.standard_normal((2, 3)) + np.array([[700.0], [-700.0]]), np.array([2, 1]))),
        Case("one class", with_constants(normal((2, 1)), np.array([0, 0]))),
        Case("32-bit targets", with_constants(normal((2, 3)), np.array([1, 2], np.int32)), {"smoothing": 0.2}),
        Case("no rows", with_constants(normal((0, 3)), np.zeros(0, np.int64))),
    ]
}


def _target_forgotten(dy, kept, *, smoothing=0.0):
    return dy[:, None] * softmax(kept[0]), None


def _smoothing_forgotten(dy, kept, *, smoothing=0.0):
    return _cross_entropy_vjp(dy, kept, smoothing=0.0)


def _uniform_part_forgotten(dy, kept, *, smoothing=0.0):
    dx = _cross_entropy_vjp(dy, kept, smoothing=smoothing)[0]
    return dx + dy[:, None] * (smoothing / kept[0].shape[-1]), None


def _mean_of_losses(dy, kept, *, smoothing=0.0):
    return _cross_entropy_vjp(dy / max(1, len(dy)), kept, smoothing=smoothing)


MUTANTS = {
    "cross_entropy": [
        Mutant("the target forgotten", _target_forgotten),
        Mutant("smoothing forgotten", _smoothing_forgotten),
        Mutant("the uniform part forgotten", _uniform_part_forgotten),
        Mutant("1/n where no mean was taken", _mean_of_losses),
    ]
}
