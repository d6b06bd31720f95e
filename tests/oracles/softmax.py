"""Softmax and its logarithm, line by line along an axis, with Python's own exp and fsum."""

from __future__ import annotations

import math

import numpy as np

from . import Oracle


def _call(rng):
    shape = tuple(int(n) for n in rng.integers(1, 6, rng.integers(1, 4)))
    if rng.random() < 0.3:  # more than a vector or two along one axis
        place = int(rng.integers(len(shape)))
        shape = (*shape[:place], int(rng.integers(6, 80)), *shape[place + 1 :])
    x = rng.standard_normal(shape) * rng.choice([1.0, 20.0]) + rng.choice([0.0, 500.0, -500.0])
    if rng.random() < 0.2:
        x[rng.random(shape) < 0.2] = -np.inf
        x[np.isneginf(x).all(axis=-1)] = 0.0
    return (np.swapaxes(x, 0, -1) if rng.random() < 0.3 else x,), {"axis": int(rng.integers(-x.ndim, x.ndim))}


def lines(x, axis):
    """The index of every line along an axis."""
    for rest in np.ndindex(*x.shape[:axis], *x.shape[axis + 1 :]):
        yield (*rest[:axis], slice(None), *rest[axis:])


def log_softmax(values):
    """x - log sum exp(x) of a list, by one exact sum; all NaN where no value is above -inf."""
    top = max(values)
    if top == -math.inf:
        return [math.nan] * len(values)
    total = math.log(math.fsum(math.exp(v - top) for v in values))
    return [v - top - total for v in values]


def _along(function):
    def answer(x, axis):
        y = np.empty(x.shape)
        for line in lines(x, axis % x.ndim):
            y[line] = function([float(v) for v in x[line]])
        return y

    return answer


ORACLES = {
    "softmax": Oracle(_call, _along(lambda values: [math.exp(v) for v in log_softmax(values)])),
    "log_softmax": Oracle(_call, _along(log_softmax)),
}
