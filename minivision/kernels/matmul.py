"""Matrix products on csrc/gemm.inc.c."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._library import Kernel, function, get_num_threads, pointer, strides, takes, workspace
from .norm import sum_rows


def product(a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """a(..., M, K) b(..., K, N) + bias(N) -> (..., M, N), leading axes broadcast; either operand may be any strided view."""
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    if b.ndim == 2 and a.ndim > 2:  # one weight for the whole batch: one tall product
        return product(a.reshape(-1, k), b, bias).reshape(*a.shape[:-1], n)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    c = np.empty((*batch, m, n), a.dtype)
    if c.size == 0:
        return c
    a4, b4 = np.broadcast_to(a, (*batch, m, k)), np.broadcast_to(b, (*batch, k, n))
    for index in np.ndindex(batch[:-2]):  # the kernel walks two batch axes itself
        _gemm(_four(a4[index]), _four(b4[index]), _four(c[index]), bias)
    return c


def _four(x: np.ndarray) -> np.ndarray:
    return x[(None,) * (4 - x.ndim)] if x.ndim < 4 else x


def _gemm(a: np.ndarray, b: np.ndarray, c: np.ndarray, bias: np.ndarray | None) -> None:
    threads, dtype = get_num_threads(), a.dtype
    space = workspace(function("gemm_workspace", dtype)(threads), dtype)
    bias = None if bias is None else np.ascontiguousarray(bias)
    function("gemm", dtype)(
        *a.shape[:3], b.shape[3], a.shape[3], pointer(a), *strides(a), pointer(b), *strides(b), pointer(c), *strides(c)[:3],
        pointer(bias), pointer(space), threads,
    )  # fmt: skip


def _matmul(a: np.ndarray, b: np.ndarray) -> Any:
    if not takes(a, b) or min(a.ndim, b.ndim) < 2:
        return NotImplemented
    return product(a, b), (a, b)


def _linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> Any:
    if not takes(x, weight, bias):
        return NotImplemented
    return product(x[None] if x.ndim == 1 else x, weight.T, bias).reshape(*x.shape[:-1], len(weight)), (x, weight, bias is not None)


def _linear_vjp(dy: np.ndarray, kept: Any, *, needs: tuple[bool, ...]) -> Any:
    x, weight, has_bias = kept
    if not takes(dy, x, weight):
        return NotImplemented
    rows, columns = dy.reshape(-1, dy.shape[-1]), x.reshape(-1, x.shape[-1])
    dx = product(rows, weight).reshape(x.shape) if needs[0] else None
    return dx, product(rows.T, columns) if needs[1] else None, sum_rows(rows) if has_bias and needs[2] else None


matmul = Kernel(_matmul)
linear = Kernel(_linear, _linear_vjp)
