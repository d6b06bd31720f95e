"""Taking by number and adding back: repeated numbers, masks, numbers from the end, axes in the middle."""

from __future__ import annotations

from typing import Any

import numpy as np

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
    "boolean rows and a number": ((np.array([True, False, True]), 1), (3, 2)),
    "array between new axes": ((None, ROWS, None), (3, 2)),
    "everything": ((), (2, 2)),
    "nothing": (slice(0, 0), (2, 3)),
    "one element": ((1, 0), (2, 2)),
}


def _put_case(label):
    index, shape = INDICES[label]
    return Case(label, normal(np.empty(shape)[index].shape), {"index": index, "shape": shape})


CASES = {
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
    "index_select": [
        Case("rows, one repeated", with_constants(normal((3, 2)), ROWS), {"axis": 0}),
        Case("middle axis", with_constants(normal((2, 3, 2)), ROWS), {"axis": 1}),
        Case("last axis, index of two axes", with_constants(normal((2, 3)), LAST), {"axis": -1}),
        Case("one number", with_constants(normal((3, 2)), np.array(1)), {"axis": 0}),
        Case("counted from the end", with_constants(normal((3, 2)), np.array([-1, 0, 2])), {"axis": 0}),
        Case("nothing", with_constants(normal((3, 2)), np.array([], np.int64)), {"axis": 0}),
    ],
    "index_add": [
        Case("rows, one repeated", with_constants(normal((4, 2)), ROWS), {"axis": 0, "size": 3}),
        Case("middle axis", with_constants(normal((2, 4, 2)), ROWS), {"axis": 1, "size": 4}),
        Case("last axis, index of two axes", with_constants(normal((2, 2, 3)), LAST), {"axis": 1, "size": 3}),
        Case("one number", with_constants(normal((2,)), np.array(1)), {"axis": 0, "size": 3}),
        Case("counted from the end", with_constants(normal((3, 2)), np.array([-1, 0, 2])), {"axis": 0, "size": 3}),
        Case("nothing", with_constants(normal((0, 2)), np.array([], np.int64)), {"axis": 0, "size": 3}),
    ],
}


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


def _added_but_the_last(dy, kept, *, axis=0):
    index, size = kept
    axis = axis % (dy.ndim - index.ndim + 1)
    x = np.zeros((*dy.shape[:axis], size, *dy.shape[axis + index.ndim :]))
    places = (*[slice(None)] * axis, index)
    x[places] = dy
    return x, None


MUTANTS = {
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
    "index_select": [
        Mutant("a repeated number overwrites", _added_but_the_last),
        Mutant(
            "the neighbour's slice", definition=lambda x, index, *, axis=0: (np.roll(x, 1, axis).take(index, axis), (index, 3))
        ),
    ],
    "index_add": [
        Mutant("the first slice for all", lambda dx, kept, *, axis, size: (np.take(dx, kept[0] * 0, axis), None)),
        Mutant("the neighbour's slice", lambda dx, kept, *, axis, size: (np.take(dx, (kept[0] + 1) % size, axis), None)),
    ],
}
