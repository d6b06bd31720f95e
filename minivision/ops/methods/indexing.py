"""torch's names for taking elements by number and putting them back: of a Tensor as methods, of an array too as mv.f(x)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ShapeError
from ...tape import Tensor
from .. import elementwise, indexing, shape
from ..elementwise import raw
from ._axes import along, dimension, dimensions
from ._register import method


@method
def __getitem__(self: Tensor, index: Any) -> Tensor:
    return indexing.getitem(self, index=indexing.plain_index(index))


# ------------------------------------------------------------------------------- elements: an index as large as what is taken


def _elements(function: str, x: Any, dim: int, index: Any, source: Any = None) -> tuple[int, np.ndarray]:
    """The axis and the numbers of gather and scatter; ShapeError where the index reaches beyond x or its source."""
    dim = dimension(function, x, dim)
    numbers = indexing.whole_numbers(function, index, x.shape[dim] if x.ndim else 1)
    fits = numbers.ndim == x.ndim and all(i == dim or n <= m for i, (n, m) in enumerate(zip(numbers.shape, x.shape, strict=True)))
    if source is not None:
        fits = fits and source.ndim == x.ndim and all(n <= m for n, m in zip(numbers.shape, source.shape, strict=True))
    if not fits and numbers.size:
        came = f"x {tuple(x.shape)}, index {numbers.shape}" + ("" if source is None else f", src {tuple(source.shape)}")
        hint = "expand the index to the shape of what is taken"
        raise ShapeError(function, f"the index should be no larger than x along the axes but {dim}, nor than src", came, hint)
    return dim, numbers


def _corner(x: Any, sizes: tuple[int, ...]) -> Any:
    """x up to these sizes."""
    return x if tuple(x.shape) == sizes else x[tuple(slice(n) for n in sizes)]


@method
def gather(self: Any, dim: int, index: Any) -> Any:
    """y[.., i, ..] = x[.., index[.., i, ..], ..] along dim;  the result has the shape of the index."""
    dim, numbers = _elements("gather", self, dim, index)
    if not numbers.size or not self.ndim:
        return indexing.index_select(reshaped(self, (-1,)), numbers, axis=0)
    table = _corner(self, (*numbers.shape[:dim], self.shape[dim], *numbers.shape[dim + 1 :]))
    return indexing.gather(table, numbers, axis=dim)


@method
def take_along_dim(self: Any, indices: Any, dim: int | None = None) -> Any:
    """As gather, with x and the index broadcast along the other axes; without dim, from x in row order."""
    if dim is None:
        return gather(reshaped(self, (-1,)), 0, reshaped(raw(indices), (-1,)))
    dim, numbers = dimension("take_along_dim", self, dim), np.asarray(raw(indices))
    own, wanted = list(self.shape), list(numbers.shape)
    own[dim], wanted[dim] = 1, 1
    common = np.broadcast_shapes(tuple(own), tuple(wanted))
    table = shape.broadcast_to(self, shape=(*common[:dim], self.shape[dim], *common[dim + 1 :]))
    return gather(table, dim, np.broadcast_to(numbers, (*common[:dim], numbers.shape[dim], *common[dim + 1 :])))


@method
def scatter(self: Any, dim: int, index: Any, src: Any) -> Any:
    """x with x[.., index[.., i, ..], ..] = src[.., i, ..] along dim;  src may be a number. Of repeated ones the last counts."""
    whole = hasattr(src, "ndim") and src.ndim > 0
    dim, numbers = _elements("scatter", self, dim, index, src if whole else None)
    if not self.ndim:
        return scatter(reshaped(self, (1,)), 0, numbers.reshape(1), reshaped(src, (1,)) if hasattr(src, "ndim") else src)[0]
    places = indexing.places_along(numbers, dim)
    return placed(self, places, _corner(src, numbers.shape) if whole else src, numbers.shape)


@method
def scatter_add(self: Any, dim: int, index: Any, src: Any) -> Any:
    """x with x[.., index[.., i, ..], ..] += src[.., i, ..] along dim."""
    dim, numbers = _elements("scatter_add", self, dim, index, src)
    if not numbers.size or not self.ndim:
        return self + (src if numbers.size else 0)
    source = _corner(src, numbers.shape)
    whole = (*self.shape[:dim], numbers.shape[dim], *self.shape[dim + 1 :])
    if numbers.shape == whole:
        return self + indexing.scatter_add(source, numbers, axis=dim, size=self.shape[dim])
    return self + indexing.put(source, index=indexing.places_along(numbers, dim), shape=tuple(self.shape))


def placed(x: Any, places: Any, source: Any, shape_of_places: tuple[int, ...]) -> Any:
    """x with x[places] = source: a choice between the elements of both, so that a source that is overwritten has gradient 0."""
    source = source if hasattr(source, "shape") else np.asarray(source, x.dtype)
    source = shape.broadcast_to(source, shape=shape_of_places)
    choice = np.arange(x.data.size if isinstance(x, Tensor) else x.size).reshape(x.shape)
    choice[places] = choice.size + np.arange(raw(source).size).reshape(shape_of_places)
    both = shape.concatenate(reshaped(x, (-1,)), reshaped(source, (-1,)))
    return indexing.index_select(both, choice, axis=0)


def reshaped(x: Any, sizes: tuple[int, ...]) -> Any:
    """x in another shape, an array or a Tensor."""
    return shape.reshape(x, shape=sizes)


# -------------------------------------------------------------------------------------------- slices along one axis


def _slices(function: str, x: Any, dim: int, index: Any) -> tuple[int, np.ndarray]:
    """The axis and the numbers, one or a list of them, of slices along it."""
    dim = dimension(function, x, dim)
    numbers = np.atleast_1d(indexing.whole_numbers(function, index, x.shape[dim] if x.ndim else 1))
    if numbers.ndim > 1:
        raise ShapeError(function, f"the index should be a list of numbers, got shape {numbers.shape}", f"x {tuple(x.shape)}")
    return dim, numbers


@method
def index_select(self: Any, dim: int, index: Any) -> Any:
    """The slices along dim whose numbers the index lists."""
    dim, numbers = _slices("index_select", self, dim, index)
    return indexing.index_select(self, numbers, axis=dim) if self.ndim else self


@method
def index_add(self: Any, dim: int, index: Any, source: Any, alpha: float = 1) -> Any:
    """x with alpha times source's slices added at the numbers that the index lists, along dim."""
    dim, numbers = _slices("index_add", self, dim, index)
    source = source if alpha == 1 else source * alpha
    return self + indexing.index_add(source, numbers, axis=dim, size=self.shape[dim])


@method
def index_copy(self: Any, dim: int, index: Any, source: Any) -> Any:
    """x with source's slices in the places that the index lists, along dim."""
    dim, numbers = _slices("index_copy", self, dim, index)
    return placed(self, along(dim, numbers), source, (*self.shape[:dim], len(numbers), *self.shape[dim + 1 :]))


@method
def index_fill(self: Any, dim: int, index: Any, value: Any) -> Any:
    """x with a value in the slices that the index lists, along dim."""
    dim, numbers = _slices("index_fill", self, dim, index)
    mask = np.zeros(self.shape[dim], bool)
    mask[numbers] = True
    return masked_fill(self, mask.reshape(-1, *(1,) * (self.ndim - dim - 1)), value)


@method
def unfold(self: Any, dimension: int, size: int, step: int) -> Any:
    """The windows of `size` elements, `step` apart, along an axis: as many axes as before and the windows' own at the end."""
    (dim,) = dimensions("unfold", self, dimension)
    if not (1 <= size <= self.shape[dim] and step >= 1):
        problem = f"windows of {size} elements, {step} apart, should fit axis {dim} and be at least 1 apart"
        raise ShapeError("unfold", problem, f"x {tuple(self.shape)}")
    starts = np.arange(0, self.shape[dim] - size + 1, step)
    windows = indexing.index_select(self, starts[:, None] + np.arange(size), axis=dim)
    return shape.moveaxis(windows, dim + 1, -1)


@method
def repeat_interleave(self: Any, repeats: Any, dim: int | None = None) -> Any:
    """Each element along dim so many times in a row, repeats being one number or one for each; without dim, in row order."""
    x = reshaped(self, (-1,)) if dim is None else self
    dim = 0 if dim is None else dimension("repeat_interleave", x, dim)
    times = np.asarray(raw(repeats))
    if times.dtype.kind not in "iu" or times.ndim > 1 or times.size not in (1, x.shape[dim]) or (times < 0).any():
        raise ValueError(f"repeat_interleave: one number from 0 is needed, or {x.shape[dim]} of them, got {repeats}")
    return indexing.index_select(x, np.repeat(np.arange(x.shape[dim]), times), axis=dim)


# ------------------------------------------------------------------------------------------------------- masks


def _mask(function: str, mask: Any) -> np.ndarray:
    mask = np.asarray(raw(mask))
    if mask.dtype != np.bool_:
        raise TypeError(f"{function}: the mask should be boolean, got {mask.dtype}; compare, or convert it with .bool()")
    return mask


@method
def masked_fill(self: Any, mask: Any, value: Any) -> Any:
    """`value`, a number, where the mask holds."""
    mask, number = _mask("masked_fill", mask), value if isinstance(value, Tensor) else np.asarray(value, self.dtype)
    if number.ndim:
        raise ShapeError("masked_fill", f"the value should be one number, got shape {number.shape}", f"x {tuple(self.shape)}")
    return elementwise.where(mask, number, self)


@method
def masked_select(self: Any, mask: Any) -> Any:
    """The elements where the mask holds, in row order, in a vector;  x and the mask broadcast."""
    mask = _mask("masked_select", mask)
    common = np.broadcast_shapes(tuple(self.shape), mask.shape)
    wide = self if tuple(self.shape) == common else shape.broadcast_to(self, shape=common)
    return indexing.getitem(wide, index=np.broadcast_to(mask, common))


@method
def nonzero(self: Any, as_tuple: bool = False) -> Any:
    """Where the elements are not 0: (count, ndim) numbers, or, as_tuple, a vector of them for each axis. No gradient flows."""
    found = np.nonzero(np.atleast_1d(raw(self)))
    if as_tuple:
        return tuple(Tensor(part) for part in found)
    return Tensor(np.stack(found, axis=1) if self.ndim else np.zeros((len(found[0]), 0), np.int64))


# --------------------------------------------------------------------------------------------------- diagonals


def _diagonal_places(offset: int, length: int) -> tuple[Any, ...]:
    steps = np.arange(length)
    return (..., steps + max(-offset, 0), steps + max(offset, 0))


@method
def diagonal(self: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """The elements (i, i + offset) of the matrices in two axes, as the last axis."""
    first, second = dimensions("diagonal", self, (dim1, dim2))
    matrices = shape.moveaxis(self, (first, second), (-2, -1))
    rows, columns = matrices.shape[-2:]
    length = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    return indexing.getitem(matrices, index=_diagonal_places(offset, length))


@method
def diag_embed(self: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """Matrices, 0 but for the last axis at (i, i + offset); the two new axes stand at dim1 and dim2 of the result."""
    size = self.shape[-1] + abs(offset)
    places = _diagonal_places(offset, self.shape[-1])
    matrices = indexing.put(self, index=places, shape=(*self.shape[:-1], size, size))
    return shape.moveaxis(matrices, (-2, -1), dimensions("diag_embed", matrices, (dim1, dim2)))


@method
def diag(self: Any, diagonal: int = 0) -> Any:
    """The diagonal of a matrix, or the matrix with this vector on its diagonal."""
    if self.ndim not in (1, 2):
        raise ShapeError("diag", f"a vector or a matrix is needed, got {self.ndim} axes", f"x {tuple(self.shape)}")
    return diag_embed(self, diagonal) if self.ndim == 1 else _diagonal(self, diagonal)


_diagonal = diagonal
