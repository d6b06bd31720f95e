"""Softmax and its logarithm: every axis, large differences, a single element."""

from __future__ import annotations

import numpy as np

from ..case import Case, Mutant, normal

SHAPES = [
    Case("rows", normal((3, 4))),
    Case("first axis", normal((3, 2)), {"axis": 0}),
    Case("middle axis", normal((2, 3, 2)), {"axis": 1}),
    Case("vector", normal((5,))),
    Case("0-d", normal(())),
    Case("a wide row", normal((2, 37))),
    Case("wide columns", normal((2, 2, 11)), {"axis": 1}),
    Case("one element", normal((2, 1))),
    Case("far apart", lambda rng: (rng.permutation(6).reshape(2, 3) * 8.0,)),
    Case("far from 0", lambda rng: (rng.standard_normal((2, 3)) + np.array([[700.0], [-700.0]]),)),
    Case("no rows", normal((0, 3))),
]
CASES = {"softmax": SHAPES, "log_softmax": SHAPES}


def _other_axis(dy, kept, *, axis=-1):
    (y,) = kept
    return y * (dy - np.sum(dy * y, axis=0, keepdims=True))


def _all_axes(dy, kept, *, axis=-1):
    return dy - np.exp(kept[0]) * np.sum(dy)


MUTANTS = {
    "softmax": [
        Mutant("the inner product forgotten", lambda dy, kept, *, axis=-1: dy * kept[0]),
        Mutant("the diagonal alone", lambda dy, kept, *, axis=-1: dy * kept[0] * (1.0 - kept[0])),
        Mutant("the first axis, whichever was asked for", _other_axis),
    ],
    "log_softmax": [
        Mutant("y instead of exp(y)", lambda dy, kept, *, axis=-1: dy - kept[0] * np.sum(dy, axis=axis, keepdims=True)),
        Mutant("summed over all axes", _all_axes),
        Mutant("second term forgotten", lambda dy, kept, *, axis=-1: dy),
    ],
}
