"""Rearrangements: axes counted from both ends, views and copies, repeated indices."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops.elementwise import unbroadcast
from ..case import Case, Mutant, normal, with_constants

FIRST, LAST, ROWS = np.array([[2, 0], [2, 2], [1, 0]]), np.array([[0, 2, 2], [1, 1, 0]]), np.array([2, 0, 2, 2])
INDICES: dict[str, tuple[Any, tuple[int, ...]]] = {
    "number": (1, (3, 4)),
    "negative number": (-1, (3, 4)),
    "slice": (slice(1, 3), (4, 2)),
    "steps": ((slice(None, None, 2), slice(3, None, -2)), (3, 5)),
    "new axis": ((slice(None), None, 0), (3, 2)),
    "ellipsis": ((..., 1), (2, 2, 3)),
    "repeated rows": (ROWS, (3, 2)),
    "pairs, one repeated": ((np.array([0, 1, 0]), np.array([1, 0, 1])), (2, 3)),
    "array and slice": ((slice(None), ROWS), (2, 3)),
    "arrays apart": ((np.array([0, 0]), slice(None), np.array([1, 1])), (2, 3, 2)),
    "boolean": (np.array([[True, False, True], [False, True, True]]), (2, 3)),
    "everything": ((), (2, 2)),
    "nothing": (slice(0, 0), (2, 3)),
    "one element": ((1, 0), (2, 2)),
}


def _put_case(label):
    index, shape = INDICES[label]
    return Case(label, normal(np.empty(shape)[index].shape), {"index": index, "shape": shape})


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
    "getitem": [Case(label, normal(shape), {"index": index}) for label, (index, shape) in INDICES.items()],
    "put": [_put_case(label) for label in INDICES],
    "gather": [
        Case("first axis", with_constants(normal((3, 2)), FIRST), {"axis": 0}),
        Case("last axis", with_constants(normal((2, 3)), LAST), {"axis": -1}),
        Case("three axes", with_constants(normal((2, 3, 2)), np.array([[[0, 2], [0, 1]]] * 2)), {"axis": 1}),
        Case("broadcast index", with_constants(normal((2, 3)), np.array([[1, 1, 0]])), {"axis": 1}),
        Case("counted from the end", with_constants(normal((2, 3)), np.array([[-1, 0], [2, -3]])), {"axis": 1}),
    ],
    "scatter_add": [
        Case("first axis", with_constants(normal((3, 2)), FIRST), {"axis": 0, "size": 3}),
        Case("last axis", with_constants(normal((2, 3)), LAST), {"axis": -1, "size": 4}),
        Case("three axes", with_constants(normal((2, 2, 2)), np.array([[[0, 2], [0, 1]]] * 2)), {"axis": 1, "size": 3}),
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


def _last_of_repeated(dy, kept, *, index):
    x = np.zeros(kept[0])
    x[index] = dy
    return x


def _everywhere(dy, kept, *, index):
    return np.full(kept[0], dy.sum())


def _gather_overwrites(dy, kept, *, axis):
    index, size = kept
    x = np.zeros((*dy.shape[: axis % dy.ndim], size, *dy.shape[axis % dy.ndim + 1 :]))
    np.put_along_axis(x, index, dy, axis)
    return x, None


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
    "getitem": [Mutant("a repeated index overwrites", _last_of_repeated), Mutant("the index ignored", _everywhere)],
    "put": [
        Mutant("the index ignored", lambda dx, kept, *, index, shape: np.resize(dx, np.empty(shape)[index].shape)),
        Mutant("dy doubled", lambda dx, kept, *, index, shape: 2.0 * dx[index]),
    ],
    "gather": [
        Mutant("a repeated index overwrites", _gather_overwrites),
        Mutant("no cotangent", lambda dy, kept, *, axis: (None, None)),
    ],
    "scatter_add": [
        Mutant("shifted by one", lambda dx, kept, *, axis, size: (np.take_along_axis(dx, (kept[0] + 1) % size, axis), None)),
        Mutant("the first place for all", lambda dx, kept, *, axis, size: (np.take_along_axis(dx, kept[0] * 0, axis), None)),
    ],
}
