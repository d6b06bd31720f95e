"""Reductions of one line of numbers at a time, in Python's own arithmetic: fsum, prod, log, exp, sorted."""

from __future__ import annotations

import itertools
import math

import numpy as np

from oracles import Oracle


def lines(x, axis):
    """The shape without some axes, and for each place in it the numbers that lie along those axes, in row order."""
    axes = set(range(x.ndim)) if axis is None else {a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,))}
    for place in itertools.product(*(range(1 if a in axes else n) for a, n in enumerate(x.shape))):
        choices = (range(n) if a in axes else (i,) for a, (i, n) in enumerate(zip(place, x.shape, strict=True)))
        yield place, [float(x[index]) for index in itertools.product(*choices)]


def each_line(function):
    """The answer of a reduction that `function` computes for one line, with the reduction's other attributes."""

    def answer(x, *, axis=None, keepdims=False, **attributes):
        found = {place: function(line, **attributes) for place, line in lines(x, axis)}
        axes = range(x.ndim) if axis is None else [a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,))]
        y = np.empty(tuple(1 if a in axes else n for a, n in enumerate(x.shape)))
        for place, value in found.items():
            y[place] = value
        return y if keepdims else y.reshape([n for a, n in enumerate(x.shape) if a not in axes])

    return answer


def draw_axis(rng, ndim, several=True):
    """No axis, one from either end, or several."""
    kind = rng.integers(4)
    if kind == 0 or ndim == 0:
        return None
    if kind < 3 or not several:
        return int(rng.integers(-ndim, ndim))
    return tuple(int(a) - ndim * int(rng.integers(2)) for a in rng.permutation(ndim)[: rng.integers(1, ndim + 1)])


def call(values=None, several=True, least=1, **choices):
    """Calls on arrays of up to four axes, of numbers from `values(rng, shape)`, with attributes drawn from lists."""

    def drawn(rng):
        shape = tuple(int(n) for n in rng.integers(least, 5, rng.integers(0, 4)))
        x = np.asarray(rng.standard_normal(shape) if values is None else values(rng, shape), np.float64)
        attributes = {name: kinds[rng.integers(len(kinds))] for name, kinds in choices.items()}
        return (x,), {"axis": draw_axis(rng, x.ndim, several), "keepdims": bool(rng.integers(2)), **attributes}

    return drawn


def small_numbers(rng, shape):
    """Whole numbers, so that zeros and ties are frequent."""
    return rng.integers(-2, 3, shape)


def _with_nan(rng, shape):
    return np.where(rng.random(shape) < 0.1, np.nan, small_numbers(rng, shape))


def _with_infinities(rng, shape):
    return np.where(rng.random(shape) < 0.4, -np.inf, 300.0 * rng.standard_normal(shape))


def _extreme(choose):
    return each_line(lambda line: math.nan if any(map(math.isnan, line)) else choose(line))


def _variance(line, correction=1):
    middle = math.fsum(line) / len(line)
    squares, freedom = math.fsum((v - middle) ** 2 for v in line), len(line) - correction
    return squares / freedom if freedom > 0 else math.inf if squares > 0 else math.nan


def norm_of(line, p=2.0):
    """One vector's norm."""
    sizes = [abs(v) for v in line]
    if math.isinf(p):
        return max(sizes) if p > 0 else min(sizes)
    if p == 0:
        return sum(v != 0 for v in sizes)
    if p < 0 and 0.0 in sizes:
        return 0.0
    top = max(sizes) or 1.0
    return top * math.fsum((v / top) ** p for v in sizes) ** (1 / p)


def _log_sum_exp(line):
    top = max(line)
    return top if top == -math.inf else top + math.log(math.fsum(math.exp(v - top) for v in line))


ORDERS = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, -1.0, -2.0, math.inf, -math.inf]
ORACLES = {
    "sum": Oracle(call(least=0), each_line(math.fsum)),
    "mean": Oracle(call(), each_line(lambda line: math.fsum(line) / len(line))),
    "prod": Oracle(call(several=False, least=0), each_line(math.prod)),
    "var": Oracle(call(correction=[0, 1, 2, 0.5]), each_line(_variance)),
    "std": Oracle(call(correction=[0, 1, 2]), each_line(lambda line, **more: math.sqrt(_variance(line, **more)))),
    "max": Oracle(call(_with_nan), _extreme(max)),
    "min": Oracle(call(_with_nan), _extreme(min)),
    "vector_norm": Oracle(call(small_numbers, p=ORDERS), each_line(norm_of)),
    "logsumexp": Oracle(call(_with_infinities), each_line(_log_sum_exp)),
}
