"""Weight normalisation: along the first axis, another one, and over the whole weight."""

from __future__ import annotations

import numpy as np

from ..case import Case, Mutant, normal

CASES = {
    "weight_norm": [
        Case("a matrix", normal((3, 4), (3, 1))),
        Case("a filter", normal((2, 3, 2, 1), (2, 1, 1, 1))),
        Case("axis 1", normal((3, 2, 2), (1, 2, 1)), {"dim": 1}),
        Case("the last axis", normal((3, 2), (1, 2)), {"dim": -1}),
        Case("one length for all", normal((3, 2), (1, 1)), {"dim": None}),
        Case("a vector", normal((3,), (3,))),
    ]
}


def _wrong(dv):
    """A VJP whose dv is `dv(dw, v, g, length, dot)`; dg is right."""

    def vjp(dw, kept, *, dim=0):
        v, g, length = kept
        dot = np.sum(dw * v, axis=tuple(i for i, n in enumerate(g.shape) if dim is None or i != dim % v.ndim), keepdims=True)
        return dv(dw, v, g, length, dot), dot / length

    return vjp


def _unscaled(dw, kept, *, dim=0):
    v, g, length = kept
    rest = tuple(i for i in range(v.ndim) if dim is None or i != dim % v.ndim)
    dot = np.sum(dw * v, axis=rest, keepdims=True)
    return g / length * (dw - v * dot / length**2), dot


MUTANTS = {
    "weight_norm": [
        Mutant("the length is taken for a constant", _wrong(lambda dw, v, g, length, dot: g / length * dw)),
        Mutant("the length where its square belongs", _wrong(lambda dw, v, g, n, dot: g / n * (dw - v * dot / n))),
        Mutant("dg is not divided by the length", _unscaled),
    ]
}
