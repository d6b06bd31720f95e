"""Layer normalisation and sums over rows on csrc/norm.inc.c."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._library import Kernel, function, get_num_threads, pointer, takes, workspace

SUM_CHUNKS = 16  # as in norm.inc.c


def sum_rows(x: np.ndarray) -> np.ndarray:
    """x(M, N) -> (N): the sum of the rows, the same bits for any number of threads."""
    if not takes(x) or (x.shape[1] > 1 and x.strides[1] != x.itemsize):
        return x.sum(axis=0)
    y = np.empty(x.shape[1], x.dtype)
    partial = workspace(SUM_CHUNKS * x.shape[1], x.dtype)
    function("sum_rows", x.dtype)(
        *x.shape, pointer(x), x.strides[0] // x.itemsize, pointer(y), pointer(partial), get_num_threads()
    )
    return y


def _dense(x: np.ndarray | None) -> Any:
    return None if x is None else np.ascontiguousarray(x)


def _layer_norm(x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, *, eps: float = 1e-5) -> Any:
    if not takes(x, weight, bias) or x.size == 0:
        return NotImplemented
    n, dense = x.shape[-1], np.ascontiguousarray(x)
    y, mean, r = np.empty(x.shape, x.dtype), np.empty((*x.shape[:-1], 1), x.dtype), np.empty((*x.shape[:-1], 1), x.dtype)
    w, b = _dense(weight), _dense(bias)
    arrays = map(pointer, (dense, w, b))
    function("layer_norm", x.dtype)(x.size // n, n, *arrays, eps, pointer(y), pointer(mean), pointer(r), get_num_threads())
    return y, (x, weight, mean, r, bias is not None)


def _layer_norm_vjp(dy: np.ndarray, kept: Any, *, needs: tuple[bool, ...], eps: float = 1e-5) -> Any:
    x, weight, mean, r, has_bias = kept
    if not takes(dy, x, weight) or dy.size == 0:
        return NotImplemented
    n = x.shape[-1]
    dx, dw, db = np.empty(x.shape, x.dtype), np.empty(n, x.dtype), np.empty(n, x.dtype)
    held = [_dense(a) for a in (dy, x, weight, mean, r)]
    partial = workspace(2 * SUM_CHUNKS * n, x.dtype)
    function("layer_norm_vjp", x.dtype)(
        x.size // n, n, *map(pointer, held), pointer(dx), pointer(dw), pointer(db), pointer(partial), get_num_threads()
    )
    return dx, None if weight is None else dw, db if has_bias else None


layer_norm = Kernel(_layer_norm, _layer_norm_vjp)
