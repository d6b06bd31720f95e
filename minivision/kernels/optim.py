"""Optimiser steps on csrc/optim.inc.c: every parameter in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._library import _POINTER, F32, ffi, function, get_num_threads, pointer, takes

Arrays = Sequence[np.ndarray]


def adamw(
    params: Arrays, grads: Arrays, exp_avg: Arrays, exp_avg_sq: Arrays,
    b1: float, b2: float, shrink: float, step_size: float, root: float, eps: float,
) -> bool:  # fmt: skip
    """One step of AdamW in place (the formula stands in optim.inc.c); False where the kernel does not take the arrays."""
    grads = [np.ascontiguousarray(g) for g in grads]  # kept by name: the tables hold pointers alone
    tables = _tables(params, grads, exp_avg, exp_avg_sq)
    if tables is None:
        return False
    function("adamw", params[0].dtype)(len(params), *tables, b1, b2, shrink, step_size, root, eps, get_num_threads())
    return True


def sgd(
    params: Arrays, grads: Arrays, momentum_buffer: Arrays,
    lr: float, momentum: float, rate: float, weight_decay: float, first: bool, nesterov: bool,
) -> bool:  # fmt: skip
    """One step of SGD in place, as adamw; momentum_buffer may be empty where momentum is 0."""
    grads = [np.ascontiguousarray(g) for g in grads]  # kept by name, as above
    tables = _tables(params, grads, momentum_buffer) if momentum else _tables(params, grads)
    if tables is None:
        return False
    held = tables if momentum else (*tables[:2], ffi.NULL, tables[2])
    function("sgd", params[0].dtype)(len(params), *held, lr, momentum, rate, weight_decay, first, nesterov, get_num_threads())
    return True


def _tables(*lists: Arrays) -> tuple[Any, ...] | None:
    """A C array of pointers for each list, and the sizes; None where the kernels do not take them."""
    arrays = [a for one in lists for a in one]
    if not takes(*arrays) or not all(a.flags.c_contiguous for a in arrays):
        return None
    dtype = arrays[0].dtype
    kind = ffi.typeof(f"{'float' if dtype == F32 else 'double'} *[]")
    pointers = [ffi.new(kind, [ffi.cast(_POINTER[dtype], pointer(a)) for a in one]) for one in lists]
    return *pointers, [a.size for a in lists[0]]
