"""Reductions: every kind of axis, kept and dropped, size-1 axes, ties."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops.reduce import count_along, expand_like
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


def _cases(draw):
    return [Case(label, draw(shape), attrs) for label, (shape, attrs) in AXES.items()]


def _two_equal(rng):
    return (np.array([[3.0, 1.0, 3.0], [-1.0, 2.0, -1.0], [0.0, 0.5, 0.0]]),)


TIES = [Case(f"ties of two, axis {axis}", _two_equal, {"axis": axis}, complex_step=False, smooth=False) for axis in (None, 1)]
CASES = {
    "sum": [*_cases(normal), Case("nothing", normal((2, 0)), {"axis": 1})],
    "mean": _cases(normal),
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


MUTANTS = {
    "sum": [Mutant("spread along the wrong axis", _wrong_axis), Mutant("a mean's", _divided_by_all)],
    "mean": [
        Mutant("1/n forgotten", _undivided),
        Mutant("n of the whole array", _divided_by_all),
        Mutant("divided twice", _divided_twice),
    ],
    "max": [Mutant("each of a tie takes all", _ties_take_all), Mutant("a sum's", _spread_over_all)],
    "min": [Mutant("each of a tie takes all", _ties_take_all), Mutant("all but the least", _the_others)],
}
