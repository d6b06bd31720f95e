"""Rows and elements taken by number and added back, on csrc/embedding.inc.c."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._library import Kernel, empty, function, get_num_threads, pointer, takes
from .copy import contiguous

Shape = tuple[int, ...]


def _numbers(index: np.ndarray, size: int) -> np.ndarray | None:
    """The index dense and aligned in int64; None where a number is not one of 0 .. size - 1, which the definition sees to."""
    if index.dtype.kind not in "iu" or (index.size and not 0 <= index.min() <= index.max() < size):
        return None
    return np.require(index, np.int64, ["C", "ALIGNED"])


def _run(name: str, x: Shape, axis: int, count: int, *arrays: Any) -> None:
    """Calls a kernel on the table x, (outer, n, inner) around an axis, with the arrays' pointers and other numbers."""
    dtype = arrays[0].dtype
    given = [pointer(a) if isinstance(a, np.ndarray) else a for a in arrays]
    function(name, dtype)(math.prod(x[:axis]), x[axis], count, math.prod(x[axis + 1 :]), *given, get_num_threads())


def _index_select(x: np.ndarray, index: np.ndarray, *, axis: int = 0) -> Any:
    axis = axis % x.ndim
    numbers = _numbers(index, x.shape[axis])
    if not takes(x) or not x.flags.c_contiguous or numbers is None:  # a whole table is not made dense for a few rows
        return NotImplemented
    y = empty((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]), x.dtype)
    if y.size:
        _run("index_select", x.shape, axis, index.size, x, numbers, y)
    return y, (index, x.shape[axis])


def _index_add(y: np.ndarray, index: np.ndarray, *, axis: int, size: int) -> Any:
    numbers = _numbers(index, size)
    return NotImplemented if not takes(y) or numbers is None else (added(y, numbers, axis, size), (index,))


def added(y: np.ndarray, index: np.ndarray, axis: int, size: int, skip: int = -1) -> np.ndarray:
    """x = 0; x[.., index_i, ..] += y[.., i, ..], but for the numbers `skip`."""
    x = np.zeros((*y.shape[:axis], size, *y.shape[axis + index.ndim :]), y.dtype)
    if y.size:
        _run("index_add", x.shape, axis, index.size, contiguous(y), index, skip, x)
    return x


def _embedding(weight: np.ndarray, index: np.ndarray, *, padding_idx: int | None = None) -> Any:
    return _index_select(weight, index)


def _embedding_vjp(dy: np.ndarray, kept: Any, *, needs: tuple[bool, ...], padding_idx: int | None = None) -> Any:
    index, size = kept
    numbers = _numbers(index, size)
    if not takes(dy) or numbers is None:
        return NotImplemented
    return added(dy, numbers, 0, size, -1 if padding_idx is None else padding_idx), None


def _gather(x: np.ndarray, index: np.ndarray, *, axis: int) -> Any:
    others = [i for i in range(x.ndim) if i != axis % x.ndim]
    numbers = _numbers(index, x.shape[axis])
    if not takes(x) or numbers is None or index.ndim != x.ndim or any(x.shape[i] != index.shape[i] for i in others):
        return NotImplemented
    y = empty(index.shape, x.dtype)
    if y.size:
        _run("gather", x.shape, axis % x.ndim, index.shape[axis], contiguous(x), numbers, y)
    return y, (index, x.shape[axis])


def _scatter_add(y: np.ndarray, index: np.ndarray, *, axis: int, size: int) -> Any:
    numbers = _numbers(index, size)
    if not takes(y) or numbers is None or index.shape != y.shape:
        return NotImplemented
    axis = axis % y.ndim
    x = np.zeros((*y.shape[:axis], size, *y.shape[axis + 1 :]), y.dtype)
    if y.size:
        _run("scatter_add", x.shape, axis, y.shape[axis], contiguous(y), numbers, x)
    return x, (index,)


index_select = Kernel(_index_select)
index_add = Kernel(_index_add)
embedding = Kernel(_embedding, _embedding_vjp)
gather = Kernel(_gather)
scatter_add = Kernel(_scatter_add)
