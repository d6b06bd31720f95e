"""torch.linalg's names, over small matrices (..., N, N); leading axes are a batch.

A matrix that does not allow what is asked is a numpy.linalg.LinAlgError, which names the function and what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..errors import DtypeError, ShapeError
from ..ops import linalg as operations
from ..ops.methods.norms import either_norm as norm
from ..ops.methods.norms import matrix_norm, vector_norm

__all__ = [
    "Eigenpairs", "SignAndLog", "cholesky", "det", "eigh", "eigvalsh", "inv", "matrix_norm", "norm", "slogdet", "solve",
    "svdvals", "vector_norm",
]  # fmt: skip


class SignAndLog(NamedTuple):
    """A determinant as its sign and the logarithm of its size."""

    sign: Any
    logabsdet: Any


class Eigenpairs(NamedTuple):
    """Eigenvalues (..., N) and eigenvectors (..., N, N), one in each column."""

    eigenvalues: Any
    eigenvectors: Any


def _run(function: str, hint: str, operation: Callable[..., Any], *arrays: Any) -> Any:
    """The operation on floating-point arrays; LAPACK's complaint with the function's name and what to do."""
    for x in arrays:
        if x.dtype.kind != "f":
            raise DtypeError(f"linalg.{function}: floating-point matrices are needed, got {x.dtype}; convert with .float()")
    try:
        return operation(*arrays)
    except np.linalg.LinAlgError as error:
        shapes = ", ".join(str(tuple(x.shape)) for x in arrays)
        raise np.linalg.LinAlgError(f"linalg.{function}: {error} among the matrices {shapes}\n  hint: {hint}") from error


_SINGULAR = "add a small multiple of the unit matrix"


def solve(A: Any, B: Any, *, left: bool = True) -> Any:
    """X of A X = B, or of X A = B with left=False.  A (..., N, N), B (..., N, K), or (N), or a batch (..., N) as A has it."""
    vector = B.ndim == 1 or (B.ndim == A.ndim - 1 and tuple(B.shape) == tuple(A.shape[:-1]))
    if vector and not left:
        raise ShapeError("linalg.solve", "left=False needs a matrix B", f"{tuple(A.shape)}, {tuple(B.shape)}", "use B[None]")
    if vector:
        return np.squeeze(_run("solve", _SINGULAR, operations.solve, A, np.expand_dims(B, -1)), -1)
    if left:
        return _run("solve", _SINGULAR, operations.solve, A, B)
    turned = _run("solve", _SINGULAR, operations.solve, np.swapaxes(A, -1, -2), np.swapaxes(B, -1, -2))
    return np.swapaxes(turned, -1, -2)


def inv(A: Any) -> Any:
    """The inverse."""
    return _run("inv", _SINGULAR, operations.inv, A)


def det(A: Any) -> Any:
    """The determinant (...). Its gradient is right where A is singular, too; there it has no second one."""
    return _run("det", _SINGULAR, operations.det, A)


def slogdet(A: Any) -> SignAndLog:
    """(sign, logabsdet) with det A = sign exp(logabsdet); 0 and -inf for a singular matrix, which has no gradient."""
    return SignAndLog(*_run("slogdet", _SINGULAR, operations.slogdet, A))


def cholesky(A: Any, *, upper: bool = False) -> Any:
    """L, lower triangular, with L L^T = A; or its transpose. Of a matrix that is not symmetric, (A + A^T) / 2 counts."""
    hint = "it should be positive definite; " + _SINGULAR
    lower = _run("cholesky", hint, operations.cholesky, A)
    return np.swapaxes(lower, -1, -2) if upper else lower


def eigh(A: Any, UPLO: str = "L") -> Eigenpairs:
    """(eigenvalues, ascending, eigenvectors) of a symmetric matrix. Of another, (A + A^T) / 2 counts, whatever UPLO.

    In each eigenvector the largest element is positive. In the space of an eigenvalue that comes exactly twice the
    vectors have no derivative: what flows back is right for what depends on such a space as a whole (see ops.linalg).
    """
    if UPLO not in ("L", "U"):
        raise ValueError(f'linalg.eigh: UPLO is "L" or "U", got {UPLO!r}')
    return Eigenpairs(*_run("eigh", "the matrix should be finite", operations.eigenpairs, A))


def eigvalsh(A: Any, UPLO: str = "L") -> Any:
    """The eigenvalues of a symmetric matrix, ascending."""
    return eigh(A, UPLO).eigenvalues


def svdvals(A: Any) -> Any:
    """The singular values (..., min(M, N)) of matrices (..., M, N), descending; no second derivative."""
    return _run("svdvals", "the matrix should be finite", operations.svdvals, A)
