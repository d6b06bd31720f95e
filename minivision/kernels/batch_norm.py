"""Batch and group normalisation on csrc/batch_norm.inc.c, for images in either memory order."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ._library import F64, Kernel, empty, function, get_num_threads, pointer, takes, workspace
from .norm import dense

PLAIN, RELU, GIVEN_RELU = range(3)  # as in batch_norm.inc.c


class Order(NamedTuple):
    """The shape of an array (N, C, ...) and how it lies in memory: with its channels last, or as its shape says."""

    shape: tuple[int, ...]
    last: bool

    @staticmethod
    def of(x: np.ndarray) -> Order:
        """The order of x; channels last where x is in neither, and has to be copied."""
        return Order(x.shape, x.shape[1] > 1 and (not x.flags.c_contiguous or math.prod(x.shape[2:]) == 1))

    def dense(self, x: np.ndarray | None) -> Any:
        """x in this order in memory, a copy only where it is in another one."""
        return dense(x.transpose(0, *range(2, x.ndim), 1) if self.last and x is not None else x)

    def empty(self, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
        """Memory for a result, and the same memory in the shape of x."""
        n, channels, *pixels = self.shape
        if not self.last:
            return (memory := empty(self.shape, dtype)), memory
        memory = empty((n, *pixels, channels), dtype)
        return memory, memory.transpose(0, -1, *range(1, len(self.shape) - 1))

    def sizes(self, sets: int, groups: int) -> np.ndarray:
        """struct channel_sizes"""
        n, channels, *pixels = self.shape
        return np.array([sets, n // sets, channels, math.prod(pixels), groups, self.last], np.int64)


def _run(name: str, sizes: np.ndarray, dtype: np.dtype, *arguments: Any) -> None:
    """Calls a kernel on these sizes, with the pointers of the arrays and the numbers as they are."""
    passed = [a if isinstance(a, (int, float)) else pointer(a) for a in arguments]
    space = workspace(function("channel_workspace", dtype)(int(sizes[2])), F64)
    function(f"channel_{name}", dtype)(pointer(sizes), *passed, pointer(space), get_num_threads())


def _moments(x: np.ndarray, sizes: np.ndarray, shape: tuple[int, ...], eps: float) -> list[np.ndarray]:
    """mean, variance and 1 / sqrt(variance + eps) of a dense x."""
    found = [np.empty(shape, x.dtype) for _ in range(3)]
    _run("moments", sizes, x.dtype, x, eps, *found)
    return found


def _batch_norm(x, weight, bias, residual, *, activation=None, eps=1e-5, seen=None):
    if not _fits(x, (weight, bias), residual, activation):
        return NotImplemented
    order = Order.of(x)
    sizes, memory = order.sizes(1, x.shape[1]), order.dense(x)
    mean, variance, r = _moments(memory, sizes, x.shape[1:2], eps)
    if seen is not None:
        seen[:] = mean, variance
    y = channel_map(order, sizes, memory, weight, bias, mean, r, residual, activation)
    return y, (x, weight, bias, mean, r, y if activation and residual is not None else None)


def _fits(x: np.ndarray, channels: tuple[Any, ...], residual: Any, activation: str | None) -> bool:
    """Whether the kernels take these arrays; shapes that do not fit are for the definition to complain about."""
    return (
        takes(x, residual, *channels)
        and x.ndim > 1
        and x.size > 0
        and all(a is None or a.shape == x.shape[1:2] for a in channels)
        and (residual is None or residual.shape == x.shape)
        and activation in (None, "relu")
    )


def channel_map(
    order: Order, sizes: np.ndarray, x: np.ndarray, weight: Any, bias: Any, mean: Any, r: Any, residual: Any, activation: Any
) -> np.ndarray:
    memory, y = order.empty(x.dtype)
    held = [dense(a) for a in (weight, bias, mean, r)]
    _run("map", sizes, x.dtype, x, *held, order.dense(residual), int(activation is not None), memory)
    return y


def channel_sums(
    order: Order, sizes: np.ndarray, dy: np.ndarray, x: np.ndarray, held: list[Any], y: Any, activation: Any, gate: bool
) -> tuple[Any, ...]:
    """(dw, db, g): dw and db for each set and channel; g = dy before the activation, in memory's order and in x's shape.

    g is written where it is asked for, or where it takes y to know it; else it is dy.
    """
    shape, mode = (int(sizes[0]), int(sizes[2])), PLAIN if activation is None else RELU if y is None else GIVEN_RELU
    dw, db = np.empty(shape, x.dtype), np.empty(shape, x.dtype)
    written = mode == GIVEN_RELU or (mode == RELU and gate)
    memory, g = order.empty(x.dtype) if written else (None, None)
    _run("sums", sizes, x.dtype, dy, x, order.dense(y), *held, mode, memory, dw, db)
    return dw, db, memory, g


def _gradient(
    order: Order, sizes: np.ndarray, g: np.ndarray, x: np.ndarray, held: list[Any], dw: Any, db: Any, relu: bool
) -> np.ndarray:
    memory, dx = order.empty(x.dtype)
    _run("gradient", sizes, x.dtype, g, x, *held, dw, db, int(relu), memory)
    return dx


def _batch_norm_vjp(dy, kept, *, needs, activation=None, eps=1e-5, seen=None):
    x, weight, bias, mean, r, y = kept
    if not takes(dy, *kept):
        return NotImplemented
    order = Order.of(x)
    sizes, held = order.sizes(1, x.shape[1]), [dense(a) for a in (weight, bias, mean, r)]
    memory, upstream = order.dense(x), order.dense(dy)
    dw, db, gated, g = channel_sums(order, sizes, upstream, memory, held, y, activation, False)
    relu = activation is not None and gated is None
    dx = _gradient(order, sizes, upstream if gated is None else gated, memory, held, dw, db, relu) if needs[0] else None
    return dx, None if weight is None else dw[0], None if bias is None else db[0], g if activation else dy


def _batch_norm_eval(x, mean, variance, weight, bias, residual, *, activation=None, eps=1e-5):
    if not _fits(x, (mean, variance, weight, bias), residual, activation):
        return NotImplemented
    order, r = Order.of(x), 1.0 / np.sqrt(variance + eps)
    y = channel_map(order, order.sizes(1, x.shape[1]), order.dense(x), weight, bias, mean, r, residual, activation)
    return y, (x, mean, weight, bias, r, y if activation and residual is not None else None)


def _batch_norm_eval_vjp(dy, kept, *, needs, activation=None, eps=1e-5):
    x, mean, weight, bias, r, y = kept
    if not takes(dy, *kept):
        return NotImplemented
    order = Order.of(x)
    sizes, held = order.sizes(1, x.shape[1]), [dense(a) for a in (weight, bias, mean, r)]
    memory, upstream = order.dense(x), order.dense(dy)
    dw, db, gated, g = channel_sums(order, sizes, upstream, memory, held, y, activation, True)
    scale, (dw, db) = r if weight is None else r * weight, (dw[0], db[0])
    no_mean, ones = np.zeros_like(r), np.ones_like(r)
    dx = channel_map(order, sizes, upstream if gated is None else gated, scale, None, no_mean, ones, None, None)
    dresidual = g if activation else dy
    return dx, -scale * db, -0.5 * scale * r * dw, None if weight is None else dw, None if bias is None else db, dresidual


def _group_norm(x, weight, bias, *, groups, eps=1e-5, seen=None):
    if not _fits(x, (weight, bias), None, None) or groups < 1 or x.shape[1] % groups:
        return NotImplemented
    order = Order.of(x)
    sizes, memory = order.sizes(len(x), groups), order.dense(x)
    mean, variance, r = _moments(memory, sizes, (len(x), groups), eps)
    if seen is not None:
        seen[:] = mean, variance
    return channel_map(order, sizes, memory, weight, bias, mean, r, None, None), (x, weight, mean, r, bias is not None)


def _group_norm_vjp(dy, kept, *, needs, groups, eps=1e-5, seen=None):
    x, weight, mean, r, has_bias = kept
    if not takes(dy, x, weight) or x.size == 0:
        return NotImplemented
    order = Order.of(x)
    sizes, held = order.sizes(len(x), groups), [dense(a) for a in (weight, None, mean, r)]
    memory, upstream = order.dense(x), order.dense(dy)
    dw, db, *_ = channel_sums(order, sizes, upstream, memory, held, None, None, False)
    dx = _gradient(order, sizes, upstream, memory, held, dw, db, False)
    return dx, None if weight is None else dw.sum(axis=0), db.sum(axis=0) if has_bias else None


batch_norm: Kernel = Kernel(_batch_norm, _batch_norm_vjp)
batch_norm_eval: Kernel = Kernel(_batch_norm_eval, _batch_norm_eval_vjp)
group_norm: Kernel = Kernel(_group_norm, _group_norm_vjp)
