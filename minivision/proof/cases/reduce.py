"""Reductions: every kind of axis, kept and dropped, size-1 axes, ties."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops.reduce import count_along, expand_like, freedom
from ..case import Case, Mutant, distinct, normal

AXES: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "all": ((2, 3), {}),
    "all, kept": ((2, 3), {"keepdims": True}),
    "first axis": ((3, 2, 2), {"axis": 0}),
    "last axis": ((2, 3), {"axis": -1}),
    "middle axis, kept": ((2, 3, 2), {"axis": 1, "keepdims": True}),
    "two axes": ((2, 3, 2), {"axis": (0, -1)}),
    "two axes, kept": ((2, 3, 2), {"axis": (-1, 1), "keepdims": True}),
    "size-1 axis": ((2, 1, 3), {"axis": 1}),
    "no axis": ((2, 3), {"axis": ()}),
    "0-d": ((), {}),
    "size 0 elsewhere": ((0, 3), {"axis": 1}),
}


def _cases(draw, without=(), **more):
    return [Case(label, draw(shape), attrs | more) for label, (shape, attrs) in AXES.items() if label not in without]


def _zeros(rng):
    """Rows with one 0, with two, with none."""
    return (np.array([[0.0, -1.5, 2.0], [0.0, 3.0, 0.0], [0.5, -2.0, 1.5]]),)


def _two_equal(rng):
    return (np.array([[3.0, 1.0, 3.0], [-1.0, 2.0, -1.0], [0.0, 0.5, 0.0]]),)


TIES = [Case(f"ties of two, axis {axis}", _two_equal, {"axis": axis}, complex_step=False, smooth=False) for axis in (None, 1)]
SEVERAL = [label for label, (_, attrs) in AXES.items() if isinstance(attrs.get("axis"), tuple)]
SINGLE = ["size-1 axis", "no axis", "0-d"]  # one element: it does not vary
CORRECTIONS = [
    Case("n - 1", normal((3, 4)), {"axis": 1}),
    Case("n - 2 of two axes", normal((2, 2, 3)), {"axis": (0, 2), "correction": 2}),
    Case("n - 1/2, kept", normal((4, 2)), {"axis": 0, "correction": 0.5, "keepdims": True}),
    Case("far from 0", lambda rng: (rng.standard_normal((2, 5)) + 100.0,), {"axis": -1}),
]
CASES = {
    "sum": [*_cases(normal), Case("nothing", normal((2, 0)), {"axis": 1})],
    "mean": _cases(normal),
    "prod": [
        *_cases(normal, without=SEVERAL),
        Case("zeros in rows", _zeros, {"axis": 1}),
        Case("zeros in columns, kept", _zeros, {"axis": 0, "keepdims": True}),
        Case("one zero of all", lambda rng: (np.array([2.0, 0.0, -3.0]),)),
        Case("nothing", normal((2, 0)), {"axis": 1}),
    ],
    "var": [*_cases(normal, correction=0), *CORRECTIONS],
    "std": [*_cases(normal, without=SINGLE, correction=0), *CORRECTIONS],
    "max": [*_cases(distinct), *TIES],
    "min": [*_cases(distinct), *TIES],
}


def _wrong_axis(dy, kept, *, axis=None, keepdims=False):
    """Spreads dy from the last axes, whichever was summed."""
    return np.broadcast_to(np.resize(dy, kept[0]), kept[0])


def _divided_by_all(dy, kept, *, axis=None, keepdims=False):
    return expand_like(dy / float(np.prod(kept[0])), kept[0], axis, keepdims)


def _undivided(dy, kept, *, axis=None, keepdims=False):
    return expand_like(dy, kept[0], axis, keepdims)


def _divided_twice(dy, kept, *, axis=None, keepdims=False):
    return expand_like(dy / float(count_along(kept[0], axis)) ** 2, kept[0], axis, keepdims)


def _ties_take_all(dy, kept, *, axis=None, keepdims=False):
    x, y = kept
    return expand_like(dy, x.shape, axis, keepdims) * (x == expand_like(y, x.shape, axis, keepdims))


def _spread_over_all(dy, kept, *, axis=None, keepdims=False):
    return np.array(expand_like(dy, kept[0].shape, axis, keepdims))


def _the_others(dy, kept, *, axis=None, keepdims=False):
    x, y = kept
    return expand_like(dy, x.shape, axis, keepdims) * (x != expand_like(y, x.shape, axis, keepdims))


def _zeros_divided(dy, kept, *, axis=None, keepdims=False):
    """y / x, with the zeros passed over."""
    (x,) = kept
    y = np.prod(x, axis=axis, keepdims=keepdims)
    return expand_like(dy * y, x.shape, axis, keepdims) / np.where(x == 0, 1.0, x)


def _own_factor_left_in(dy, kept, *, axis=None, keepdims=False):
    return expand_like(dy * np.prod(kept[0], axis=axis, keepdims=keepdims), kept[0].shape, axis, keepdims)


def _centred(x, axis):
    return x - np.mean(x, axis=axis, keepdims=True)


def _divided_by_n(dy, kept, *, axis=None, correction=1, keepdims=False):
    x = kept[0]
    return expand_like(2.0 * dy / max(count_along(x.shape, axis), 1), x.shape, axis, keepdims) * _centred(x, axis)


def _not_centred(dy, kept, *, axis=None, correction=1, keepdims=False):
    x = kept[0]
    return expand_like(2.0 * dy / freedom(x.shape, axis, correction), x.shape, axis, keepdims) * x


def _without_two(dy, kept, *, axis=None, correction=1, keepdims=False):
    x = kept[0]
    return expand_like(dy / freedom(x.shape, axis, correction), x.shape, axis, keepdims) * _centred(x, axis)


def _times_y(dy, kept, *, axis=None, correction=1, keepdims=False):
    return _without_two(dy * kept[1], kept, axis=axis, correction=correction, keepdims=keepdims)


MUTANTS = {
    "sum": [Mutant("spread along the wrong axis", _wrong_axis), Mutant("a mean's", _divided_by_all)],
    "mean": [
        Mutant("1/n forgotten", _undivided),
        Mutant("n of the whole array", _divided_by_all),
        Mutant("divided twice", _divided_twice),
    ],
    "prod": [
        Mutant("divided by x where x is not 0", _zeros_divided),
        Mutant("each element's own factor left in", _own_factor_left_in),
    ],
    "var": [
        Mutant("n for n - correction", _divided_by_n),
        Mutant("x not centred", _not_centred),
        Mutant("the 2 of the square forgotten", _without_two),
    ],
    "std": [Mutant("not divided by y", _without_two), Mutant("times y", _times_y)],
    "max": [Mutant("each of a tie takes all", _ties_take_all), Mutant("a sum's", _spread_over_all)],
    "min": [Mutant("each of a tie takes all", _ties_take_all), Mutant("all but the least", _the_others)],
}
