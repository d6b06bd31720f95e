"""Layer normalisation: with and without weight and bias, any leading axes, rows far from 0."""

from __future__ import annotations

import numpy as np

from ..case import Case, Mutant, normal, with_constants

CASES = {
    "layer_norm": [
        Case("rows", normal((3, 4), (4,), (4,))),
        Case("three axes", normal((2, 2, 3), (3,), (3,))),
        Case("one vector", normal((5,), (5,), (5,))),
        Case("no weight, no bias", with_constants(normal((2, 4)), None, None)),
        Case("no bias", with_constants(normal((2, 4), (4,)), None)),
        Case("no weight", lambda rng: (rng.standard_normal((2, 3)), None, rng.standard_normal(3))),
        Case("large eps", normal((2, 3), (3,), (3,)), {"eps": 0.5}),
        Case("far from 0", lambda rng: (rng.standard_normal((2, 4)) + 100.0, *normal((4,), (4,))(rng))),
        Case("no rows", normal((0, 3), (3,), (3,))),
    ]
}


def _wrong(dx):
    """A VJP whose dx is `dx(g, h, r)`; weight and bias are right."""

    def vjp(dy, kept, *, eps=1e-5):
        x, weight, m, r, has_bias = kept
        h = (x - m) * r
        g = dy if weight is None else dy * weight
        rows = tuple(range(dy.ndim - 1))
        return dx(g, h, r), None if weight is None else np.sum(dy * h, axis=rows), np.sum(dy, axis=rows) if has_bias else None

    return vjp


def _mean(x):
    return np.mean(x, axis=-1, keepdims=True)


def _weight_counted_twice(dy, kept, *, eps=1e-5):
    x, weight, m, r, has_bias = kept
    h = (x - m) * r
    g = dy if weight is None else dy * weight
    rows = tuple(range(dy.ndim - 1))
    dw = None if weight is None else np.sum(g * h, axis=rows)
    return r * (g - _mean(g) - h * _mean(g * h)), dw, np.sum(dy, axis=rows) if has_bias else None


MUTANTS = {
    "layer_norm": [
        Mutant("the mean is taken for a constant", _wrong(lambda g, h, r: r * (g - h * _mean(g * h)))),
        Mutant("the variance is taken for a constant", _wrong(lambda g, h, r: r * (g - _mean(g)))),
        Mutant(
            "sums where means belong",
            _wrong(lambda g, h, r: r * (g - g.sum(-1, keepdims=True) - h * (g * h).sum(-1, keepdims=True))),
        ),
        Mutant("the weight counted twice", _weight_counted_twice),
    ]
}
