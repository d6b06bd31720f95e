"""Sums, means, extremes, norms under torch's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...tape import METHODS, Tensor
from .. import reduce, shape
from ._register import method


def _reduction(reduce_op: Any) -> Callable[..., Any]:
    def reduced(self: Tensor, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False) -> Any:
        along = dim if axis is None else axis
        return reduce_op(self, axis=tuple(along) if isinstance(along, list) else along, keepdims=keepdim or keepdims)

    return reduced


METHODS["sum"], METHODS["mean"] = _reduction(reduce.sum), _reduction(reduce.mean)
METHODS["amax"], METHODS["amin"] = _reduction(reduce.max), _reduction(reduce.min)


def _with_indices(reduce_op: Any, find: Any) -> Callable[..., Any]:
    def reduced(self: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
        if dim is None:
            return reduce_op(self, axis=None, keepdims=False)
        indices = np.expand_dims(find(self.data, axis=dim), dim)
        values: Any = shape.gather(self, indices, axis=dim)
        return (values, Tensor(indices)) if keepdim else (np.squeeze(values, dim), Tensor(indices.squeeze(dim)))

    return reduced


METHODS["max"], METHODS["min"] = _with_indices(reduce.max, np.argmax), _with_indices(reduce.min, np.argmin)
METHODS["argmax"] = lambda self, dim=None, keepdim=False: Tensor(np.asarray(np.argmax(self.data, axis=dim, keepdims=keepdim)))
METHODS["argmin"] = lambda self, dim=None, keepdim=False: Tensor(np.asarray(np.argmin(self.data, axis=dim, keepdims=keepdim)))
METHODS["any"] = lambda self, dim=None: Tensor(np.asarray(np.any(self.data, axis=dim)))
METHODS["all"] = lambda self, dim=None: Tensor(np.asarray(np.all(self.data, axis=dim)))


@method
def var(self: Tensor, dim: Any = None, correction: int = 1, keepdim: bool = False) -> Tensor:
    """Variance with Bessel's correction, as torch has it."""
    return reduce.var(self, axis=dim, correction=correction, keepdims=keepdim)


@method
def std(self: Tensor, dim: Any = None, correction: int = 1, keepdim: bool = False) -> Tensor:
    """The square root of var."""
    return np.sqrt(var(self, dim, correction, keepdim))


@method
def norm(self: Tensor) -> Tensor:
    """The Euclidean norm of all elements."""
    return np.sqrt(reduce.sum(self * self))
