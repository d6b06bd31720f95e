"""Rows of a table, taken by number."""

from __future__ import annotations

import numpy as np

from .. import kernels
from ..op import op
from .indexing import index_add


def _embedding(weight, index, *, padding_idx=None):
    """y_i = weight[index_i];  the row padding_idx is a constant, which nothing is learnt about

    shapes: weight(V, D), index -> y(*, D);  keeps: index, rows
    """
    return weight[index], (index, weight.shape[0])  # np.take copies a whole table that is not dense


def _embedding_vjp(dy, kept, *, padding_idx=None):
    """dweight[index_i] += dy_i   for index_i != padding_idx"""
    index, rows = kept
    if padding_idx is not None:
        learnt = np.asarray(getattr(index, "data", index)) != padding_idx
        dy, index = dy[learnt], index[learnt]
    return index_add(dy, index, axis=0, size=rows), None


embedding = op("embedding", _embedding, _embedding_vjp, kernel=kernels.embedding)
