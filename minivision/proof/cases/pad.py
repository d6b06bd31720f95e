"""Borders of one value: sides that differ, one side alone, none."""

from __future__ import annotations

import numpy as np

from ..case import Case, Mutant, normal

CASES = {
    "pad": [
        Case("a row", normal((3,)), {"widths": ((2, 1),)}),
        Case("two axes, another value", normal((2, 3)), {"widths": ((1, 0), (0, 2)), "value": -1.5}),
        Case("the last of three axes", normal((2, 2, 2)), {"widths": ((0, 0), (0, 0), (1, 2))}),
        Case("infinity around", normal((2, 2)), {"widths": ((1, 1), (1, 1)), "value": -np.inf}),
        Case("no border", normal((2, 2)), {"widths": ((0, 0), (0, 0))}),
        Case("around nothing", normal((0, 2)), {"widths": ((1, 1), (0, 1)), "value": 2.0}),
    ],
}


def _from_the_first(dy, kept, *, widths, value=0.0):
    return dy[tuple(slice(n) for n in kept[0])]


def _sides_swapped(dy, kept, *, widths, value=0.0):
    return dy[tuple(slice(after, after + n) for (_, after), n in zip(widths, kept[0], strict=True))]


MUTANTS = {
    "pad": [
        Mutant("the border before is kept", _from_the_first),
        Mutant("before and after swapped", _sides_swapped),
        Mutant("the edge repeated", definition=lambda x, *, widths, value=0.0: (np.pad(x, widths, "edge"), (x.shape,))),
    ],
}
