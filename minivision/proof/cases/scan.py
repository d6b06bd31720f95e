"""Running sums and products, linear recurrences: every axis, zeros, one step, none."""

from __future__ import annotations

import numpy as np

from ...ops.scan import delayed, from_behind, reverse
from ..case import Case, Mutant, normal


def _zeros(rng):
    """Rows that begin with 0, end with it, have two, have none."""
    return (np.array([[0.0, -1.5, 2.0], [1.0, -2.0, 0.0], [0.0, 3.0, 0.0], [0.5, -2.0, 1.5]]),)


def _cases(count):
    return [
        Case("rows", normal(*[(2, 4)] * count), {"axis": -1}),
        Case("first axis", normal(*[(3, 2)] * count), {"axis": 0}),
        Case("middle axis", normal(*[(2, 3, 2)] * count), {"axis": 1}),
        Case("middle axis from the end", normal(*[(2, 3, 2)] * count), {"axis": -2}),
        Case("vector", normal(*[(5,)] * count), {"axis": 0}),
        Case("one step", normal(*[(3, 1)] * count), {"axis": 1}),
        Case("no steps", normal(*[(2, 0)] * count), {"axis": 1}),
        Case("size 0 elsewhere", normal(*[(0, 2)] * count), {"axis": 1}),
    ]


CASES = {
    "cumsum": _cases(1),
    "cumprod": [*_cases(1), Case("zeros in rows", _zeros, {"axis": 1}), Case("zeros in columns", _zeros, {"axis": 0})],
    "recurrence": [
        *_cases(2),
        Case("a = 0 cuts off what came before", lambda rng: (_zeros(rng)[0], rng.standard_normal((4, 3))), {"axis": -1}),
    ],
}


def _divided(dy, kept, *, axis):
    """y / x summed from behind, with the zeros passed over."""
    (x,) = kept
    return reverse(np.cumsum(reverse(dy * np.cumprod(x, axis), axis), axis), axis) / np.where(x == 0, 1.0, x)


def _own_step_only(dy, kept, *, axis):
    return dy * np.cumprod(delayed(kept[0], axis, 1.0), axis)


def _own_a(dy, kept, *, axis=-1):
    """g_i = dy_i + a_i g_{i+1}"""
    a, h = kept
    g = from_behind(delayed(a, axis, 0.0), dy, axis)
    return g * delayed(h, axis, 0.0), g


def _own_h(dy, kept, *, axis=-1):
    a, h = kept
    g = from_behind(a, dy, axis)
    return g * h, g


MUTANTS = {
    "cumsum": [
        Mutant("summed from the front", lambda dy, kept, *, axis: np.cumsum(dy, axis)),
        Mutant("its own element left out", lambda dy, kept, *, axis: reverse(np.cumsum(reverse(dy, axis), axis), axis) - dy),
    ],
    "cumprod": [Mutant("divided by x where x is not 0", _divided), Mutant("what comes after left out", _own_step_only)],
    "recurrence": [
        Mutant("a_i for a_{i+1}", _own_a),
        Mutant("h_i for h_{i-1}", _own_h),
        Mutant("what comes after left out", lambda dy, kept, *, axis=-1: (dy * delayed(kept[1], axis, 0.0), dy)),
    ],
}
