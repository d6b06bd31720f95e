"""Taking elements by number and adding them back: x[index], gather and scatter, rows of a table.

Each taking has an adding that is its VJP, and whose VJP it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels
from ..errors import ShapeError
from ..op import op
from ..tape import NUMPY
from .elementwise import raw


class Parts:
    """The cotangent of an array of which parts were taken: a dy for each of them, 0 elsewhere.

    Parts of one array (queries, keys and values; the halves of a split) are added into the same memory, one after another,
    instead of being spread over an array each. The memory has the array's own order of axes, so that views of it stay views.
    A VJP that reads its cotangent along the first axis alone calls it `parts`, and spares them the way into that memory.
    """

    base = None  # its memory is nobody else's

    def __init__(self, dy: np.ndarray, index: Any, shape: tuple[int, ...], order: tuple[int, ...]) -> None:
        self.apart, self.shape, self.order, self.dtype = [(index, dy)], shape, order, dy.dtype
        self.total: np.ndarray | None = None

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        if self.total is None:
            sizes = [self.shape[axis] for axis in self.order]
            self.total = np.zeros(sizes, self.dtype).transpose(np.argsort(self.order))
            index, dy = self.apart.pop(0)
            self.total[index] = dy
        for index, dy in self.apart:
            self.total[index] += dy
        self.apart = []
        return self.total if dtype is None else self.total.astype(dtype, copy=False)

    def __getitem__(self, i: int) -> np.ndarray:
        """The cotangent of element i of the first axis; as it came, where each element came once and by its number."""
        each, places = {index: dy for index, dy in self.apart if type(index) is int}, set(range(self.shape[0]))
        apart = self.total is None and len(self.apart) == len(places) and each.keys() == places
        return each[i] if apart else self.__array__()[i]

    def __add__(self, other: Any) -> Parts:
        if isinstance(other, Parts) and other.total is None:
            self.apart += other.apart
        else:
            total = self.__array__()
            total += np.asarray(other)
        return self

    __radd__ = __add__
    __array_ufunc__ = None  # array + Parts comes here


def memory_order(x: np.ndarray) -> tuple[int, ...]:
    """x's axes, the one with the longest steps first."""
    return tuple(sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis])))


def _getitem(x, *, index):
    """y = x[index]

    shapes: x -> y;  keeps: shape, the order of its axes in memory
    """
    return x[index], (x.shape, memory_order(raw(x)))


def _getitem_vjp(dy, kept, *, index):
    """dx[index] += dy, 0 elsewhere"""
    shape, order = kept
    if isinstance(dy, np.ndarray) and takes_once(index):
        return Parts(dy, index, shape, order)
    return put(dy, index=index, shape=shape)


def _put(y, *, index, shape):
    """x = zeros(shape); x[index] += y   (repeated indices add up)

    shapes: y -> x;  keeps: nothing
    """
    x = np.zeros(shape, y.dtype)
    if takes_once(index):
        x[index] = raw(y)
    else:
        np.add.at(x, index, raw(y))
    return x, ()


def _put_vjp(dx, kept, *, index, shape):
    """dy = dx[index]"""
    return dx[index]


def _gather(x, index, *, axis):
    """y_i = x[.., index_i, ..] along an axis

    shapes: x, index -> y;  keeps: index, size
    """
    return np.take_along_axis(x, index, axis), (index, x.shape[axis])


def _gather_vjp(dy, kept, *, axis):
    """dx[.., index_i, ..] += dy_i"""
    index, size = kept
    return scatter_add(dy, index, axis=axis, size=size), None


def _scatter_add(y, index, *, axis, size):
    """x[.., index_i, ..] += y_i along an axis of the given size, from zero

    shapes: y, index -> x;  keeps: index
    """
    shape = (*y.shape[: axis % y.ndim], size, *y.shape[axis % y.ndim + 1 :])
    places = places_along(np.broadcast_to(raw(index), y.shape), axis)
    return put(y, index=places, shape=shape), (index,)


def _scatter_add_vjp(dx, kept, *, axis, size):
    """dy_i = dx[.., index_i, ..]"""
    return gather(dx, kept[0], axis=axis), None


def _index_select(x, index, *, axis=0):
    """y[.., i.., ..] = x[.., index_i.., ..]: whole slices along an axis, one for each number in index

    shapes: x, index -> y;  keeps: index, size
    """
    return np.take(x, index, axis), (index, x.shape[axis])


def _index_select_vjp(dy, kept, *, axis=0):
    """dx[.., index_i.., ..] += dy[.., i.., ..]"""
    index, size = kept
    axis = axis if axis >= 0 else axis + dy.ndim - index.ndim + 1
    return index_add(dy, index, axis=axis, size=size), None


def _index_add(y, index, *, axis, size):
    """x[.., index_i.., ..] += y[.., i.., ..] along an axis (from 0) of the given size, from zero

    shapes: y, index -> x;  keeps: index
    """
    shape = (*y.shape[:axis], size, *y.shape[axis + index.ndim :])
    return put(y, index=(*(slice(None),) * axis, raw(index)), shape=shape), (index,)


def _index_add_vjp(dx, kept, *, axis, size):
    """dy[.., i.., ..] = dx[.., index_i.., ..]"""
    return index_select(dx, kept[0], axis=axis), None


def places_along(index: np.ndarray, axis: int) -> tuple[np.ndarray, ...]:
    """What x[...] takes to read x at index along one axis and in place along the others."""
    places = list(np.ogrid[tuple(slice(n) for n in index.shape)])
    places[axis] = index
    return tuple(places)


def takes_once(index: Any) -> bool:
    """Whether x[index] takes each element at most once: an index of numbers, slices, None, ... and masks alone."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(p is None or p is Ellipsis or isinstance(p, (int, np.integer, slice)) or _is_mask(p) for p in parts)


def _is_mask(part: Any) -> bool:
    return isinstance(part, (np.ndarray, np.bool_)) and part.dtype == np.bool_


getitem = op("getitem", _getitem, _getitem_vjp, view=True)
put = op("put", _put, _put_vjp)
gather = op("gather", _gather, _gather_vjp, kernel=kernels.gather)
scatter_add = op("scatter_add", _scatter_add, _scatter_add_vjp, kernel=kernels.scatter_add)
index_select = op("index_select", _index_select, _index_select_vjp, kernel=kernels.index_select)
index_add = op("index_add", _index_add, _index_add_vjp, kernel=kernels.index_add)

NUMPY[np.take_along_axis] = lambda x, indices, axis: gather(x, raw(indices), axis=axis)
NUMPY[np.take] = lambda x, indices, axis: index_select(x, raw(indices), axis=axis)


def plain_index(index: Any) -> Any:
    """An index with the arrays taken out of its Tensors, and 0-d integer arrays as numbers."""
    if isinstance(index, tuple):
        return tuple(plain_index(part) for part in index)
    index = np.asarray(index, None if len(index) else np.int64) if isinstance(index, list) else raw(index)
    return int(index) if isinstance(index, np.ndarray) and index.ndim == 0 and index.dtype.kind in "iu" else index


def whole_numbers(function: str, index: Any, size: int, what: str = "index") -> np.ndarray:
    """The array of integers inside `index`, all from 0 to size - 1; else TypeError, or ShapeError naming one that is not."""
    numbers = np.asarray(raw(index), None if np.size(raw(index)) else np.int64)
    if numbers.dtype.kind not in "iu":
        raise TypeError(f"{function}: {what} should hold whole numbers, got {numbers.dtype}; convert it with .long()")
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < size:
        wrong = tuple(int(i) for i in np.argwhere((numbers < 0) | (numbers >= size))[0])
        problem = f"{what} {numbers[wrong]} at {wrong} is out of bounds, it should lie between 0 and {size - 1}"
        raise ShapeError(function, problem, f"{what} {numbers.shape} {numbers.dtype}")
    return numbers
