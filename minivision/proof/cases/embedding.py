"""Rows of a table: repeated numbers, two axes of them, a padding row (a constant, so it is not among those derived)."""

from __future__ import annotations

import numpy as np

from ..case import Case, Mutant, normal, with_constants

ROWS = np.array([2, 0, 2, 3])
CASES = {
    "embedding": [
        Case("rows, one repeated", with_constants(normal((4, 3)), ROWS)),
        Case("numbers in two axes", with_constants(normal((3, 2)), np.array([[0, 2, 2], [1, 0, 2]]))),
        Case("a padding row elsewhere", with_constants(normal((4, 2)), ROWS), {"padding_idx": 1}),
        Case("one number", with_constants(normal((3, 2)), np.array(1))),
        Case("nothing", with_constants(normal((3, 2)), np.zeros((2, 0), np.int64))),
    ],
}


def _overwritten(dy, kept, *, padding_idx=None):
    index, rows = kept
    dweight = np.zeros((rows, dy.shape[-1]))
    dweight[index] = dy
    return dweight, None


def _padding_from_the_end(dy, kept, *, padding_idx=None):
    index, rows = kept
    dweight = np.zeros((rows, dy.shape[-1]))
    np.add.at(dweight, index, dy)
    if padding_idx is not None:
        dweight[rows - 1 - padding_idx] = 0.0
    return dweight, None


MUTANTS = {
    "embedding": [
        Mutant("a repeated number overwrites", _overwritten),
        Mutant("another row is the padding", _padding_from_the_end),
    ],
}
