"""What has to do with order under torch's names: extremes and where they are, sorting, top-k, medians, distinct values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...tape import Tensor
from .. import order, reduce
from ..elementwise import raw
from ._axes import dimension
from ._register import method
from .reductions import like, not_empty, reduction


class ValuesIndices(NamedTuple):
    """Elements, and where they stand along the axis that was searched: unpack it, or take .values and .indices."""

    values: Any
    indices: Any


def _chosen(function: str, x: Any, dim: int, find: Callable[..., np.ndarray], keepdim: bool = True) -> ValuesIndices:
    """The elements at the indices that `find(array, axis)` gives along an axis; the gradient goes to those elements."""
    axis, shape = dimension(function, x, dim), x.shape
    x = x if x.ndim else np.reshape(x, (1,))
    indices = np.asarray(find(raw(x), axis), np.int64)
    values = np.take_along_axis(x, indices, axis)
    values, places = (_shaped(v, shape, axis, keepdim) for v in (values, like(x, indices)))
    return ValuesIndices(values, places)


def _shaped(v: Any, shape: tuple[int, ...], axis: int, keepdim: bool) -> Any:
    """As a result of that axis is shaped: without it, or with it, or a number where a number came."""
    if not shape:
        return np.reshape(v, ())
    return v if keepdim else np.squeeze(v, axis)


def _extreme(function: str, search: Any, pairwise: Any, over_all: Any, x: Any, dim: Any, keepdim: bool, other: Any) -> Any:
    other = dim if isinstance(dim, (Tensor, np.ndarray)) else other
    if other is not None:
        return pairwise(x, other)
    if dim is None:
        not_empty(function, x, None)
        return over_all(x, axis=None, keepdims=False)
    not_empty(function, x, (dimension(function, x, dim),))
    return _chosen(function, x, dim, lambda a, axis: np.expand_dims(search(a, axis), axis), keepdim)


@reduction
def max(self: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest of all elements; with a dim, (values, indices) along it; with another tensor, the larger of each two.

    NaN counts as the largest. The first of equal elements gives the index, and alone has the gradient; of all elements
    without a dim, equal ones share it.
    """
    return _extreme("max", np.argmax, np.maximum, reduce.max, self, dim, keepdim, other)


@reduction
def min(self: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The least of all elements; with a dim, (values, indices) along it; with another tensor, the lesser of each two.

    NaN counts as the least. The first of equal elements gives the index, and alone has the gradient; of all elements
    without a dim, equal ones share it.
    """
    return _extreme("min", np.argmin, np.minimum, reduce.min, self, dim, keepdim, other)


def _search(function: str, find: Any, x: Any, dim: int | None, keepdim: bool) -> Any:
    axis = None if dim is None else dimension(function, x, dim)
    not_empty(function, x, None if axis is None else (axis,))
    return like(x, find(raw(x), axis=axis if x.ndim else None, keepdims=keepdim))


@reduction
def argmax(self: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """Where the largest element (NaN, if there is one; the first of equal ones) is along an axis, or among all in row order."""
    return _search("argmax", np.argmax, self, dim, keepdim)


@reduction
def argmin(self: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """Where the least element (NaN, if there is one; the first of equal ones) is along an axis, or among all in row order."""
    return _search("argmin", np.argmin, self, dim, keepdim)


@reduction
def sort(self: Any, dim: int = -1, descending: bool = False, stable: bool = True) -> ValuesIndices:
    """(values, indices) in ascending or descending order along an axis; NaN counts as the largest.

    Equal elements always stay in their order, so `stable` changes nothing.
    """
    return _chosen("sort", self, dim, lambda a, axis: order.sorted_indices(a, axis, descending))


@reduction
def argsort(self: Any, dim: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The indices that sort along an axis, as in `sort`."""
    return sort(self, dim, descending).indices


@reduction
def topk(self: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesIndices:
    """(values, indices) of the k largest (or least) elements along an axis, the most extreme first; NaN counts as the largest.

    They always come sorted. Which ones of equal elements are taken at the edge is open.
    """
    _within("topk", k, 1 if self.ndim == 0 else 0, self, dim)
    return _chosen("topk", self, dim, lambda a, axis: order.top_indices(a, k, axis, largest))


@reduction
def kthvalue(self: Any, k: int, dim: int = -1, keepdim: bool = False) -> ValuesIndices:
    """(values, indices) of the k-th least element along an axis, k from 1; NaN counts as the largest."""
    _within("kthvalue", k, 1, self, dim)
    return _chosen("kthvalue", self, dim, lambda a, axis: np.take(order.sorted_indices(a, axis), [k - 1], axis), keepdim)


def _within(function: str, k: int, least: int, x: Any, dim: int) -> None:
    if not hasattr(k, "__index__"):
        raise TypeError(f"{function}: k is a whole number, got {k!r}")
    size = x.shape[dimension(function, x, dim)] if x.ndim else 1
    if not least <= k <= size:
        raise ValueError(f"{function}: k lies between {least} and {size}, the size of axis {dim} of {tuple(x.shape)}, got {k}")


@reduction
def median(self: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The median of all elements; with a dim, (values, indices) along it. Of an even number it is the lower of the middle two.

    NaN if an element is. Equal elements share the gradient of the median of all.
    """
    if dim is None:
        return order.median(self)
    not_empty("median", self, (dimension("median", self, dim),))
    return _chosen("median", self, dim, order.middle_indices, keepdim)


@method
def unique(
    self: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The distinct elements (with a dim: slices along it) in ascending order: values, or (values, inverse, counts) as asked.

    inverse says for each element (slice) which of the values it is. No gradient flows. NaN equals no other NaN.
    """
    x = raw(self)
    axis = None if dim is None else dimension("unique", x, dim)
    values, inverse, counts = np.unique(x, return_inverse=True, return_counts=True, axis=axis, equal_nan=False)
    inverse = inverse.reshape(x.shape if axis is None else -1)
    wanted = [values] + [inverse] * return_inverse + [counts] * return_counts
    results = tuple(like(self, v) for v in wanted)
    return results if len(results) > 1 else results[0]
