"""Matrix products on csrc/gemm.inc.c."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from ._library import Kernel, empty, function, get_num_threads, pointer, takes
from .norm import sum_rows


def product(a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """a(..., M, K) b(..., K, N) + bias(N) -> (..., M, N), leading axes broadcast; either operand may be any strided view."""
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    if a.ndim == b.ndim == 2:
        return _plain(a, b, None if bias is None else np.ascontiguousarray(bias))
    if b.ndim == 2 and a.ndim > 2:  # one weight for the whole batch: one tall product
        return product(rows_of(a), b, bias).reshape(*a.shape[:-1], n)
    bias = None if bias is None else np.ascontiguousarray(bias)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    c = empty((*batch, m, n), a.dtype)
    a, b = np.broadcast_to(a, (*batch, m, k)), np.broadcast_to(b, (*batch, k, n))
    for index in np.ndindex(batch[:-2]):  # the kernel walks the last two batch axes itself
        if c.size:
            _gemm(a[index], b[index], c[index], bias)
    return c


def _plain(a: np.ndarray, b: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """One product, by the shortest way to the kernel: of small matrices the way takes longer than the product."""
    (m, k), n, size = a.shape, b.shape[1], a.itemsize
    (a_i, a_p), (b_p, b_j), c = a.strides, b.strides, empty((m, n), a.dtype)
    if c.size:
        gemm, space, threads = _prepared(a.dtype)
        gemm(
            1, 1, m, n, k, pointer(a), 0, 0, a_i // size, a_p // size, pointer(b), 0, 0, b_p // size, b_j // size,
            pointer(c), 0, 0, n, pointer(bias), space, threads,
        )  # fmt: skip
    return c


def rows_of(x: np.ndarray) -> np.ndarray:
    """(..., N) -> (M, N): all leading axes as one."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _strides(x: np.ndarray) -> tuple[int, ...]:
    """Strides in elements along (y, z, row, column), 0 for a batch axis that x lacks."""
    size, s = x.itemsize, x.strides
    if x.ndim == 2:
        return 0, 0, s[0] // size, s[1] // size
    return (0,) * (4 - x.ndim) + tuple(n // size for n in s)


def _gemm(a: np.ndarray, b: np.ndarray, c: np.ndarray, bias: np.ndarray | None) -> None:
    gemm, space, threads = _prepared(a.dtype)
    ny, nz, m, n = (1,) * (4 - c.ndim) + c.shape
    gemm(
        ny, nz, m, n, a.shape[-1], pointer(a), *_strides(a), pointer(b), *_strides(b), pointer(c), *_strides(c)[:3],
        pointer(bias), space, threads,
    )  # fmt: skip


_local = threading.local()


def _prepared(dtype: np.dtype) -> tuple[Any, Any, int]:
    """The compiled function, its workspace and the number of threads: looked up once for each thread that calls."""
    threads, found = get_num_threads(), _local.__dict__
    key = f"{dtype.char}{threads}"
    if key not in found:
        elements = function("gemm_workspace", dtype)(threads)
        found[key] = function("gemm", dtype), pointer(empty((elements,), dtype)), threads
    return found[key]


def _matmul(a: np.ndarray, b: np.ndarray) -> Any:
    if not takes(a, b) or min(a.ndim, b.ndim) < 2:
        return NotImplemented
    return product(a, b), (a, b)


def _linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> Any:
    if not takes(x, weight, bias):
        return NotImplemented
    rows = x if x.ndim > 1 else x[None]
    return product(rows, weight.T, bias).reshape(*x.shape[:-1], len(weight)), (x, weight, bias is not None)


def _linear_vjp(dy: np.ndarray, kept: Any, *, needs: tuple[bool, ...]) -> Any:
    x, weight, has_bias = kept
    if not takes(dy, x, weight):
        return NotImplemented
    rows, columns = rows_of(dy), rows_of(x)
    dx = product(rows, weight).reshape(x.shape) if needs[0] else None
    return dx, product(rows.T, columns) if needs[1] else None, sum_rows(rows) if has_bias and needs[2] else None


matmul = Kernel(_matmul)
linear = Kernel(_linear, _linear_vjp)
