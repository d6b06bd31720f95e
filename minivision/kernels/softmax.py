"""Softmax and its logarithm on csrc/softmax.inc.c, cross-entropy on csrc/cross_entropy.inc.c."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._library import Kernel, function, get_num_threads, pointer, takes


def _last_in_memory(x: np.ndarray, axis: int) -> bool:
    """Whether an axis that is not the last one lies so in memory, as the channels of a channels-last image do."""
    return not x.flags.c_contiguous and np.moveaxis(x, axis, -1).flags.c_contiguous


def _sizes(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    """(outer, n, inner): the axis, and what stands before and after it."""
    axis = range(len(shape))[axis]  # IndexError for an axis that is not there
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def _softmax(logarithm: bool) -> Kernel:
    """The kernel of softmax, or of its logarithm."""

    def forward(x: np.ndarray, *, axis: int = -1) -> Any:
        if not takes(x) or x.size == 0 or x.ndim == 0:
            return NotImplemented
        sizes = _sizes(x.shape, axis)
        if _last_in_memory(x, axis):
            y = np.moveaxis(forward(np.moveaxis(x, axis, -1))[0], -1, axis)
            return y, (y,)
        dense, y = np.ascontiguousarray(x), np.empty(x.shape, x.dtype)
        function("softmax", x.dtype)(*sizes, pointer(dense), pointer(y), logarithm, get_num_threads())
        return y, (y,)

    def vjp(dy: np.ndarray, kept: Any, *, needs: tuple[bool, ...], axis: int = -1) -> Any:
        (y,) = kept
        if not takes(dy, y) or y.size == 0 or y.ndim == 0:
            return NotImplemented
        if _last_in_memory(y, axis):
            (dx,) = vjp(np.moveaxis(dy, axis, -1), (np.moveaxis(y, axis, -1),), needs=needs)
            return (np.moveaxis(dx, -1, axis),)
        dy, dense, dx = np.ascontiguousarray(dy), np.ascontiguousarray(y), np.empty(y.shape, y.dtype)
        arrays = map(pointer, (dy, dense, dx))
        function("softmax_vjp", y.dtype)(*_sizes(y.shape, axis), *arrays, logarithm, get_num_threads())
        return (dx,)

    return Kernel(forward, vjp)


def _dense(x: np.ndarray | None) -> Any:
    return None if x is None else np.ascontiguousarray(x)


def _numbers(target: np.ndarray) -> np.ndarray:
    return np.require(target, np.int64, ["C", "ALIGNED"])


def _cross_entropy(
    x: np.ndarray, target: np.ndarray, weight: np.ndarray | None, *, smoothing: float = 0.0, ignore_index: int = -100
) -> Any:
    if not takes(x, weight) or x.size == 0 or target.dtype.kind not in "iu":
        return NotImplemented
    y, lse = np.empty(x.shape[0], x.dtype), np.empty(x.shape[0], x.dtype)
    held = [_dense(x), _numbers(target), _dense(weight)]
    _check_targets(held[1], x.shape[1], ignore_index)
    results = map(pointer, (y, lse))
    function("cross_entropy", x.dtype)(*x.shape, *map(pointer, held), smoothing, ignore_index, *results, get_num_threads())
    return y, (x, target, weight, lse)


def _check_targets(target: np.ndarray, classes: int, ignore_index: int) -> None:
    """IndexError, as NumPy's own indexing has it, for a class that is not there: the kernel would read beyond the row."""
    if target.min() >= 0 and target.max() < classes:
        return
    wrong = target[((target < 0) | (target >= classes)) & (target != ignore_index)]
    if wrong.size:
        raise IndexError(f"target {wrong[0]} is no class number from 0 to {classes - 1}")


def _cross_entropy_vjp(
    dy: np.ndarray, kept: Any, *, needs: tuple[bool, ...], smoothing: float = 0.0, ignore_index: int = -100
) -> Any:
    x, target, weight, lse = kept
    if not takes(dy, x, weight) or x.size == 0 or needs[2]:  # the gradient of the weights is a sum: the definition takes it
        return NotImplemented
    dx = np.empty(x.shape, x.dtype)
    held = [_dense(dy), _dense(x), _numbers(target), _dense(weight), _dense(lse)]
    function("cross_entropy_vjp", x.dtype)(*x.shape, *map(pointer, held), smoothing, ignore_index, pointer(dx), get_num_threads())
    return dx, None, None


softmax, log_softmax = _softmax(False), _softmax(True)
cross_entropy = Kernel(_cross_entropy, _cross_entropy_vjp)
