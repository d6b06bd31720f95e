"""Norms of every order and log-sum-exp: along every kind of axis, zeros, ties, far from 0."""

from __future__ import annotations

import math

import numpy as np

from ...ops.reduce import expand_like
from ..case import Case, Mutant, distinct, normal
from .reduce import AXES


def _over_axes(draw, *, without=(), **more):
    return [
        Case(f"{label}, {more}" if more else label, draw(shape), attrs | more, complex_step="p" not in more)
        for label, (shape, attrs) in AXES.items()
        if label not in without
    ]


def _with_zero(rng):
    return (np.array([[0.0, -1.5, 2.0], [1.25, -2.0, 0.0]]),)


def _tie(rng):
    return (np.array([[3.0, -1.0, -3.0], [0.5, 2.0, -0.5]]),)


ORDERS = [1.0, 3.0, 1.5, 0.5, -2.0, 0.0, math.inf, -math.inf]
CASES = {
    "vector_norm": [
        *_over_axes(normal),
        *[Case(f"rows, p = {p}", distinct((2, 3)), {"p": p, "axis": 1}, complex_step=False) for p in ORDERS],
        *_over_axes(distinct, p=3.0),
        *_over_axes(distinct, p=math.inf),
        *[
            Case(f"a 0 in each row, p = {p}", _with_zero, {"p": p, "axis": 1}, complex_step=False, smooth=False)
            for p in (1.0, 1.5, 2.0, 3.0, math.inf)
        ],
        *[Case(f"ties, p = {p}", _tie, {"p": p, "axis": 1}, complex_step=False, smooth=False) for p in (math.inf, -math.inf)],
    ],
    "logsumexp": [
        *_over_axes(normal),
        Case("far from 0", lambda rng: (rng.standard_normal((2, 3)) + np.array([[700.0], [-700.0]]),), {"axis": 1}),
        Case("far apart", lambda rng: (rng.permutation(6).reshape(2, 3) * 8.0,), {"axis": -1}),
    ],
}


def _by_any(share):
    """A VJP of finite order p that multiplies dy, at each element, by share(x, y, p)."""

    def vjp(dy, kept, *, p=2.0, axis=None, keepdims=False):
        x, y = kept
        spread = expand_like(y, x.shape, axis, keepdims)
        finite = np.where(spread == 0, 1.0, spread)
        return expand_like(dy, x.shape, axis, keepdims) * share(x, finite, 2.0 if math.isinf(p) else p)

    return vjp


def _base(x):
    return np.where(x == 0, 1.0, np.absolute(x))


def _mean_of_exp(dy, kept, *, axis=None, keepdims=False):
    x = kept[0]
    n = max(1, x.size if axis is None else np.prod([x.shape[a] for a in np.atleast_1d(np.asarray(axis, int))]))
    return expand_like(dy, x.shape, axis, keepdims) * np.ones(x.shape) / n


def _share_of_all(dy, kept, *, axis=None, keepdims=False):
    x = kept[0]
    e = np.exp(x - np.max(x, initial=-1e9))
    return expand_like(dy, x.shape, axis, keepdims) * (e / np.sum(e))


MUTANTS = {
    "vector_norm": [
        Mutant("not divided by the norm", _by_any(lambda x, y, p: np.sign(x) * _base(x) ** (p - 1))),
        Mutant("power p for p - 1", _by_any(lambda x, y, p: np.sign(x) * (_base(x) / y) ** p)),
        Mutant("the sign forgotten", _by_any(lambda x, y, p: (_base(x) / y) ** (p - 1))),
        Mutant("the 2-norm's, whatever p", _by_any(lambda x, y, p: x / y)),
    ],
    "logsumexp": [Mutant("a mean's", _mean_of_exp), Mutant("share of all elements", _share_of_all)],
}
