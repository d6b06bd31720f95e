"""Element-by-element functions on csrc/elementwise.inc.c."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._library import Kernel, function, get_num_threads, pointer, takes


def _gelu(x: np.ndarray) -> Any:
    if not takes(x):
        return NotImplemented
    dense, y = np.ascontiguousarray(x), np.empty(x.shape, x.dtype)
    function("gelu", x.dtype)(x.size, pointer(dense), pointer(y), get_num_threads())
    return y, (x,)


def _gelu_vjp(dy: np.ndarray, kept: Any, *, needs: tuple[bool, ...]) -> Any:
    (x,) = kept
    if not takes(dy, x):
        return NotImplemented
    dy, dense, dx = np.ascontiguousarray(dy), np.ascontiguousarray(x), np.empty(x.shape, x.dtype)
    function("gelu_vjp", x.dtype)(x.size, pointer(dy), pointer(dense), pointer(dx), get_num_threads())
    return (dx,)


gelu = Kernel(_gelu, _gelu_vjp)
