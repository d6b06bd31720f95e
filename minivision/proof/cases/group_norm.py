"""Group normalisation: from one group to one channel a group, with and without weight and bias, groups far from 0."""

from __future__ import annotations

import numpy as np

from ..case import Case, Mutant, normal, with_constants

CASES = {
    "group_norm": [
        Case("two groups", normal((2, 4, 3), (4,), (4,)), {"groups": 2}),
        Case("images", normal((2, 4, 2, 2), (4,), (4,)), {"groups": 2}),
        Case("one group", normal((2, 3, 2), (3,), (3,)), {"groups": 1}),
        Case("one channel a group", normal((2, 3, 4), (3,), (3,)), {"groups": 3}),
        Case("vectors", normal((3, 6), (6,), (6,)), {"groups": 2}),
        Case("no weight, no bias", with_constants(normal((2, 4, 2)), None, None), {"groups": 2}),
        Case("no bias", with_constants(normal((2, 4, 2), (4,)), None), {"groups": 2}),
        Case("no weight", lambda rng: (rng.standard_normal((2, 4, 2)), None, rng.standard_normal(4)), {"groups": 2}),
        Case("large eps", normal((1, 4, 2), (4,), (4,)), {"groups": 2, "eps": 0.5}),
        Case("far from 0", lambda rng: (rng.standard_normal((2, 4, 3)) + 100.0, *normal((4,), (4,))(rng)), {"groups": 2}),
        Case("no images", normal((0, 4, 2), (4,), (4,)), {"groups": 2}),
    ]
}


def _vjp(dx, dw=lambda dy, h, g: np.sum(dy * h, axis=(0, *range(2, dy.ndim)))):
    """A VJP whose dx is `dx(g, h, r)` on rows (N, G, ...), and whose dw is `dw(dy, h, g)` on images."""

    def vjp(dy, kept, *, groups, eps=1e-5, seen=None):
        x, weight, m, r, has_bias = kept
        rows = (len(x), groups, x[0].size // groups if len(x) else 0)
        h = (x.reshape(rows) - m[:, :, None]) * r[:, :, None]
        g = dy if weight is None else dy * np.reshape(weight, (-1,) + (1,) * (x.ndim - 2))
        wrong = dx(g.reshape(rows), h, r[:, :, None]).reshape(x.shape)
        weights = None if weight is None else dw(dy, h.reshape(x.shape), g)
        return wrong, weights, np.sum(dy, axis=(0, *range(2, dy.ndim))) if has_bias else None

    return vjp


def _mean(x):
    return np.mean(x, axis=2, keepdims=True)


def _right(g, h, r):
    return r * (g - _mean(g) - h * _mean(g * h))


def _strided(x, weight, bias, *, groups, eps=1e-5, seen=None):
    """Takes every groups-th channel for a group, not neighbours."""
    order = np.arange(x.shape[1]).reshape(-1, groups).T.ravel()
    rows = x[:, order].reshape(len(x), groups, -1)
    m = np.mean(rows, axis=2)
    r = 1.0 / np.sqrt(np.mean((rows - m[:, :, None]) ** 2, axis=2) + eps)
    h = ((rows - m[:, :, None]) * r[:, :, None]).reshape(x.shape)[:, np.argsort(order)]
    sizes = (-1,) + (1,) * (x.ndim - 2)
    y = h if weight is None else h * weight.reshape(sizes)
    return y if bias is None else y + bias.reshape(sizes), (x, weight, m, r, bias is not None)


MUTANTS = {
    "group_norm": [
        Mutant("the mean is taken for a constant", _vjp(lambda g, h, r: r * (g - h * _mean(g * h)))),
        Mutant("the variance is taken for a constant", _vjp(lambda g, h, r: r * (g - _mean(g)))),
        Mutant("the weight counted twice", _vjp(_right, lambda dy, h, g: np.sum(g * h, axis=(0, *range(2, dy.ndim))))),
        Mutant("every n-th channel instead of neighbours", definition=_strided),
    ]
}
