"""Pooling on csrc/pool.inc.c: images go in and come out channels last in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._library import Kernel, ffi, function, get_num_threads, pointer, takes
from .conv import _channels_last
from .pool_windows import Both, averaging, bins, pixels, sizes, sliding, taken_dtype
from .window import check_memory


def _run(name: str, x: np.ndarray, windows: Both, *rest: Any) -> None:
    """Calls a kernel on an array (N, C, ...) and the tables of both axes."""
    tables = [pointer(along.table) for along in windows]
    function(name, x.dtype)(*x.shape[:2], *tables, pointer(_channels_last(x)), *rest, get_num_threads())


def _beside(x: np.ndarray, size: tuple[int, ...], dtype: Any = None) -> np.ndarray:
    """Memory for (N, *size, C) beside an array (N, C, ...)."""
    shape = (len(x), *size, x.shape[1])
    check_memory("pooling", shape, x.itemsize)
    return np.empty(shape, dtype or x.dtype)


def _outputs(windows: Both) -> tuple[int, int]:
    return windows[0].count, windows[1].count


def _inputs(windows: Both) -> tuple[int, int]:
    return windows[0].size, windows[1].size


def _max(x: np.ndarray, windows: Both, seen: Any) -> Any:
    if not takes(x) or x.size == 0 or taken_dtype(windows) == np.int64:
        return NotImplemented
    y, taken = _beside(x, _outputs(windows)), _beside(x, _outputs(windows), taken_dtype(windows))
    _run("max_pool", x, windows, pointer(y), ffi.from_buffer(taken), taken.itemsize == 1)
    if seen is not None:
        seen[:] = [pixels(taken, windows)]
    return y.transpose(0, 3, 1, 2), (taken, x.shape[2:])


def _max_vjp(dy: np.ndarray, taken: np.ndarray, windows: Both) -> Any:
    if not takes(dy) or dy.size == 0 or taken.dtype == np.int64:
        return NotImplemented
    dx, taken = _beside(dy, _inputs(windows)), np.ascontiguousarray(taken)
    _run("max_pool_vjp", dy, windows, ffi.from_buffer(taken), taken.itemsize == 1, pointer(dx))
    return (dx.transpose(0, 3, 1, 2),)


def _mean(x: np.ndarray, windows: Both, counts: np.ndarray) -> Any:
    if not takes(x) or x.size == 0:
        return NotImplemented
    y, counts = _beside(x, _outputs(windows)), counts.astype(x.dtype)
    _run("avg_pool", x, windows, pointer(counts), pointer(y))
    return y.transpose(0, 3, 1, 2), (x.shape[2:],)


def _mean_vjp(dy: np.ndarray, windows: Both, counts: np.ndarray) -> Any:
    if not takes(dy) or dy.size == 0:
        return NotImplemented
    dx, shares = _beside(dy, _inputs(windows)), (1.0 / counts).astype(dy.dtype)
    _run("avg_pool_vjp", dy, windows, pointer(shares), pointer(dx))
    return (dx.transpose(0, 3, 1, 2),)


def _max_pool2d(x, *, kernel, stride, padding=(0, 0), dilation=(1, 1), ceil_mode=False, seen=None):
    return _max(x, sliding("max_pool2d", x.shape[2:], kernel, stride, padding, dilation, ceil_mode), seen)


def _max_pool2d_vjp(dy, kept, *, needs, kernel, stride, padding=(0, 0), dilation=(1, 1), ceil_mode=False, seen=None):
    taken, size = kept
    return _max_vjp(dy, taken, sliding("max_pool2d", size, kernel, stride, padding, dilation, ceil_mode))


def _adaptive_max_pool2d(x, *, size, seen=None):
    return _max(x, bins("adaptive_max_pool2d", x.shape[2:], size), seen)


def _adaptive_max_pool2d_vjp(dy, kept, *, needs, size, seen=None):
    taken, image = kept
    return _max_vjp(dy, taken, bins("adaptive_max_pool2d", image, size))


def _avg_pool2d(x, *, kernel, stride, padding=(0, 0), ceil_mode=False, count_include_pad=True, divisor=None):
    return _mean(x, *averaging(x.shape[2:], kernel, stride, padding, ceil_mode, count_include_pad, divisor))


def _avg_pool2d_vjp(dy, kept, *, needs, kernel, stride, padding=(0, 0), ceil_mode=False, count_include_pad=True, divisor=None):
    return _mean_vjp(dy, *averaging(*kept, kernel, stride, padding, ceil_mode, count_include_pad, divisor))


def _adaptive_avg_pool2d(x, *, size):
    windows = bins("adaptive_avg_pool2d", x.shape[2:], size)
    return _mean(x, windows, sizes(windows))


def _adaptive_avg_pool2d_vjp(dy, kept, *, needs, size):
    windows = bins("adaptive_avg_pool2d", *kept, size)
    return _mean_vjp(dy, windows, sizes(windows))


max_pool2d = Kernel(_max_pool2d, _max_pool2d_vjp)
avg_pool2d = Kernel(_avg_pool2d, _avg_pool2d_vjp)
adaptive_max_pool2d = Kernel(_adaptive_max_pool2d, _adaptive_max_pool2d_vjp)
adaptive_avg_pool2d = Kernel(_adaptive_avg_pool2d, _adaptive_avg_pool2d_vjp)
