"""Losses by their definitions, one number at a time; CTC by writing down every path."""

from __future__ import annotations

import itertools
import math

import numpy as np

from . import Oracle
from .softmax import log_softmax


def _classes(rng):
    rows, classes = int(rng.integers(0, 7)), int(rng.choice([1, 2, 3, 7, 20, 45]))
    ignored = int(rng.choice([-100, 0, 255]))
    target = rng.integers(0, classes, rows)
    target[rng.random(rows) < 0.2] = ignored
    if ignored == 255 or rng.random() < 0.2:
        target = target.astype(np.int32)
    x = rng.standard_normal((rows, classes)) * rng.choice([1.0, 15.0]) + rng.choice([0.0, 300.0])
    weight = rng.uniform(0.0, 2.0, classes) if rng.random() < 0.5 else None
    return (x, target, weight), {"smoothing": float(rng.choice([0.0, 0.1, 0.5, 1.0])), "ignore_index": ignored}


def _cross_entropy(x, target, weight, smoothing, ignore_index):
    losses = []
    for row, t in zip(x, target, strict=True):
        log_p, total = log_softmax([float(v) for v in row]), 0.0
        for c, value in enumerate(log_p):
            share = (1.0 - smoothing) * (c == t) + smoothing / len(log_p)
            total -= share * (1.0 if weight is None else float(weight[c])) * value
        losses.append(0.0 if t == ignore_index else total)
    return np.array(losses)


def _shape(rng):
    return tuple(int(n) for n in rng.integers(0, 5, rng.integers(0, 4)))


def _probabilities(rng):
    shape = _shape(rng)
    x = np.array(rng.uniform(0.0, 1.0, shape))
    x[rng.random(shape) < 0.1] = 0.0
    x[rng.random(shape) < 0.1] = 1.0
    return (x, np.array(rng.uniform(0.0, 1.0, shape))), {}


def _binary(x, target):
    def one(p, t):
        logs = [max(math.log(v), -100.0) if v > 0 else -100.0 for v in (p, 1.0 - p)]
        return -t * logs[0] - (1.0 - t) * logs[1]

    return np.array([one(float(p), float(t)) for p, t in zip(x.flat, target.flat, strict=True)]).reshape(x.shape)


def _logits(rng):
    shape = _shape(rng)
    x, target = rng.standard_normal(shape) * rng.choice([1.0, 10.0, 300.0]), rng.uniform(0.0, 1.0, shape)
    weight = rng.uniform(0.2, 5.0, tuple(n if rng.random() < 0.6 else 1 for n in shape)) if rng.random() < 0.6 else None
    return (np.array(x), np.array(target), None if weight is None else np.array(weight)), {}


def _binary_with_logits(x, target, pos_weight):
    def log_sigmoid(v):
        return -math.log1p(math.exp(-v)) if v > 0 else v - math.log1p(math.exp(v))

    y = np.empty(x.shape)
    factors = np.ones(x.shape) if pos_weight is None else np.broadcast_to(pos_weight, x.shape)
    for i in np.ndindex(x.shape):
        v, t = float(x[i]), float(target[i])
        y[i] = -float(factors[i]) * t * log_sigmoid(v) - (1.0 - t) * log_sigmoid(-v)
    return y


def _sequences(rng):
    t, n, c, s = (int(v) for v in (rng.integers(1, 6), rng.integers(1, 4), rng.integers(2, 4), rng.integers(0, 4)))
    x, blank = rng.standard_normal((t, n, c)) * 2.0, int(rng.integers(c))
    if rng.random() < 0.1:
        x[rng.random(x.shape) < 0.1] = -np.inf  # log-probabilities may be those of the impossible
    targets = rng.choice([k for k in range(c) if k != blank], (n, s))
    attributes = {"blank": blank, "zero_infinity": bool(rng.integers(2))}
    return (x, targets.astype(np.int64), rng.integers(0, t + 1, n), rng.integers(0, s + 1, n)), attributes


def _ctc(log_probs, targets, input_lengths, target_lengths, blank, zero_infinity):
    losses = []
    for n, (t, s) in enumerate(zip(input_lengths, target_lengths, strict=True)):
        wanted, total = [int(k) for k in targets[n, :s]], 0.0
        for path in itertools.product(range(log_probs.shape[2]), repeat=int(t)):
            if [k for k, _ in itertools.groupby(path) if k != blank] == wanted:
                total += math.exp(sum(float(log_probs[i, n, k]) for i, k in enumerate(path)))
        losses.append(-math.log(total) if total > 0 else 0.0 if zero_infinity else math.inf)
    return np.array(losses)


ORACLES = {
    "cross_entropy": Oracle(_classes, _cross_entropy),
    "binary_cross_entropy": Oracle(_probabilities, _binary),
    "binary_cross_entropy_with_logits": Oracle(_logits, _binary_with_logits),
    "ctc_loss": Oracle(_sequences, _ctc),
}
