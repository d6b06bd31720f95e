"""Softmax attention on csrc/attention.inc.c."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._library import Kernel, empty, ffi, function, get_num_threads, pointer, strides, takes, workspace

MASK_CHUNKS = 16


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


def _like(x: np.ndarray, batch: tuple[int, ...], rows: int, columns: int) -> np.ndarray:
    """Memory for a result (*batch, rows, columns): heads inside rows where x has them so, as a view of (..., N, heads, D).

    What comes of such heads is then read as (..., N, heads D) without a copy.
    """
    if len(batch) > 1 and x.ndim == len(batch) + 2 and abs(x.strides[-3]) < abs(x.strides[-2]):
        return empty((*batch[:-1], rows, batch[-1], columns), x.dtype).swapaxes(-3, -2)
    return empty((*batch, rows, columns), x.dtype)


def _dense_columns(x: np.ndarray) -> np.ndarray:
    """x itself where its columns are dense, else a copy."""
    return x if x.strides[-1] == x.itemsize else np.ascontiguousarray(x)


def _result(x: np.ndarray) -> list[Any]:
    """A result's pointer and strides; the batch axes as in _heads."""
    four = x.reshape(-1, *x.shape[-3:]) if x.ndim > 4 else x[(None,) * (4 - x.ndim)]
    return [pointer(four), strides(four)]


def _space(q: np.ndarray, k: np.ndarray, v: np.ndarray, threads: int) -> Any:
    return pointer(workspace(function("attention_workspace", q.dtype)(k.shape[-2], q.shape[-1], v.shape[-1], threads), q.dtype))


def _forward(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray | None, *, causal: bool = False, scale: float = 1.0
) -> Any:
    made = _setup(q, k, v, mask)
    if made is None:
        return NotImplemented
    batch, (q4, k4, v4, mask4) = made[0], made[1:]
    y, lse = _like(q, batch, q.shape[-2], v.shape[-1]), empty((*batch, q.shape[-2]), q.dtype)
    threads = get_num_threads()
    function("attention", q.dtype)(
        *_arguments(q4, k4, v4, mask4, causal, scale), *_result(y), pointer(lse), _space(q, k, v, threads), threads
    )  # fmt: skip
    return y, (q, k, v, mask, y, lse)


def _sum_to(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sums over the batch axes that were broadcast."""
    if x.shape == shape:
        return x
    x = x.sum(axis=tuple(range(x.ndim - len(shape))))
    return x.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1 and x.shape[i] != 1), keepdims=True)


def _vjp(dy: np.ndarray, kept: Any, *, needs: tuple[bool, ...], causal: bool = False, scale: float = 1.0) -> Any:
    q, k, v, mask, y, lse = kept
    made = _setup(q, k, v, mask) if takes(dy, q, y, lse) else None
    if made is None:
        return NotImplemented
    batch, (q4, k4, v4, mask4) = made[0], made[1:]
    y, wants_mask = _dense_columns(y), mask is not None and mask.dtype != bool and needs[3]
    dq, dk, dv = (_like(x, batch, *x.shape[-2:]) for x in (q, k, v))
    dmask = _mask_sums(mask4, mask.shape, batch) if wants_mask else None
    threads, dy4 = get_num_threads(), _heads(dy, batch)
    function("attention_vjp", q.dtype)(
        *_arguments(q4, k4, v4, mask4, causal, scale), *_result(y), pointer(np.ascontiguousarray(lse)),
        pointer(dy4), strides(dy4), *_result(dq), *_result(dk), *_result(dv),
        pointer(dmask), q4.shape[0] if dmask is None else len(dmask), _space(q, k, v, threads), threads,
    )  # fmt: skip
    return *(_sum_to(d, x.shape) for d, x in ((dq, q), (dk, k), (dv, v))), _mask_gradient(dmask, mask, batch)


def _mask_sums(mask: np.ndarray, shape: tuple[int, ...], batch: tuple[int, ...]) -> np.ndarray:
    """Memory for ds (y, z, M, N), or, for a mask that all y share, for its sums over MASK_CHUNKS stretches of the y."""
    shared = mask.strides[0] == 0 and (len(batch) < 3 or math.prod(shape[:-3]) == 1)
    return empty((min(MASK_CHUNKS, len(mask)) if shared else len(mask), *mask.shape[1:]), mask.dtype)


def _mask_gradient(dmask: np.ndarray | None, mask: np.ndarray | None, batch: tuple[int, ...]) -> Any:
    """The sums as the mask's cotangent."""
    if dmask is None or mask is None:
        return None
    if len(dmask) != math.prod(batch[:-1]):  # stretches of all batch axes but the last
        return _sum_to(dmask.sum(axis=0).reshape(*(1 for _ in batch[:-1]), *dmask.shape[1:]), mask.shape)
    return _sum_to(dmask.reshape(*batch, *dmask.shape[2:]), mask.shape)


attention = Kernel(_forward, _vjp)
