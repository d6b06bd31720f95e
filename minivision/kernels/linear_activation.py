"""A linear layer whose activation function is applied while the product is in the cache: csrc/gemm.inc.c."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._library import Kernel, empty, function, get_num_threads, pointer, takes, workspace
from .elementwise import FUNCTIONS, slope
from .matmul import linear, rows_of

SETTINGS = {"silu": (1.0, 0.0)}  # beta
_linear_vjp: Any = linear.vjp


def _linear_activation(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, *, activation: str) -> Any:
    if not takes(x, weight, bias) or x.size == 0 or weight.size == 0:
        return NotImplemented
    rows, n, size, threads = rows_of(x), len(weight), x.itemsize, get_num_threads()
    z = empty((len(rows), n), x.dtype)
    y = z if activation == "relu" else empty(z.shape, x.dtype)
    bias = None if bias is None else np.ascontiguousarray(bias)
    space = workspace(function("gemm_workspace", x.dtype)(threads), x.dtype)
    strides = [stride // size for stride in (*rows.strides, weight.strides[1], weight.strides[0])]
    function("gemm_pointwise", x.dtype)(
        *z.shape, x.shape[-1], pointer(rows), *strides[:2], pointer(weight), *strides[2:], pointer(z), pointer(bias),
        FUNCTIONS.index(activation), *SETTINGS.get(activation, (0.0, 0.0)), pointer(y), pointer(space), threads,
    )  # fmt: skip
    shape = (*x.shape[:-1], n)
    return y.reshape(shape), (x, weight, z.reshape(shape), bias is not None)


def _linear_activation_vjp(dy: np.ndarray, kept: Any, *, needs: tuple[bool, ...], activation: str) -> Any:
    x, weight, z, has_bias = kept
    if not takes(dy, x, weight, z) or x.size == 0 or weight.size == 0:
        return NotImplemented
    return _linear_vjp(slope(activation, z, dy, SETTINGS.get(activation, ())), (x, weight, has_bias), needs=needs)


linear_activation = Kernel(_linear_activation, _linear_activation_vjp)
