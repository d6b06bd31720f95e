"""Optimiser steps on csrc/optim.inc.c: every parameter in one call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ._library import _POINTER, F32, ffi, function, get_num_threads, pointer, takes

Arrays = Sequence[np.ndarray]


def adamw(
    params: Arrays, grads: Arrays, exp_avg: Arrays, exp_avg_sq: Arrays,
    b1: float, b2: float, shrink: float, step_size: float, root: float, eps: float,
) -> bool:  # fmt: skip
    """One step of AdamW in place (the formula stands in optim.inc.c); False where the kernel does not take the arrays."""
    grads = [np.ascontiguousarray(g) for g in grads]
    lists = (params, grads, exp_avg, exp_avg_sq)
    arrays = [a for one in lists for a in one]
    if not takes(*arrays) or not all(a.flags.c_contiguous for a in arrays):
        return False
    dtype = arrays[0].dtype
    kind = ffi.typeof(f"{'float' if dtype == F32 else 'double'} *[]")
    tables = [ffi.new(kind, [ffi.cast(_POINTER[dtype], pointer(a)) for a in one]) for one in lists]
    sizes = [a.size for a in params]
    function("adamw", dtype)(len(params), *tables, sizes, b1, b2, shrink, step_size, root, eps, get_num_threads())
    return True
