"""Softmax attention on csrc/attention.inc.c."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._library import Kernel, empty, ffi, function, get_num_threads, pointer, strides, takes, workspace


def _heads(x: np.ndarray, batch: tuple[int, ...]) -> np.ndarray:
    """x broadcast to the batch axes and seen as four axes (y, z, row, column), without a copy where strides allow."""
    wide = np.broadcast_to(x, (*batch, *x.shape[-2:]))
    if wide.ndim > 4:
        return wide.reshape(-1, *wide.shape[-3:])
    return wide[(None,) * (4 - wide.ndim)]


def _additive(mask: np.ndarray | None, batch: tuple[int, ...], rows: int, columns: int, dtype: np.dtype) -> Any:
    """The mask as numbers to add, broadcast to every head; a boolean one becomes 0 and -inf."""
    if mask is None:
        return None
    if mask.dtype == bool:
        mask = np.where(mask, dtype.type(0), dtype.type(-np.inf))
    return _heads(np.broadcast_to(mask, (*batch, rows, columns)), batch)


def _setup(q: Any, k: Any, v: Any, mask: Any) -> Any:
    """(batch, q, k, v, mask) with four axes each, or None where the kernel does not take them."""
    if not takes(q, k, v) or min(q.ndim, k.ndim, v.ndim) < 2:
        return None
    if mask is not None and (mask.dtype not in (bool, q.dtype) or not mask.flags.aligned):
        return None
    batch = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2], () if mask is None else mask.shape[:-2])
    if 0 in (*batch, *q.shape[-2:], *k.shape[-2:], v.shape[-1]):
        return None
    return batch, *(_heads(x, batch) for x in (q, k, v)), _additive(mask, batch, q.shape[-2], k.shape[-2], q.dtype)


def _arguments(q: Any, k: Any, v: Any, mask: Any, causal: bool, scale: float) -> list[Any]:
    sizes = [*q.shape[:3], k.shape[2], q.shape[3], v.shape[3]]
    pairs = [part for x in (q, k, v) for part in (pointer(x), strides(x))]
    return [*sizes, *pairs, pointer(mask), ffi.NULL if mask is None else strides(mask), int(causal), scale]


def _forward(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray | None, *, causal: bool = False, scale: float = 1.0
) -> Any:
    made = _setup(q, k, v, mask)
    if made is None:
        return NotImplemented
    batch, q4, k4, v4, mask4 = made
    y = empty((*batch, q.shape[-2], v.shape[-1]), q.dtype)
    lse = empty((*batch, q.shape[-2]), q.dtype)
    threads = get_num_threads()
    space = workspace(function("attention_workspace", q.dtype)(k.shape[-2], q.shape[-1], v.shape[-1], threads), q.dtype)
    function("attention", q.dtype)(
        *_arguments(q4, k4, v4, mask4, causal, scale), pointer(y), pointer(lse), pointer(space), threads
    )
    return y, (q, k, v, mask, y, lse)


def _sum_to(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sums over the batch axes that were broadcast."""
    if x.shape == shape:
        return x
    x = x.sum(axis=tuple(range(x.ndim - len(shape))))
    return x.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1 and x.shape[i] != 1), keepdims=True)


def _vjp(dy: np.ndarray, kept: Any, *, needs: tuple[bool, ...], causal: bool = False, scale: float = 1.0) -> Any:
    q, k, v, mask, y, lse = kept
    made = _setup(q, k, v, mask) if takes(dy, q) and not needs[3] else None
    if made is None:  # the gradient of a mask is a sum over the batch: the definition takes it
        return NotImplemented
    batch, q4, k4, v4, mask4 = made
    dq, dk, dv = (empty((*batch, *x.shape[-2:]), x.dtype) for x in (q, k, v))
    threads, dy4 = get_num_threads(), _heads(dy, batch)
    space = workspace(function("attention_workspace", q.dtype)(k.shape[-2], q.shape[-1], v.shape[-1], threads), q.dtype)
    function("attention_vjp", q.dtype)(
        *_arguments(q4, k4, v4, mask4, causal, scale), pointer(np.ascontiguousarray(y)), pointer(np.ascontiguousarray(lse)),
        pointer(dy4), strides(dy4), pointer(dq), pointer(dk), pointer(dv), pointer(space), threads,
    )  # fmt: skip
    return *(_sum_to(d, x.shape) for d, x in ((dq, q), (dk, k), (dv, v))), None


attention = Kernel(_forward, _vjp)
