"""Norms of vectors and of matrices, as torch.linalg has them and as Tensor.norm names them."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np

from .. import linalg, reduce
from .. import vector_norm as operation
from ._axes import dimension, dimensions
from .reductions import axes_of, floating, in_type, not_empty, reduction


@reduction
def norm(self: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    """(sum |x|^p)^(1/p) along one or more axes, or of all elements: p any number, inf, -inf or 0; "fro" is p = 2.

    p="nuc" is the sum of the singular values of a matrix. The gradient is 0 where the norm is 0.
    """
    if p == "nuc":
        return matrix_norm(self, "nuc", (-2, -1) if dim is None else dim, keepdim, dtype=dtype)
    return vector_norm(self, 2 if p in ("fro", None) else p, dim, keepdim, dtype=dtype)


def vector_norm(x: Any, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """(sum |x|^ord)^(1/ord) along one or more axes, or of all elements: ord any number, inf, -inf or 0."""
    x = floating("vector_norm", in_type(x, dtype))
    if not isinstance(ord, numbers.Real) or math.isnan(ord):
        raise ValueError(f"vector_norm: the order of a norm of vectors is a number, inf or -inf, got {ord!r}")
    axes = axes_of("vector_norm", x, dim)
    if ord < 0 or math.isinf(ord):
        not_empty("vector_norm", x, axes)
    return operation.vector_norm(x, p=float(ord), axis=axes, keepdims=keepdim)


def matrix_norm(A: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The norm of the matrices that lie along two axes.

    "fro": the root of the squares' sum; "nuc": the sum of the singular values; 2, -2: the largest, the least of them;
    1, -1: the largest, the least sum of |a| over a column; inf, -inf: over a row.
    """
    x = floating("matrix_norm", in_type(A, dtype))
    axes = dimensions("matrix_norm", x, dim)
    if len(axes) != 2:
        raise ValueError(f"matrix_norm: two axes are needed, got dim={dim!r} for shape {tuple(x.shape)}")
    if ord == "fro":
        y = vector_norm(x, 2, axes)
    elif ord in ("nuc", 2, -2):
        others = [a for a in range(x.ndim) if a not in axes]
        y = _of_line(linalg.svdvals(np.transpose(x, (*others, *axes))), ord, -1)
    elif ord in (1, -1, math.inf, -math.inf):
        first, second = axes if abs(ord) == 1 else axes[::-1]
        y = _of_line(vector_norm(x, 1, first), math.copysign(2, ord), second - (second > first))
    else:
        raise ValueError(f'matrix_norm: ord is "fro", "nuc", 1, -1, 2, -2, inf or -inf, got {ord!r}')
    return np.reshape(y, tuple(1 if a in axes else n for a, n in enumerate(x.shape))) if keepdim else y


def _of_line(values: Any, ord: Any, axis: int) -> Any:
    """The sum ("nuc"), the largest (2) or the least (-2) along an axis."""
    if ord == "nuc":
        return reduce.sum(values, axis=axis)
    not_empty("matrix_norm", values, (axis,))
    return (reduce.max if ord > 0 else reduce.min)(values, axis=axis, keepdims=False)


def either_norm(A: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """A norm of vectors or of matrices, as dim names one axis or two; without a dim, as A has one axis or two.

    Without an order it is the root of the squares' sum, over dim or over all elements.
    """
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    if dim is None and A.ndim not in (1, 2):
        raise ValueError(f"norm: with an order but no dim a vector or a matrix is needed, got shape {tuple(A.shape)}")
    axes = tuple(range(A.ndim)) if dim is None else dim
    if isinstance(axes, (tuple, list)) and len(axes) == 2:
        return matrix_norm(A, ord, axes, keepdim, dtype=dtype)
    return vector_norm(A, ord, dimension("norm", A, axes[0] if isinstance(axes, (tuple, list)) else axes), keepdim, dtype=dtype)
