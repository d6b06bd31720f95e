"""Matrix products on csrc/gemm.inc.c."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._library import Kernel, empty, function, get_num_threads, pointer, takes, workspace
from .norm import sum_rows


def product(a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """a(..., M, K) b(..., K, N) + bias(N) -> (..., M, N), leading axes broadcast; either operand may be any strided view."""
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    if b.ndim == 2 and a.ndim > 2:  # one weight for the whole batch: one tall product
        return product(_rows(a), b, bias).reshape(*a.shape[:-1], n)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2]) if a.ndim > 2 or b.ndim > 2 else ()
    c = empty((*batch, m, n), a.dtype)
    if batch:
        a, b = np.broadcast_to(a, (*batch, m, k)), np.broadcast_to(b, (*batch, k, n))
    for index in np.ndindex(batch[:-2]) if len(batch) > 2 else [()]:  # the kernel walks the last two batch axes itself
        if c.size:
            _gemm(a[index], b[index], c[index], bias)
    return c


def _rows(x: np.ndarray) -> np.ndarray:
    """(..., N) -> (M, N): all leading axes as one."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _strides(x: np.ndarray) -> tuple[int, ...]:
    """Strides in elements along (y, z, row, column), 0 for a batch axis that x lacks."""
    return (0,) * (4 - x.ndim) + tuple(s // x.itemsize for s in x.strides)


def _gemm(a: np.ndarray, b: np.ndarray, c: np.ndarray, bias: np.ndarray | None) -> None:
    threads, dtype = get_num_threads(), a.dtype
    space = workspace(function("gemm_workspace", dtype)(threads), dtype)
    bias = None if bias is None else np.ascontiguousarray(bias)
    ny, nz, m, n = (1,) * (4 - c.ndim) + c.shape
    function("gemm", dtype)(
        ny, nz, m, n, a.shape[-1], pointer(a), *_strides(a), pointer(b), *_strides(b), pointer(c), *_strides(c)[:3],
        pointer(bias), pointer(space), threads,
    )  # fmt: skip


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
    rows, columns = _rows(dy), _rows(x)
    dx = product(rows, weight).reshape(x.shape) if needs[0] else None
    return dx, product(rows.T, columns) if needs[1] else None, sum_rows(rows) if has_bias and needs[2] else None


matmul = Kernel(_matmul)
linear = Kernel(_linear, _linear_vjp)
