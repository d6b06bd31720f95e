"""Small linear algebra: NumPy's LAPACK computes it, the derivatives are closed forms. Leading axes are a batch.

Giles 2008, Collected matrix derivative results for forward and reverse mode algorithmic differentiation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..op import op
from ..tape import NUMPY, Tensor
from .elementwise import raw, unbroadcast
from .matmul import matmul, transpose_last
from .scan import before, reverse


def symmetric(a: Any) -> Any:
    """(a + a^T) / 2"""
    return 0.5 * (a + transpose_last(a))


def _solve(a, b):
    """y = a^{-1} b

    shapes: a(..., N, N), b(..., N, K) -> y(..., N, K);  keeps: a, y, shape of b
    """
    y = np.linalg.solve(a, np.reshape(b, (1,) * (a.ndim - b.ndim) + b.shape))
    return y, (a, y, b.shape)


def _solve_vjp(dy, kept):
    """db = a^{-T} dy,  da = -db y^T"""
    a, y, shape = kept
    db = solve(transpose_last(a), dy)
    return unbroadcast(-matmul(db, transpose_last(y)), a.shape), unbroadcast(db, shape)


def _inv(a):
    """y = a^{-1}

    shapes: a(..., N, N) -> y(..., N, N);  keeps: y
    """
    y = np.linalg.inv(a)
    return y, (y,)


def _inv_vjp(dy, kept):
    """da = -y^T dy y^T"""
    y = transpose_last(kept[0])
    return -matmul(matmul(y, dy), y)


def cofactors(a: Any) -> Any:
    """det(a) a^{-T}, the derivative of det(a). On arrays by singular values, so that a may be singular:

    for a = u diag(s) v^T it is det(u) det(v) u diag(prod_{j != i} s_j) v^T. On Tensors, for a second derivative, by the
    inverse: there a singular matrix is a LinAlgError.
    """
    if isinstance(a, Tensor):
        return det(a)[..., None, None] * transpose_last(inv(a))
    u, s, vt = np.linalg.svd(a)
    others = before(s, -1) * reverse(before(reverse(s, -1), -1), -1)
    turned = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    return turned[..., None, None] * np.matmul(u * others[..., None, :], vt)


def _det(a):
    """y = det a

    shapes: a(..., N, N) -> y(...);  keeps: a
    """
    return np.linalg.det(a), (a,)


def _det_vjp(dy, kept):
    """da = dy det(a) a^{-T}"""
    return dy[..., None, None] * cofactors(kept[0])


def _logabsdet(a):
    """y = log |det a|, -inf where a is singular

    shapes: a(..., N, N) -> y(...);  keeps: a
    """
    return np.linalg.slogdet(a)[1], (a,)


def _logabsdet_vjp(dy, kept):
    """da = dy a^{-T}"""
    return dy[..., None, None] * transpose_last(inv(kept[0]))


def _cholesky(a):
    """y y^T = (a + a^T) / 2, y lower triangular

    shapes: a(..., N, N) -> y(..., N, N);  keeps: y
    """
    y = np.linalg.cholesky(symmetric(a))
    return y, (y,)


def _cholesky_vjp(dy, kept):
    """da = symmetric part of y^{-T} P y^{-1},  P = y^T dy: of it the lower triangle and half the diagonal

    Murray 2016, Differentiation of the Cholesky decomposition, eq. 9 and 10.
    """
    yt = transpose_last(kept[0])
    n = yt.shape[-1]
    p = matmul(yt, dy) * (np.tri(n) - 0.5 * np.eye(n)).astype(dy.dtype)
    return symmetric(solve(yt, transpose_last(solve(yt, p))))


def _eigh(a):
    """y = (w; v): the row w of eigenvalues, ascending, over the matrix v of eigenvectors, its columns; of (a + a^T) / 2

    In each column the element of largest size is positive: an eigenvector has no sign of its own.
    shapes: a(..., N, N) -> y(..., N + 1, N);  keeps: w, v
    """
    w, v = np.linalg.eigh(symmetric(a))
    most, least = (f(raw(v), axis=-2, keepdims=True, initial=0.0) for f in (np.max, np.min))
    v = v * np.where(most < -least, -1.0, 1.0).astype(v.dtype)
    return np.concatenate([w[..., None, :], v], -2), (w, v)


def _eigh_vjp(dy, kept):
    """da = symmetric part of v (diag(dw) + F * (v^T dv)) v^T,  F_ij = 1 / (w_j - w_i), and 0 where w_i = w_j

    In the space of a repeated eigenvalue no eigenvector is distinguished, and none has a derivative. What depends on the
    eigenvalues, or on such a space as a whole, does; for that the 0 is exact. Near a repeated one, F is as large as it is.
    """
    w, v = kept
    dw, dv = dy[..., 0, :], dy[..., 1:, :]
    gap = w[..., None, :] - w[..., None]
    equal = raw(gap) == 0
    turn = matmul(transpose_last(v), dv) * np.where(equal, 0.0, 1.0 / np.where(equal, 1.0, gap))
    inner = turn + dw[..., None, :] * np.eye(w.shape[-1], dtype=dy.dtype)
    return symmetric(matmul(matmul(v, inner), transpose_last(v)))


def _svdvals(a):
    """y = the singular values of a, descending

    shapes: a(..., M, N) -> y(..., K), K = min(M, N);  keeps: u, v^T
    """
    u, y, vt = np.linalg.svd(raw(a), full_matrices=False)
    return y, (u, vt)


def _svdvals_vjp(dy, kept):
    """da = u diag(dy) v^T"""
    u, vt = kept
    return np.matmul(u * dy[..., None, :], vt)


def slogdet(a: Any) -> tuple[Any, Any]:
    """(sign of det a, log |det a|): the sign has no gradient."""
    log = logabsdet(a)
    sign = np.asarray(np.linalg.slogdet(raw(a))[0])
    return Tensor(sign) if isinstance(a, Tensor) else sign, log


def eigenpairs(a: Any) -> tuple[Any, Any]:
    """(w, v): eigenvalues (..., N), ascending, and eigenvectors (..., N, N), in columns."""
    y = eigh(a)
    return y[..., 0, :], y[..., 1:, :]


solve = op("solve", _solve, _solve_vjp, numpy=np.linalg.solve)
inv = op("inv", _inv, _inv_vjp, numpy=np.linalg.inv)
det = op("det", _det, _det_vjp, numpy=np.linalg.det)
logabsdet = op("logabsdet", _logabsdet, _logabsdet_vjp)
cholesky = op("cholesky", _cholesky, _cholesky_vjp, numpy=np.linalg.cholesky)
eigh = op("eigh", _eigh, _eigh_vjp)
svdvals = op("svdvals", _svdvals, _svdvals_vjp, once="the derivatives of singular vectors are not written here; use eigh")
NUMPY[np.linalg.slogdet], NUMPY[np.linalg.eigh] = slogdet, eigenpairs
