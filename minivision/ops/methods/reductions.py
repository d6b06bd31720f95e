"""Sums, products, means, variances, running sums, counts under torch's names: of a Tensor as methods, of an array as mv.f(x)."""

from __future__ import annotations

import builtins
import functools
import operator
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import DtypeError
from ...tape import Tensor
from .. import elementwise, reduce, scan, vector_norm
from ..elementwise import raw
from ._axes import dimension, dimensions
from ._register import method


def reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a function a method of every Tensor that also takes NumPy's names, axis and keepdims."""

    @functools.wraps(function)
    def named(self: Any, *args: Any, **kwargs: Any) -> Any:
        for theirs, ours in (("axis", "dim"), ("keepdims", "keepdim")):
            if theirs in kwargs:
                kwargs[ours] = kwargs.pop(theirs)
        return function(self, *args, **kwargs)

    return method(named)


def like(x: Any, result: Any) -> Any:
    """A result without a gradient: a Tensor for a Tensor, an array for an array."""
    return Tensor(np.asarray(result)) if isinstance(x, Tensor) else np.asarray(result)


def axes_of(function: str, x: Any, dim: Any) -> tuple[int, ...] | None:
    """The axes of a reduction; None for all of them, which in torch dim=() means too."""
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        return None
    axes = dimensions(function, x, dim)
    return axes if x.ndim else ()


def in_type(x: Any, dtype: Any) -> Any:
    """x in another element type, where one is asked for."""
    return x if dtype is None or x.dtype == dtype else elementwise.cast(x, dtype=np.dtype(dtype))


def floating(function: str, x: Any) -> Any:
    """x itself; DtypeError where its elements are whole numbers, which have no such result."""
    if x.dtype.kind != "f":
        raise DtypeError(f"{function}: floating-point elements are needed, got {x.dtype}; convert with .float() or dtype=")
    return x


def not_empty(function: str, x: Any, axes: Any) -> None:
    """ValueError where there is nothing to choose from along the axes (None: in all of x)."""
    if 0 in [x.shape[a] for a in (range(x.ndim) if axes is None or not x.ndim else axes)]:
        where = "" if axes is None else f" along axis {', '.join(map(str, axes))}"
        raise ValueError(f"{function}: there is no element to choose{where} in shape {tuple(x.shape)}")


# ------------------------------------------------------------------------------------------------------ sums, means


@reduction
def sum(self: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The sum along one or more axes, or of all elements."""
    return reduce.sum(in_type(self, dtype), axis=axes_of("sum", self, dim), keepdims=keepdim)


@reduction
def mean(self: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The mean along one or more axes, or of all elements."""
    x = floating("mean", in_type(self, dtype))
    return reduce.mean(x, axis=axes_of("mean", x, dim), keepdims=keepdim)


@reduction
def prod(self: Any, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The product along an axis, or of all elements. Its gradient is right where elements are 0, too."""
    x = in_type(self, dtype)
    axis = None if dim is None else dimension("prod", x, dim)
    return reduce.prod(x, axis=axis if x.ndim else None, keepdims=keepdim and axis is not None)


def _correction(dim: Any, unbiased: bool | None, correction: float | None) -> tuple[Any, float]:
    """(dim, what n is corrected by): torch also takes unbiased in the place of dim, or instead of a correction."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise ValueError("unbiased and correction say the same thing: give one of them")
    return dim, (1 if correction is None else correction) if unbiased is None else int(unbiased)


@reduction
def var(
    self: Any, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None
) -> Any:
    """The variance along one or more axes: the sum of squares around the mean, divided by n - correction (by default 1).

    unbiased=False is correction=0. Where n does not exceed the correction it is divided by 0.
    """
    dim, correction = _correction(dim, unbiased, correction)
    axes = axes_of("var", self, dim)
    return reduce.var(floating("var", self), axis=axes, correction=correction, keepdims=keepdim)


@reduction
def std(
    self: Any, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None
) -> Any:
    """The standard deviation, the square root of `var`; its gradient is 0 where it is 0."""
    dim, correction = _correction(dim, unbiased, correction)
    axes = axes_of("std", self, dim)
    return reduce.std(floating("std", self), axis=axes, correction=correction, keepdims=keepdim)


def var_mean(input: Any, dim: Any = None, *, correction: float = 1, keepdim: bool = False) -> tuple[Any, Any]:
    """(variance, mean)"""
    return var(input, dim, correction=correction, keepdim=keepdim), mean(input, dim, keepdim)


def std_mean(input: Any, dim: Any = None, *, correction: float = 1, keepdim: bool = False) -> tuple[Any, Any]:
    """(standard deviation, mean)"""
    return std(input, dim, correction=correction, keepdim=keepdim), mean(input, dim, keepdim)


@reduction
def amax(self: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element along one or more axes, NaN if one is; ties share the gradient."""
    axes = axes_of("amax", self, dim)
    not_empty("amax", self, axes)
    return reduce.max(self, axis=axes, keepdims=keepdim)


@reduction
def amin(self: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The least element along one or more axes, NaN if one is; ties share the gradient."""
    axes = axes_of("amin", self, dim)
    not_empty("amin", self, axes)
    return reduce.min(self, axis=axes, keepdims=keepdim)


@reduction
def logsumexp(self: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """log sum exp along one or more axes, without overflow; -inf, with gradient 0, where all elements are -inf."""
    return vector_norm.logsumexp(floating("logsumexp", self), axis=axes_of("logsumexp", self, dim), keepdims=keepdim)


# -------------------------------------------------------------------------------------------------- running results


def _running(function: str, scan_op: Any, x: Any, dim: int) -> Any:
    axis = dimension(function, x, dim)
    return scan_op(x, axis=axis) if x.ndim else np.reshape(scan_op(np.reshape(x, (1,)), axis=0), ())


@reduction
def cumsum(self: Any, dim: int, *, dtype: Any = None) -> Any:
    """The sums of the elements up to each one along an axis."""
    return _running("cumsum", scan.cumsum, in_type(self, dtype), dim)


@reduction
def cumprod(self: Any, dim: int, *, dtype: Any = None) -> Any:
    """The products of the elements up to each one along an axis. Its gradient is right where elements are 0, too."""
    return _running("cumprod", scan.cumprod, in_type(self, dtype), dim)


# ----------------------------------------------------------------------------------------- counts: no gradient flows


def _logical(function: str, test: Any, x: Any, dim: Any, keepdim: bool) -> Any:
    axes = None if dim is None else dimensions(function, x, dim)
    return like(x, test(raw(x), axis=() if not x.ndim else axes, keepdims=keepdim))


@reduction
def any(self: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether an element is not 0, along one or more axes or anywhere; False where there is none."""
    return _logical("any", np.any, self, dim, keepdim)


@reduction
def all(self: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether no element is 0, along one or more axes or anywhere; True where there is none."""
    return _logical("all", np.all, self, dim, keepdim)


@reduction
def count_nonzero(self: Any, dim: Any = None) -> Any:
    """How many elements are not 0, along one or more axes or in all."""
    return like(self, np.sum(raw(self) != 0, axis=axes_of("count_nonzero", self, dim), dtype=np.int64))


@method
def bincount(self: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each number from 0 to the largest, and at least to minlength - 1, stands in a vector; or their weights' sums."""
    x, w = raw(self), raw(weights)
    if x.ndim != 1 or x.dtype.kind not in "iub" or (x.size and x.min() < 0):
        raise ValueError(f"bincount: a vector of whole numbers from 0 is needed, got shape {x.shape} of {x.dtype}")
    if minlength < 0 or (w is not None and w.shape != x.shape):
        came = f"weights {None if w is None else w.shape}, input {x.shape}, minlength {minlength}"
        raise ValueError(f"bincount: minlength is at least 0 and weights have the input's shape, got {came}")
    length = builtins.max(operator.index(minlength), int(x.max()) + 1 if x.size else 0)
    if 8 * length > sys.maxsize:
        raise MemoryError(f"bincount: {length} counts take {8 * length} bytes")
    counts = np.bincount(x.astype(np.int64, copy=False), w, minlength)
    return like(self, counts.astype(w.dtype) if w is not None and w.dtype == np.float32 else counts)
