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


def _each_row(x: np.ndarray) -> np.ndarray:
    """(*, 1): memory for a number for each row of x."""
    return np.empty((*x.shape[:-1], 1), x.dtype)


def _rows(x: np.ndarray, residual: Any, weight: Any, bias: Any, eps: float, *results: Any) -> None:
    """Fills results = (total, y, mean, r): total only where there is a residual, mean only where rows are centred."""
    n = x.shape[-1]
    held = [dense(a) for a in (x, residual, weight, bias)]
    function("layer_norm", x.dtype)(x.size // n, n, *map(pointer, held), eps, *map(pointer, results), get_num_threads())


def _rows_vjp(dy: np.ndarray, x: np.ndarray, weight: Any, mean: Any, r: np.ndarray, ds: Any = None) -> tuple[np.ndarray, ...]:
    """(dx, dw, db), dx with ds added where that is given."""
    n = x.shape[-1]
    dx, dw, db = empty(x.shape, x.dtype), np.empty(n, x.dtype), np.empty(n, x.dtype)
    held = [dense(a) for a in (ds, dy, x, weight, mean, r)]
    results = map(pointer, (dx, dw, db, workspace(2 * SUM_CHUNKS * n, x.dtype)))
    function("layer_norm_vjp", x.dtype)(x.size // n, n, *map(pointer, held), *results, get_num_threads())
    return dx, dw, db


def _layer_norm(x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, *, eps: float = 1e-5) -> Any:
    if not takes(x, weight, bias) or x.size == 0:
        return NotImplemented
    y, mean, r = empty(x.shape, x.dtype), _each_row(x), _each_row(x)
    _rows(x, None, weight, bias, eps, None, y, mean, r)
    return y, (x, weight, mean, r, bias is not None)


def _layer_norm_vjp(dy: np.ndarray, kept: Any, *, needs: tuple[bool, ...], eps: float = 1e-5) -> Any:
    x, weight, mean, r, has_bias = kept
    if not takes(dy, x, weight) or dy.size == 0:
        return NotImplemented
    dx, dw, db = _rows_vjp(dy, x, weight, mean, r)
    return dx, None if weight is None else dw, db if has_bias else None


def _add_layer_norm(x: np.ndarray, residual: np.ndarray, weight: Any, bias: Any, *, eps: float = 1e-5) -> Any:
    if not takes(x, residual, weight, bias) or x.size == 0:
        return NotImplemented
    y, mean, r = empty((2, *x.shape), x.dtype), _each_row(x), _each_row(x)
    _rows(x, residual, weight, bias, eps, *y, mean, r)
    return y, (y, weight, mean, r, bias is not None)


def _add_layer_norm_vjp(parts: Any, kept: Any, *, needs: tuple[bool, ...], eps: float = 1e-5) -> Any:
    y, weight, mean, r, has_bias = kept
    ds, dy = parts[0], parts[1]
    if not takes(ds, dy, y, weight) or dy.size == 0:
        return NotImplemented
    dx, dw, db = _rows_vjp(dy, y[0], weight, mean, r, ds)
    return dx, dx, None if weight is None else dw, db if has_bias else None


def _rms_norm(x: np.ndarray, weight: np.ndarray | None, *, eps: float = 1e-5) -> Any:
    if not takes(x, weight) or x.size == 0:
        return NotImplemented
    y, r = empty(x.shape, x.dtype), _each_row(x)
    _rows(x, None, weight, None, eps, None, y, None, r)
    return y, (x, weight, r)


def _rms_norm_vjp(dy: np.ndarray, kept: Any, *, needs: tuple[bool, ...], eps: float = 1e-5) -> Any:
    x, weight, r = kept
    if not takes(dy, x, weight) or dy.size == 0:
        return NotImplemented
    dx, dw, _ = _rows_vjp(dy, x, weight, None, r)
    return dx, None if weight is None else dw


layer_norm = Kernel(_layer_norm, _layer_norm_vjp)
add_layer_norm = Kernel(_add_layer_norm, _add_layer_norm_vjp)
rms_norm = Kernel(_rms_norm, _rms_norm_vjp)
