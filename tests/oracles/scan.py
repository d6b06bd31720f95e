"""Running sums, products and recurrences, step after step."""

from __future__ import annotations

import itertools
import math

import numpy as np

from oracles import Oracle
from oracles.reduce import lines, small_numbers


def _call(count, values):
    def drawn(rng):
        shape = tuple(int(n) for n in rng.integers(0 if rng.random() < 0.1 else 1, 7, rng.integers(1, 4)))
        arrays = tuple(np.asarray(values(rng, shape), np.float64) for _ in range(count))
        return arrays, {"axis": int(rng.integers(-len(shape), len(shape)))}

    return drawn


def _normal(rng, shape):
    return rng.standard_normal(shape)


def _each_line(function):
    """The answer of a scan that `function` computes for one line of each array."""

    def answer(*arrays, axis):
        y = np.empty(arrays[0].shape)
        for together in zip(*(lines(x, axis) for x in arrays), strict=True):
            place = list(together[0][0])
            for i, value in enumerate(function(*(line for _, line in together))):
                place[axis] = i
                y[tuple(place)] = value
        return y

    return answer


def _recurrence(a, b):
    h = 0.0
    for factor, more in zip(a, b, strict=True):
        h = factor * h + more
        yield h


ORACLES = {
    "cumsum": Oracle(_call(1, _normal), _each_line(lambda x: [math.fsum(x[: i + 1]) for i in range(len(x))])),
    "cumprod": Oracle(_call(1, small_numbers), _each_line(lambda x: itertools.accumulate(x, lambda p, v: p * v))),
    "recurrence": Oracle(_call(2, _normal), _each_line(_recurrence)),
}
