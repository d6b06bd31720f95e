"""Products of vectors, matrices and arrays under torch's names: of a Tensor as methods, of arrays too as mv.f(a, b)."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ...errors import ShapeError
from ...tape import METHODS, NUMPY
from .. import matmul as products
from ..einsum import contract
from ._axes import dimensions
from ._register import method
from .norms import either_norm


def _axes(function: str, counts: tuple[int, ...], *arrays: Any) -> None:
    """ShapeError unless the arrays have these numbers of axes."""
    if tuple(x.ndim for x in arrays) != counts:
        problem = f"arguments of {' and '.join(map(str, counts))} axes are needed"
        raise ShapeError(function, problem, _shapes(*arrays), "matmul takes any number of axes, and broadcasts")


def _shapes(*arrays: Any) -> str:
    return ", ".join(f"{tuple(x.shape)} {x.dtype}" for x in arrays)


@method
def matmul(self: Any, other: Any) -> Any:
    """The matrix product over the last two axes; leading axes broadcast. A vector on the left is a row, on the right a column."""
    if min(self.ndim, other.ndim) >= 2:
        return products.matmul(self, other)
    if min(self.ndim, other.ndim) == 0:
        raise ShapeError("matmul", "a number is no matrix", _shapes(self, other), "use * to scale")
    a = np.expand_dims(self, 0) if self.ndim == 1 else self
    b = np.expand_dims(other, 1) if other.ndim == 1 else other
    y = products.matmul(a, b)
    y = np.squeeze(y, -1) if other.ndim == 1 else y
    return np.squeeze(y, -1 if other.ndim == 1 else -2) if self.ndim == 1 else y


@method
def mm(self: Any, mat2: Any) -> Any:
    """(M, K) (K, N) -> (M, N)"""
    _axes("mm", (2, 2), self, mat2)
    return products.matmul(self, mat2)


@method
def bmm(self: Any, mat2: Any) -> Any:
    """(B, M, K) (B, K, N) -> (B, M, N)"""
    _axes("bmm", (3, 3), self, mat2)
    if self.shape[0] != mat2.shape[0]:
        raise ShapeError("bmm", "axis 0, the batch, should agree", _shapes(self, mat2), "matmul broadcasts it")
    return products.matmul(self, mat2)


@method
def mv(self: Any, vec: Any) -> Any:
    """(M, K) (K) -> (M)"""
    _axes("mv", (2, 1), self, vec)
    return matmul(self, vec)


@method
def dot(self: Any, tensor: Any) -> Any:
    """(N) (N) -> (): the sum of the elements' products"""
    _axes("dot", (1, 1), self, tensor)
    return matmul(self, tensor)


def _added(x: Any, product: Any, beta: float, alpha: float) -> Any:
    """beta x + alpha product; with beta = 0, x counts for nothing, NaN or not."""
    scaled = product if alpha == 1 else alpha * product
    return scaled if beta == 0 else (x if beta == 1 else beta * x) + scaled


@method
def addmm(self: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta self + alpha mat1 mat2;  mat1 (M, K), mat2 (K, N), self broadcast to (M, N)"""
    return _added(self, mm(mat1, mat2), beta, alpha)


@method
def baddbmm(self: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta self + alpha batch1 batch2;  batch1 (B, M, K), batch2 (B, K, N), self broadcast to (B, M, N)"""
    return _added(self, bmm(batch1, batch2), beta, alpha)


@method
def outer(self: Any, vec2: Any) -> Any:
    """(M) (N) -> (M, N): y_ij = a_i b_j"""
    _axes("outer", (1, 1), self, vec2)
    return np.expand_dims(self, 1) * np.expand_dims(vec2, 0)


@method
def kron(self: Any, other: Any) -> Any:
    """Kronecker's product: each element of the first times the whole second; the shorter shape gets 1s in front."""
    n = max(self.ndim, other.ndim)
    a, b = ((1,) * (n - x.ndim) + tuple(x.shape) for x in (self, other))
    spread = tuple(size for m in a for size in (m, 1)), tuple(size for m in b for size in (1, m))
    y = np.reshape(self, spread[0]) * np.reshape(other, spread[1])
    return np.reshape(y, tuple(map(operator.mul, a, b)))


def tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    """The sum of products over the last `dims` axes of a and the first of b, or over axes given as two lists."""
    if hasattr(dims, "__index__"):
        n = operator.index(dims)
        if not 0 <= n <= min(a.ndim, b.ndim):
            raise ValueError(f"tensordot: dims lies between 0 and {min(a.ndim, b.ndim)} for these arrays, got {n}")
        dims = range(a.ndim - n, a.ndim), range(n)
    in_a, in_b = dimensions("tensordot", a, list(dims[0])), dimensions("tensordot", b, list(dims[1]))
    if [a.shape[i] for i in in_a] != [b.shape[i] for i in in_b]:
        raise ShapeError("tensordot", f"axes {in_a} and {in_b} have other sizes", _shapes(a, b), "axes that meet agree in size")
    left = np.transpose(a, (*(i for i in range(a.ndim) if i not in in_a), *in_a))
    right = np.transpose(b, (*in_b, *(i for i in range(b.ndim) if i not in in_b)))
    return contract(left, right, 0, len(in_a))


NUMPY[np.matmul] = METHODS["__matmul__"] = matmul
NUMPY[np.outer], NUMPY[np.kron] = outer, kron
NUMPY[np.tensordot] = lambda a, b, axes=2: tensordot(a, b, axes)
NUMPY[np.linalg.norm] = lambda x, ord=None, axis=None, keepdims=False: either_norm(x, ord, axis, keepdims)
