"""Matrix products: batches that broadcast, one weight for a batch, vectors as rows, absent bias, size 0."""

from __future__ import annotations

import numpy as np

from ...ops.elementwise import unbroadcast
from ..case import Case, Mutant, normal, with_constants

CASES = {
    "matmul": [
        Case("matrices", normal((2, 3), (3, 4))),
        Case("square", normal((3, 3), (3, 3))),
        Case("batches", normal((2, 2, 3), (2, 3, 2))),
        Case("one b for the batch", normal((2, 3, 2), (2, 3))),
        Case("one a for the batch", normal((2, 3), (2, 3, 2))),
        Case("batches broadcast", normal((2, 1, 2, 3), (3, 3, 1))),
        Case("size 1", normal((1, 1), (1, 1))),
        Case("nothing to sum", normal((2, 2, 0), (0, 3))),
        Case("no columns", normal((2, 2, 3), (3, 0))),
    ],
    "linear": [
        Case("rows", normal((3, 2), (4, 2), (4,))),
        Case("square, batch", normal((2, 2, 3), (3, 3), (3,))),
        Case("one vector", normal((3,), (2, 3), (2,))),
        Case("no bias", with_constants(normal((2, 3), (4, 3)), None)),
        Case("no rows", normal((0, 2), (3, 2), (3,))),
        Case("no inputs", normal((2, 2, 0), (3, 0), (3,))),
        Case("no outputs", normal((2, 2, 3), (0, 3), (0,))),
    ],
}


def _swap(x):
    return np.swapaxes(x, -1, -2)


def _pair(da, db):
    def vjp(dy, kept):
        a, b = kept
        return unbroadcast(da(dy, a, b), a.shape), unbroadcast(db(dy, a, b), b.shape)

    return vjp


def _untransposed_b(dy, a, b):
    return dy @ b if b.shape[-1] == b.shape[-2] else dy @ _swap(b)


def _untransposed_a(dy, a, b):
    return a @ dy if a.shape[-1] == a.shape[-2] and a.shape[-1] == dy.shape[-2] else _swap(a) @ dy


def _right_a(dy, a, b):
    return dy @ _swap(b)


def _right_b(dy, a, b):
    return _swap(a) @ dy


def _first_of_batch(dy, kept):
    a, b = kept
    grown = [dy @ _swap(b), _swap(a) @ dy]
    return tuple(g[(0,) * (g.ndim - x.ndim)] if g.size else np.zeros(x.shape) for g, x in zip(grown, kept, strict=True))


def _rows(x):
    return x.reshape(int(np.prod(x.shape[:-1])), x.shape[-1])


def _linear(change):
    def vjp(dy, kept):
        x, weight, has_bias = kept
        right = [dy @ weight, _rows(dy).T @ _rows(x), _rows(dy).sum(0) if has_bias else None]
        return tuple(change(right, dy, weight))

    return vjp


def _square_untransposed(right, dy, weight):
    return [dy @ weight.T if weight.shape[0] == weight.shape[1] else right[0], *right[1:]]


def _mean_for_bias(right, dy, weight):
    return [*right[:2], None if right[2] is None else right[2] / max(1, len(_rows(dy)))]


MUTANTS = {
    "matmul": [
        Mutant("b not transposed", _pair(_untransposed_b, _right_b)),
        Mutant("a not transposed", _pair(_right_a, _untransposed_a)),
        Mutant("one element of the broadcast batch, not the sum", _first_of_batch),
    ],
    "linear": [
        Mutant("weight transposed", _linear(_square_untransposed)),
        Mutant("mean of the rows for the bias", _linear(_mean_for_bias)),
        Mutant("bias forgotten", _linear(lambda g, dy, w: [*g[:2], None])),
    ],
}
