"""Rows of a table, number by number."""

from __future__ import annotations

import numpy as np

from oracles import Oracle
from oracles.shape import elements, sizes


def _call(rng):
    rows, width = int(rng.integers(1, 9)), int(rng.integers(0, 6))
    padding = None if rng.random() < 0.5 else int(rng.integers(rows))
    return (rng.standard_normal((rows, width)), rng.integers(0, rows, sizes(rng, most=2))), {"padding_idx": padding}


def _answer(weight, index, *, padding_idx):
    y = np.empty((*index.shape, weight.shape[1]))
    for place in elements(index.shape):
        for column in range(weight.shape[1]):
            y[(*place, column)] = weight[index[place], column]
    return y


ORACLES = {"embedding": Oracle(_call, _answer, 0.0)}
