"""Losses: every class a target, weights, smoothing, ignored targets, logits far apart; probabilities and logits of events."""

from __future__ import annotations

import numpy as np

from ...ops.loss import _binary_cross_entropy_with_logits_vjp, _cross_entropy_vjp
from ...ops.softmax import softmax
from ..case import Case, Mutant, normal, with_constants


def _classes(*shape, targets, weights=None, **attrs):
    """Logits, targets, and weights or None."""
    return with_constants(normal(shape), np.array(targets), None if weights is None else np.array(weights)), attrs


def _probabilities(*shapes):
    return lambda rng: tuple(rng.uniform(0.05, 0.95, shape) for shape in shapes)


def _events(*shapes):
    """Logits and probabilities; a third shape is that of pos_weight."""

    def draw(rng):
        x = np.asarray(rng.standard_normal(shapes[0]) * 3.0)
        p = rng.uniform(0.5, 3.0, shapes[2]) if len(shapes) > 2 else None
        return x, np.asarray(rng.uniform(0.0, 1.0, shapes[1])), p

    return draw


WEIGHTS = [0.5, 2.0, 1.25]
CASES = {
    "cross_entropy": [
        Case("one of each class", *_classes(3, 3, targets=[2, 0, 1])),
        Case("a class twice", *_classes(4, 3, targets=[1, 1, 0, 2])),
        Case("smoothing", *_classes(3, 4, targets=[3, 0, 3], smoothing=0.1)),
        Case("all smoothing", *_classes(2, 3, targets=[0, 2], smoothing=1.0)),
        Case("weights", *_classes(4, 3, targets=[2, 0, 2, 1], weights=WEIGHTS)),
        Case("weights and smoothing", *_classes(3, 3, targets=[1, 0, 1], weights=WEIGHTS, smoothing=0.3)),
        Case("ignored", *_classes(3, 3, targets=[1, -100, 0])),
        Case("a class ignored", *_classes(4, 3, targets=[1, 0, 2, 0], weights=WEIGHTS, smoothing=0.2, ignore_index=0)),
        Case("all ignored", *_classes(2, 3, targets=[255, 255], smoothing=0.2, ignore_index=255)),
        Case("a wide row", *_classes(2, 37, targets=[36, 5], smoothing=0.1)),
        Case("far apart", lambda rng: (rng.permutation(6).reshape(2, 3) * 8.0, np.array([0, 1]), None)),
        Case("far from 0", lambda rng: (rng.standard_normal((2, 3)) + np.array([[700.0], [-700.0]]), np.array([2, 1]), None)),
        Case("one class", *_classes(2, 1, targets=[0, 0])),
        Case("32-bit targets", with_constants(normal((2, 3)), np.array([1, 2], np.int32), None), {"smoothing": 0.2}),
        Case("no rows", with_constants(normal((0, 3)), np.zeros(0, np.int64), None)),
    ],
    "binary_cross_entropy": [
        Case("matrix", _probabilities((2, 3), (2, 3))),
        Case("0-d", _probabilities((), ())),
        Case("three axes", _probabilities((2, 1, 2), (2, 1, 2))),
        Case("certain", lambda rng: (np.array([0.02, 0.98, 0.02, 0.98]), np.array([0.0, 1.0, 1.0, 0.0]))),
        Case("size 0", _probabilities((0, 2), (0, 2))),
    ],
    "binary_cross_entropy_with_logits": [
        Case("matrix", _events((2, 3), (2, 3))),
        Case("pos_weight by column", _events((2, 3), (2, 3), (3,))),
        Case("pos_weight by row", _events((3, 2), (3, 2), (3, 1))),
        Case("one pos_weight", _events((4,), (4,), ())),
        Case("0-d", _events((), ())),
        Case("tails", lambda rng: (np.array([40.0, -40.0, 300.0, -300.0]), np.array([0.25, 0.5, 1.0, 0.0]), None)),
        Case("size 0", _events((0, 2), (0, 2), (2,))),
    ],
}


def _target_forgotten(dy, kept, *, needs, smoothing=0.0, ignore_index=-100):
    return dy[:, None] * softmax(kept[0]), None, None


def _smoothing_forgotten(dy, kept, *, needs, smoothing=0.0, ignore_index=-100):
    return _cross_entropy_vjp(dy, kept, needs=needs, smoothing=0.0, ignore_index=ignore_index)


def _uniform_part_forgotten(dy, kept, *, needs, smoothing=0.0, ignore_index=-100):
    dx, _, dw = _cross_entropy_vjp(dy, kept, needs=needs, smoothing=smoothing, ignore_index=ignore_index)
    return dx + dy[:, None] * (smoothing / kept[0].shape[-1]), None, dw


def _mean_of_losses(dy, kept, *, needs, smoothing=0.0, ignore_index=-100):
    return _cross_entropy_vjp(dy / max(1, len(dy)), kept, needs=needs, smoothing=smoothing, ignore_index=ignore_index)


def _ignored_counted(dy, kept, *, needs, smoothing=0.0, ignore_index=-100):
    x, target, *rest = kept
    kept = x, np.where(target == ignore_index, 0, target), *rest
    return _cross_entropy_vjp(dy, kept, needs=needs, smoothing=smoothing, ignore_index=-100)


def _softmax_unweighted(dy, kept, *, needs, smoothing=0.0, ignore_index=-100):
    x, target, weight, _ = kept
    dx, _, dw = _cross_entropy_vjp(dy, kept, needs=needs, smoothing=smoothing, ignore_index=ignore_index)
    w = 1.0 if weight is None else weight[np.where(target == ignore_index, 0, target)]
    return dx + (dy * (target != ignore_index) * (1.0 - w))[:, None] * softmax(x), None, dw


def _pos_weight_forgotten(dy, kept, *, needs):
    dx, dt, _ = _binary_cross_entropy_with_logits_vjp(dy, (*kept[:2], None), needs=(True, True, False))
    return dx, dt, _binary_cross_entropy_with_logits_vjp(dy, kept, needs=needs)[2]


def _pos_weight_not_summed(dy, kept, *, needs):
    dx, dt, dp = _binary_cross_entropy_with_logits_vjp(dy, kept, needs=needs)
    return dx, dt, None if dp is None or dp.shape == dy.shape else dp / max(1, dy.size // max(1, dp.size))


MUTANTS = {
    "cross_entropy": [
        Mutant("the target forgotten", _target_forgotten),
        Mutant("smoothing forgotten", _smoothing_forgotten),
        Mutant("the uniform part forgotten", _uniform_part_forgotten),
        Mutant("1/n where no mean was taken", _mean_of_losses),
        Mutant("ignored targets counted as class 0", _ignored_counted),
        Mutant("the weight misses the softmax", _softmax_unweighted),
    ],
    "binary_cross_entropy": [
        Mutant("the slope of the logits", lambda dy, kept: (dy * (kept[0] - kept[1]), None)),
        Mutant("the negatives forgotten", lambda dy, kept: (-dy * kept[1] / kept[0], -dy * np.log(kept[0]))),
        Mutant("sign of the target's", lambda dy, kept: (None, dy * (np.log(kept[0]) - np.log(1.0 - kept[0])))),
    ],
    "binary_cross_entropy_with_logits": [
        Mutant("sigmoid forgotten", lambda dy, kept, *, needs: (dy * (kept[0] - kept[1]), -dy * kept[0], None)),
        Mutant("pos_weight forgotten", _pos_weight_forgotten),
        Mutant("the mean of pos_weight's slopes", _pos_weight_not_summed),
    ],
}
