"""The same elements in another arrangement: reshaping, permuting, joining, indexing."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..op import op
from ..tape import METHODS, NUMPY, Tensor
from .elementwise import raw, unbroadcast


def _reshape(x, *, shape):
    """y = x with the same elements in row order

    shapes: x -> y;  keeps: shape
    """
    return np.reshape(x, shape), (x.shape,)


def _reshape_vjp(dy, kept, *, shape):
    """dx = dy in x's shape"""
    return np.reshape(dy, kept[0])


def _permute(x, *, axes):
    """y[i_axes[0], i_axes[1], ...] = x[i_0, i_1, ...]

    shapes: x -> y;  keeps: nothing
    """
    return np.transpose(x, axes), ()


def _permute_vjp(dy, kept, *, axes):
    """dx = dy with the inverse permutation"""
    return np.transpose(dy, tuple(int(i) for i in np.argsort([a % len(axes) for a in axes])))


def _broadcast_to(x, *, shape):
    """y = x repeated along axes of size 1

    shapes: x -> y;  keeps: shape
    """
    return np.broadcast_to(x, shape), (x.shape,)


def _broadcast_to_vjp(dy, kept, *, shape):
    """dx = dy summed over the repeated axes"""
    return unbroadcast(dy, kept[0])


def _concatenate(*arrays, axis=0):
    """y = the arrays one after another along an axis

    shapes: arrays -> y;  keeps: sizes along the axis
    """
    return np.concatenate(arrays, axis=axis), tuple(a.shape[axis] for a in arrays)


def _concatenate_vjp(dy, kept, *, axis=0):
    """each dx = its stretch of dy"""
    ends = np.cumsum(kept)
    return tuple(
        dy[(slice(None),) * (axis % dy.ndim) + (slice(int(end - n), int(end)),)] for end, n in zip(ends, kept, strict=True)
    )


def _getitem(x, *, index):
    """y = x[index]

    shapes: x -> y;  keeps: shape
    """
    return x[index], (x.shape,)


def _getitem_vjp(dy, kept, *, index):
    """dx[index] += dy, 0 elsewhere"""
    return put(dy, index=index, shape=kept[0])


def _put(y, *, index, shape):
    """x = zeros(shape); x[index] += y   (repeated indices add up)

    shapes: y -> x;  keeps: nothing
    """
    x = np.zeros(shape, y.dtype)
    if is_basic(index):
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
    places = [np.arange(n).reshape(-1, *(1,) * (y.ndim - 1 - i)) for i, n in enumerate(y.shape)]
    places[axis] = raw(index)
    return put(y, index=tuple(places), shape=shape), (index,)


def _scatter_add_vjp(dx, kept, *, axis, size):
    """dy_i = dx[.., index_i, ..]"""
    return gather(dx, kept[0], axis=axis), None


def is_basic(index: Any) -> bool:
    """Whether an index is made of numbers, slices, None and ... alone: each element is then taken at most once."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(p is None or p is Ellipsis or isinstance(p, (int, np.integer, slice)) for p in parts)


reshape = op("reshape", _reshape, _reshape_vjp, view=True)
permute = op("permute", _permute, _permute_vjp, view=True)
broadcast_to = op("broadcast_to", _broadcast_to, _broadcast_to_vjp, view=True)
concatenate = op("concatenate", _concatenate, _concatenate_vjp)
getitem = op("getitem", _getitem, _getitem_vjp, view=True)
put = op("put", _put, _put_vjp)
gather = op("gather", _gather, _gather_vjp)
scatter_add = op("scatter_add", _scatter_add, _scatter_add_vjp)

# ------------------------------------------------------------------------------------------- NumPy's names for them


def swapaxes(x: Any, first: int, second: int) -> Any:
    """Two axes swapped."""
    axes = list(range(x.ndim))
    axes[first], axes[second] = axes[second], axes[first]
    return permute(x, axes=tuple(axes))


def _moveaxis(x: Any, source: int, destination: int) -> Any:
    axes = [a for a in range(x.ndim) if a != source % x.ndim]
    axes.insert(destination % x.ndim, source % x.ndim)
    return permute(x, axes=tuple(axes))


def expand_dims(x: Any, axis: int) -> Any:
    """A new axis of size 1."""
    shape = list(x.shape)
    shape.insert(axis % (x.ndim + 1), 1)
    return reshape(x, shape=tuple(shape))


def squeeze(x: Any, axis: int | None = None) -> Any:
    """Without an axis of size 1, or without all of them."""
    shape = tuple(n for i, n in enumerate(x.shape) if n != 1 or (axis is not None and i != axis % x.ndim))
    return reshape(x, shape=shape)


def _stack(arrays: Any, axis: int = 0) -> Any:
    return concatenate(*[np.expand_dims(a, axis) for a in arrays], axis=axis)


NUMPY[np.reshape] = lambda x, shape: reshape(x, shape=shape)
NUMPY[np.transpose] = lambda x, axes=None: permute(x, axes=tuple(reversed(range(x.ndim))) if axes is None else tuple(axes))
NUMPY[np.broadcast_to] = lambda x, shape: broadcast_to(x, shape=tuple(shape))
NUMPY[np.concatenate] = lambda arrays, axis=0: concatenate(*arrays, axis=axis)
NUMPY[np.take_along_axis] = lambda x, indices, axis: gather(x, raw(indices), axis=axis)
NUMPY[np.swapaxes] = swapaxes
NUMPY[np.moveaxis] = _moveaxis
NUMPY[np.expand_dims] = expand_dims
NUMPY[np.squeeze] = squeeze
NUMPY[np.stack] = _stack
NUMPY[np.zeros_like] = lambda x: Tensor(np.zeros_like(x.data))
NUMPY[np.ones_like] = lambda x: Tensor(np.ones_like(x.data))


def plain_index(index: Any) -> Any:
    """An index with the arrays taken out of its Tensors, and -0-d integer arrays as numbers."""
    if isinstance(index, tuple):
        return tuple(plain_index(part) for part in index)
    index = np.asarray(index) if isinstance(index, list) else raw(index)
    return int(index) if isinstance(index, np.ndarray) and index.ndim == 0 and index.dtype.kind in "iu" else index


def _getitem_method(self: Tensor, index: Any) -> Tensor:
    return getitem(self, index=plain_index(index))


METHODS["__getitem__"] = _getitem_method
