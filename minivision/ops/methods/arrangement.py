"""torch's names for the same elements in another arrangement: of a Tensor as methods, of an array too as mv.f(x)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...errors import ShapeError
from ...tape import METHODS
from .. import elementwise, shape
from ._axes import dimension, dimensions
from ._register import method, unpack

# ------------------------------------------------------------------------------------------- in another shape


@method
def reshape(self: Any, *sizes: Any) -> Any:
    """The same elements in row order in another shape; one size may be -1."""
    return shape.reshape(self, shape=unpack(sizes))


METHODS["view"] = METHODS["reshape"]
METHODS["view_as"] = METHODS["reshape_as"] = lambda self, other: reshape(self, other.shape)


@method
def flatten(self: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """The axes from start_dim to end_dim as one."""
    start, end = dimension("flatten", self, start_dim), dimension("flatten", self, end_dim)
    if start > end:
        raise ValueError(f"flatten: start_dim {start_dim} lies behind end_dim {end_dim}")
    return shape.reshape(self, shape=(*self.shape[:start], math.prod(self.shape[start : end + 1]), *self.shape[end + 1 :]))


METHODS["ravel"] = lambda self: flatten(self)


@method
def unflatten(self: Any, dim: int, sizes: Any) -> Any:
    """One axis as several of these sizes; one size may be -1."""
    dim, known = dimension("unflatten", self, dim), -math.prod(sizes)
    inner = tuple(self.shape[dim] // max(known, 1) if n == -1 else n for n in sizes)
    if math.prod(inner) != self.shape[dim]:
        raise ShapeError("unflatten", f"axis {dim} has {self.shape[dim]} elements, not {tuple(sizes)}", f"x {tuple(self.shape)}")
    return shape.reshape(self, shape=(*self.shape[:dim], *inner, *self.shape[dim + 1 :]))


@method
def unsqueeze(self: Any, dim: int) -> Any:
    """A new axis of size 1."""
    return shape.expand_dims(self, dimension("unsqueeze", self, dim, more=min(self.ndim, 1)))


@method
def squeeze(self: Any, dim: Any = None) -> Any:
    """Without an axis of size 1, or those of several, or all of them; other axes named stay."""
    return shape.squeeze(self, dim if dim is None else dimensions("squeeze", self, dim))


# --------------------------------------------------------------------------------------- axes in another order


@method
def permute(self: Any, *dims: Any) -> Any:
    """The axes in another order."""
    axes = unpack(dims)
    if len(dimensions("permute", self, axes)) != self.ndim:
        raise ValueError(f"permute: all {self.ndim} axes of {tuple(self.shape)} should be named once, got {axes}")
    return shape.permute(self, axes=axes)


@method
def transpose(self: Any, dim0: int, dim1: int) -> Any:
    """Two axes swapped."""
    return shape.swapaxes(self, dimension("transpose", self, dim0), dimension("transpose", self, dim1)) if self.ndim else self


METHODS["swapaxes"] = METHODS["swapdims"] = transpose
METHODS["mT"] = property(lambda self: transpose(self, -2, -1))


@method
def t(self: Any) -> Any:
    """The transpose of a matrix; a vector as it is."""
    if self.ndim > 2:
        raise ValueError(f"t: a matrix or a vector is transposed, got shape {tuple(self.shape)}; see transpose, mT")
    return transpose(self, 0, -1)


@method
def movedim(self: Any, source: Any, destination: Any) -> Any:
    """Axes moved to other places; the others keep their order."""
    places = dimensions("movedim", self, source), dimensions("movedim", self, destination)
    if len(places[0]) != len(places[1]):
        raise ValueError(f"movedim: as many axes should come as go, got {source} and {destination}")
    return shape.moveaxis(self, *places)


METHODS["moveaxis"] = movedim


@method
def flip(self: Any, *dims: Any) -> Any:
    """The elements in reverse order along axes."""
    axes = dimensions("flip", self, unpack(dims))
    return self[tuple(slice(None, None, -1) if i in axes else slice(None) for i in range(self.ndim))]


@method
def rot90(self: Any, k: int = 1, dims: Any = (0, 1)) -> Any:
    """k quarter turns in the plane of two axes, from the first towards the second."""
    first, second = dimensions("rot90", self, dims)
    if k % 2 == 0:
        return flip(self, first, second) if k % 4 else self
    return flip(transpose(self, first, second), first if k % 4 == 1 else second)


@method
def roll(self: Any, shifts: Any, dims: Any = None) -> Any:
    """Moved by shifts along axes, what falls off coming in at the other end; without axes, in row order."""
    if dims is None:
        return reshape(roll(flatten(self), shifts, 0), self.shape)
    shift = tuple(shifts) if isinstance(shifts, (tuple, list)) else (shifts,)
    axis = tuple(dims) if isinstance(dims, (tuple, list)) else (dims,)
    if len(shift) != len(axis):
        raise ValueError(f"roll: as many shifts as axes are needed, got {shifts} for {dims}")
    return shape.roll(self, shift=shift, axis=tuple(dimension("roll", self, a) for a in axis)) if self.ndim else self


# --------------------------------------------------------------------------------------------------- repeated


@method
def expand(self: Any, *sizes: Any) -> Any:
    """Axes of size 1 repeated, without copying; -1 keeps a size."""
    wanted = unpack(sizes)
    own = (1,) * (len(wanted) - self.ndim) + tuple(self.shape)
    if len(own) != len(wanted) or any(w < -1 or (w == -1 and i < len(wanted) - self.ndim) for i, w in enumerate(wanted)):
        problem = f"{tuple(wanted)} should give a size, or -1 to keep one, for each axis and for new ones in front"
        raise ShapeError("expand", problem, f"x {tuple(self.shape)}")
    return shape.broadcast_to(self, shape=tuple(n if w == -1 else w for w, n in zip(wanted, own, strict=True)))


METHODS["broadcast_to"] = expand
METHODS["expand_as"] = lambda self, other: expand(self, other.shape)


@method
def repeat(self: Any, *sizes: Any) -> Any:
    """The whole laid out side by side, sizes[k] times along axis k; more sizes than axes make new axes in front."""
    times = unpack(sizes)
    if len(times) < self.ndim or any(n < 0 for n in times):
        raise ShapeError("repeat", f"a number from 0 is needed for each axis, got {times}", f"x {tuple(self.shape)}")
    own = (1,) * (len(times) - self.ndim) + tuple(self.shape)
    pairs = list(zip(times, own, strict=True))
    apart = reshape(self, [n for size in own for n in (1, size)])  # (1, n_0, 1, n_1, ...)
    spread = shape.broadcast_to(apart, shape=tuple(n for pair in pairs for n in pair))
    return reshape(spread, [count * size for count, size in pairs])


@method
def tile(self: Any, *dims: Any) -> Any:
    """As repeat, but fewer numbers than axes are taken for the last axes."""
    times = unpack(dims)
    return repeat(self, (1,) * (self.ndim - len(times)) + tuple(times))


# ------------------------------------------------------------------------------------------------- triangles


def _triangle(x: Any, diagonal: int, lower: bool) -> Any:
    """x on one side of a diagonal of its last two axes, 0 on the other."""
    if x.ndim < 2:
        raise ShapeError("tril" if lower else "triu", f"a matrix has two axes, got {x.ndim}", f"x {tuple(x.shape)}")
    rows, columns = x.shape[-2:]
    below = np.tri(rows, columns, diagonal, dtype=bool)
    return elementwise.where(below if lower else ~below, x, np.zeros((), x.dtype))


@method
def tril(self: Any, diagonal: int = 0) -> Any:
    """The elements j <= i + diagonal of each matrix (..., i, j), 0 above."""
    return _triangle(self, diagonal, lower=True)


@method
def triu(self: Any, diagonal: int = 0) -> Any:
    """The elements j >= i + diagonal of each matrix (..., i, j), 0 below."""
    return _triangle(self, diagonal - 1, lower=False)
