"""Rearrangements: axes counted from both ends, views and copies, joining and rolling."""

from __future__ import annotations

import numpy as np

from ...ops.elementwise import unbroadcast
from ..case import Case, Mutant, normal

CASES = {
    "reshape": [
        Case("flat", normal((2, 3)), {"shape": (6,)}),
        Case("one size left open", normal((2, 6)), {"shape": (3, -1, 2)}),
        Case("from 0-d", normal(()), {"shape": (1, 1)}),
        Case("to 0-d", normal((1, 1)), {"shape": ()}),
        Case("size 0", normal((2, 0)), {"shape": (0, 5)}),
    ],
    "permute": [
        Case("three axes", normal((2, 3, 4)), {"axes": (1, 2, 0)}),
        Case("negative axes", normal((2, 3, 2)), {"axes": (-1, 0, 1)}),
        Case("size-1 axis", normal((2, 1, 3)), {"axes": (2, 0, 1)}),
        Case("0-d", normal(()), {"axes": ()}),
    ],
    "broadcast_to": [
        Case("size-1 axis", normal((2, 1)), {"shape": (2, 3)}),
        Case("new axes", normal((3,)), {"shape": (2, 2, 3)}),
        Case("both", normal((2, 1, 1)), {"shape": (2, 2, 1, 3)}),
        Case("0-d", normal(()), {"shape": (2, 2)}),
        Case("to size 0", normal((1, 2)), {"shape": (0, 2)}),
    ],
    "concatenate": [
        Case("first axis", normal((2, 3), (1, 3))),
        Case("last axis, three arrays", normal((2, 1), (2, 2), (2, 3)), {"axis": -1}),
        Case("an empty one", normal((0, 2), (3, 2)), {"axis": 0}),
        Case("one array", normal((2, 2)), {"axis": 1}),
    ],
    "roll": [
        Case("one axis", normal((5, 2)), {"shift": (2,), "axis": (0,)}),
        Case("two axes, both ways", normal((3, 4, 2)), {"shift": (-1, 5), "axis": (1, 0)}),
        Case("one axis twice", normal((2, 5)), {"shift": (1, 2), "axis": (-1, -1)}),
        Case("size 0", normal((2, 0)), {"shift": (1,), "axis": (1,)}),
    ],
}


def _fortran_reshape(dy, kept, *, shape):
    return np.reshape(dy, kept[0], order="F")


def _first_of_repeated(dy, kept, *, shape):
    slices = tuple(slice(0, 1 if m == 1 else None) for m in (1,) * (dy.ndim - len(kept[0])) + kept[0])
    return np.reshape(dy[slices], kept[0]) if dy.size else np.zeros(kept[0])


def _stretches_reversed(dy, kept, *, axis=0):
    ends = np.cumsum(kept[::-1])
    parts = [dy.take(range(int(end - n), int(end)), axis) for end, n in zip(ends, kept[::-1], strict=True)]
    return tuple(parts[::-1])


def _shifted(x, shift, axis):
    """Zeros come in where the last elements should."""
    y = np.zeros_like(x)
    places = [slice(None)] * x.ndim
    places[axis] = slice(max(shift, 0), None)
    source = [slice(None)] * x.ndim
    source[axis] = slice(0, x.shape[axis] - max(shift, 0))
    y[tuple(places)] = x[tuple(source)]
    return y


MUTANTS = {
    "reshape": [Mutant("columns first", _fortran_reshape)],
    "permute": [
        Mutant("the permutation itself, not its inverse", lambda dy, kept, *, axes: np.transpose(dy, axes)),
        Mutant("reversed axes", lambda dy, kept, *, axes: np.transpose(dy)),
    ],
    "broadcast_to": [
        Mutant("one copy's cotangent, not the sum", _first_of_repeated),
        Mutant(
            "the mean of the copies", lambda dy, kept, *, shape: unbroadcast(dy, kept[0]) * (np.prod(kept[0]) / max(1, dy.size))
        ),
    ],
    "concatenate": [
        Mutant("stretches in reverse order", _stretches_reversed),
        Mutant("always the first axis", lambda dy, kept, *, axis=0: tuple(np.split(dy, np.cumsum(kept)[:-1], 0))),
    ],
    "roll": [
        Mutant("rolled on, not back", lambda dy, kept, *, shift, axis: np.roll(dy, shift, axis)),
        Mutant("the first axis alone", lambda dy, kept, *, shift, axis: np.roll(dy, -shift[0], axis[0])),
        Mutant("nothing comes in at the end", definition=lambda x, *, shift, axis: (_shifted(x, shift[0], axis[0]), ())),
    ],
}
