"""Copies into another order on csrc/copy.inc.c: permuted axes made dense, windows of an image taken and put back."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from ._library import AVAILABLE, F32, F64, Kernel, empty, function, get_num_threads, pointer, takes

LEAST = 16384  # elements from which the kernel is faster than NumPy
_SAME_SIZE: dict[int, np.dtype] = {4: F32, 8: F64}  # copied as what has their size: a copy looks at no value


def contiguous(x: np.ndarray) -> np.ndarray:
    """np.asarray(x, order="C"), faster where the axes of a large array are permuted."""
    if x.flags.c_contiguous:
        return x
    y = permuted(x) if x.size >= LEAST and AVAILABLE else None
    return np.asarray(x, order="C") if y is None else y


def permuted(x: np.ndarray) -> np.ndarray | None:
    """A C-ordered copy by the kernel, with any axes and any strides; None where it does not take the array."""
    dtype = _SAME_SIZE.get(x.itemsize)
    if dtype is None or x.dtype.hasobject or not x.flags.aligned:
        return None
    y = empty(x.shape, x.dtype)
    if x.size:
        axes, plan = _plan(x.shape, x.strides, x.itemsize)
        arrays = pointer(x.view(dtype)), pointer(y.view(dtype))
        function("copy", dtype)(axes, pointer(plan), *arrays, get_num_threads())
    return y


@lru_cache(maxsize=4096)
def _plan(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> tuple[int, np.ndarray]:
    """(axes, [sizes, strides of x, strides of y]) along (b.., i, j): j is y's last axis, i the one along which x runs."""
    walks = _merged(shape, strides)
    places = [math.prod(n for n, _ in walks[k + 1 :]) for k in range(len(walks))]
    axes = [(n, stride // itemsize, place) for (n, stride), place in zip(walks, places, strict=True)]
    axes = [(1, 0, 0)] * (2 - len(axes)) + axes
    runs = next((k for k in range(len(axes) - 1) if axes[k][1] == 1), len(axes) - 2)
    axes = axes[:runs] + axes[runs + 1 : -1] + [axes[runs], axes[-1]]
    return len(axes), np.array(list(zip(*axes, strict=True)), np.int64)


def _merged(shape: tuple[int, ...], strides: tuple[int, ...]) -> list[tuple[int, int]]:
    """(size, stride) of the axes without those of size 1, neighbours that are one walk through memory taken together."""
    axes: list[tuple[int, int]] = []
    for n, stride in zip(shape, strides, strict=True):
        if n != 1 and axes and axes[-1][1] == n * stride:
            axes[-1] = axes[-1][0] * n, stride
        elif n != 1:
            axes.append((n, stride))
    return axes


# ------------------------------------------------------------------------------------------------ arrangement


def _reshape(x: np.ndarray, *, shape: Any) -> Any:
    y = _view(x, shape)
    return np.reshape(contiguous(x), shape) if y is None else y, (x.shape,)


def _view(x: np.ndarray, shape: Any) -> np.ndarray | None:
    """x in another shape on the same memory; None where there is no such view."""
    try:
        if _RESHAPE_TAKES_COPY:
            return np.reshape(x, shape, copy=False)
        view = x.view()
        view.shape = shape
        return view
    except (ValueError, AttributeError):
        return None


_RESHAPE_TAKES_COPY = np.lib.NumpyVersion(np.__version__) >= "2.1.0"


def _reshape_vjp(dy: np.ndarray, kept: Any, *, needs: tuple[bool, ...], shape: Any) -> Any:
    return _reshape(dy, shape=kept[0])[0]


reshape = Kernel(_reshape, _reshape_vjp)

# ---------------------------------------------------------------------------------------- windows of an image


def _window_partition(x: np.ndarray, *, size: Any, shift: Any = (0, 0)) -> Any:
    if not takes(x) or x.shape[1] % size[0] or x.shape[2] % size[1] or x.size == 0:
        return NotImplemented
    n, h, w, c = x.shape
    y = empty((n * (h // size[0]) * (w // size[1]), *size, c), x.dtype)
    _windows("window_partition", x.shape, size, shift, contiguous(x), y)
    return y, ((h, w),)


def _window_reverse(y: np.ndarray, *, image: Any, shift: Any = (0, 0)) -> Any:
    count, size = (image[0] // y.shape[1]) * (image[1] // y.shape[2]) if y.size else 0, y.shape[1:3]
    if not takes(y) or not count or len(y) % count or image[0] % size[0] or image[1] % size[1]:
        return NotImplemented
    x = empty((len(y) // count, *image, y.shape[3]), y.dtype)
    _windows("window_reverse", x.shape, size, shift, contiguous(y), x)
    return x, (size,)


def _windows(name: str, shape: tuple[int, ...], size: Any, shift: Any, source: np.ndarray, result: np.ndarray) -> None:
    sizes = np.array([*shape, *size, shift[0] % shape[1], shift[1] % shape[2]], np.int64)
    function(name, source.dtype)(pointer(sizes), pointer(source), pointer(result), get_num_threads())


window_partition = Kernel(_window_partition)
window_reverse = Kernel(_window_reverse)
