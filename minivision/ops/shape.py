"""The same elements in another arrangement: reshaping, permuting, repeating, joining, rolling."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels
from ..op import op
from ..tape import NUMPY, Tensor
from .elementwise import unbroadcast


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


def _roll(x, *, shift, axis):
    """y[i] = x[(i - shift) mod n] along each of the axes

    shapes: x -> y;  keeps: nothing
    """
    return np.roll(x, shift, axis), ()


def _roll_vjp(dy, kept, *, shift, axis):
    """dx = dy rolled back"""
    return np.roll(dy, tuple(-s for s in shift), axis)


reshape = op("reshape", _reshape, _reshape_vjp, view=True, kernel=kernels.reshape)
permute = op("permute", _permute, _permute_vjp, view=True)
broadcast_to = op("broadcast_to", _broadcast_to, _broadcast_to_vjp, view=True)
concatenate = op("concatenate", _concatenate, _concatenate_vjp)
roll = op("roll", _roll, _roll_vjp)

# ------------------------------------------------------------------------------------------- NumPy's names for them


def swapaxes(x: Any, first: int, second: int) -> Any:
    """Two axes swapped."""
    axes = list(range(x.ndim))
    axes[first], axes[second] = axes[second], axes[first]
    return permute(x, axes=tuple(axes))


def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    """One axis, or several, moved to other places; the others keep their order."""
    pairs = [(source, destination)] if isinstance(source, int) else list(zip(source, destination, strict=True))
    moved = {to % x.ndim: a % x.ndim for a, to in pairs}
    rest = iter(a for a in range(x.ndim) if a not in moved.values())
    return permute(x, axes=tuple(moved[i] if i in moved else next(rest) for i in range(x.ndim)))


def expand_dims(x: Any, axis: int) -> Any:
    """A new axis of size 1."""
    shape = list(x.shape)
    shape.insert(axis % (x.ndim + 1), 1)
    return reshape(x, shape=tuple(shape))


def squeeze(x: Any, axis: Any = None) -> Any:
    """Without an axis of size 1, without those of several, or without all of them."""
    axes = range(x.ndim) if axis is None else [a % max(x.ndim, 1) for a in ((axis,) if isinstance(axis, int) else axis)]
    return reshape(x, shape=tuple(n for i, n in enumerate(x.shape) if n != 1 or i not in axes))


def _stack(arrays: Any, axis: int = 0) -> Any:
    return concatenate(*[np.expand_dims(a, axis) for a in arrays], axis=axis)


def _each(value: Any) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)


NUMPY[np.reshape] = lambda x, shape: reshape(x, shape=shape)
NUMPY[np.transpose] = lambda x, axes=None: permute(x, axes=tuple(reversed(range(x.ndim))) if axes is None else tuple(axes))
NUMPY[np.broadcast_to] = lambda x, shape: broadcast_to(x, shape=tuple(shape))
NUMPY[np.concatenate] = lambda arrays, axis=0: concatenate(*arrays, axis=axis)
NUMPY[np.roll] = lambda x, shift, axis: roll(x, shift=_each(shift), axis=_each(axis))
NUMPY[np.swapaxes] = swapaxes
NUMPY[np.moveaxis] = moveaxis
NUMPY[np.expand_dims] = expand_dims
NUMPY[np.squeeze] = squeeze
NUMPY[np.stack] = _stack
NUMPY[np.zeros_like] = lambda x: Tensor(np.zeros_like(x.data))
NUMPY[np.ones_like] = lambda x: Tensor(np.ones_like(x.data))
