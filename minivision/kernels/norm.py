"""Layer and RMS normalisation and sums over rows on csrc/norm.inc.c."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._library import Kernel, empty, function, get_num_threads, pointer, takes, workspace

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


def dense(x: np.ndarray | None) -> Any:
    """x in C order, a copy only where it is not; None stays None."""
    return None if x is None else np.ascontiguousarray(x)


def _rows(x: np.ndarray, weight: Any, bias: Any, eps: float, centred: bool) -> tuple[np.ndarray, Any, np.ndarray]:
    """(y, mean, r); the mean only where the rows are centred."""
    n, row = x.shape[-1], (*x.shape[:-1], 1)
    y, mean, r = empty(x.shape, x.dtype), np.empty(row, x.dtype) if centred else None, np.empty(row, x.dtype)
    held = [dense(a) for a in (x, weight, bias)]
    results = map(pointer, (y, mean, r))
    function("layer_norm", x.dtype)(x.size // n, n, *map(pointer, held), eps, *results, get_num_threads())
    return y, mean, r


def _rows_vjp(dy: np.ndarray, x: np.ndarray, weight: Any, mean: Any, r: np.ndarray) -> tuple[np.ndarray, ...]:
    """(dx, dw, db)"""
    n = x.shape[-1]
    dx, dw, db = empty(x.shape, x.dtype), np.empty(n, x.dtype), np.empty(n, x.dtype)
    held = [dense(a) for a in (dy, x, weight, mean, r)]
    results = map(pointer, (dx, dw, db, workspace(2 * SUM_CHUNKS * n, x.dtype)))
    function("layer_norm_vjp", x.dtype)(x.size // n, n, *map(pointer, held), *results, get_num_threads())
    return dx, dw, db


def _layer_norm(x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, *, eps: float = 1e-5) -> Any:
    if not takes(x, weight, bias) or x.size == 0:
        return NotImplemented
    y, mean, r = _rows(x, weight, bias, eps, True)
    return y, (x, weight, mean, r, bias is not None)


def _layer_norm_vjp(dy: np.ndarray, kept: Any, *, needs: tuple[bool, ...], eps: float = 1e-5) -> Any:
    x, weight, mean, r, has_bias = kept
    if not takes(dy, x, weight) or dy.size == 0:
        return NotImplemented
    dx, dw, db = _rows_vjp(dy, x, weight, mean, r)
    return dx, None if weight is None else dw, db if has_bias else None


def _rms_norm(x: np.ndarray, weight: np.ndarray | None, *, eps: float = 1e-5) -> Any:
    if not takes(x, weight) or x.size == 0:
        return NotImplemented
    y, _, r = _rows(x, weight, None, eps, False)
    return y, (x, weight, r)


def _rms_norm_vjp(dy: np.ndarray, kept: Any, *, needs: tuple[bool, ...], eps: float = 1e-5) -> Any:
    x, weight, r = kept
    if not takes(dy, x, weight) or dy.size == 0:
        return NotImplemented
    dx, dw, _ = _rows_vjp(dy, x, weight, None, r)
    return dx, None if weight is None else dw


layer_norm = Kernel(_layer_norm, _layer_norm_vjp)
rms_norm = Kernel(_rms_norm, _rms_norm_vjp)
