"""Optimiser steps on csrc/optim.inc.c: every parameter in one call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ._library import _POINTER, ffi, function, get_num_threads, lib, pointer, takes


def adamw(
    params: Sequence[np.ndarray], grads: Sequence[np.ndarray], exp_avg: Sequence[np.ndarray], exp_avg_sq: Sequence[np.ndarray],
    *, b1: float, b2: float, shrink: float, l2: float, step_size: float, root: float, eps: float,
) -> bool:  # fmt: skip
    """One step of Adam or AdamW in place (the formula stands in optim.inc.c); False where the kernel does not take the arrays."""
    lists = (params, grads, exp_avg, exp_avg_sq)
    arrays = [a for one in lists for a in one]
    if lib is None or not arrays or not takes(*arrays) or not all(a.flags.c_contiguous for a in arrays):
        return False
    dtype = arrays[0].dtype
    tables = [ffi.new(f"{'float' if dtype.itemsize == 4 else 'double'} *[]", [ffi.cast(_POINTER[dtype], pointer(a)) for a in one]) for one in lists]
    sizes = [a.size for a in params]
    function("adamw", dtype)(len(params), *tables, sizes, b1, b2, shrink, l2, step_size, root, eps, get_num_threads())
    return True
