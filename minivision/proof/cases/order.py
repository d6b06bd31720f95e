"""The median: odd and even numbers of elements, any shape."""

from __future__ import annotations

import numpy as np

from ..case import Case, Mutant, distinct

CASES = {
    "median": [
        Case("odd", distinct((5,))),
        Case("even", distinct((6,))),
        Case("matrix", distinct((3, 3))),
        Case("one", distinct((1, 1))),
        Case("0-d", distinct(())),
    ],
}


def _upper(dy, kept):
    x = kept[0]
    return dy * (x == np.sort(x.ravel())[x.size // 2])


MUTANTS = {
    "median": [
        Mutant("a mean's", lambda dy, kept: dy * np.ones(kept[0].shape) / kept[0].size),
        Mutant("the upper of the middle two", _upper),
        Mutant("the largest's", lambda dy, kept: dy * (kept[0] == np.max(kept[0]))),
    ],
}
