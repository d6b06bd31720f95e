"""Where the windows of a pooling lie along an image axis, as tables: the definitions and the kernels share them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..errors import ShapeError
from .window import LARGEST, Pair, axes, check_memory


@dataclass(frozen=True, eq=False)
class Windows:
    """P windows on an axis of `size` pixels: window p takes the pixels low_p, low_p + step, ... that lie below high_p.

    begin_p is where it would begin if the image had no edge; no window is longer than `reach`. Only the windows first_h
    to last_h - 1 can hold pixel h. table is all of it in one array, as struct pool_axis of pool.inc.c has it.
    """

    size: int
    step: int
    reach: int
    begin: np.ndarray
    low: np.ndarray
    high: np.ndarray
    first: np.ndarray
    last: np.ndarray
    table: np.ndarray

    @property
    def count(self) -> int:
        """P."""
        return len(self.begin)


Both = tuple[Windows, Windows]  # down an image and across it


def _windows(size: int, step: int, reach: int, begin: np.ndarray, end: np.ndarray) -> Windows:
    """Windows from `begin` to below `end`, cut at the image's edges."""
    low, high, pixels = begin - np.minimum(begin, 0) // step * step, np.minimum(end, size), np.arange(size)
    first, last = np.searchsorted(high, pixels, side="right"), np.searchsorted(begin, pixels, side="right")
    lists = [[size, len(begin), step, reach], begin, low, high, first, last]
    table = np.concatenate(lists, dtype=np.int64)
    table.flags.writeable = False  # it is kept and shared
    _, begin, low, high, first, last = np.split(table, np.cumsum([len(part) for part in lists[:-1]]))
    return Windows(size, step, reach, begin, low, high, first, last, table)


def _behind(n: int, k: int, stride: int, pad: int, dilation: int) -> int:
    """The padding behind an axis with which a last window may hang over the edge, unless it would begin behind the image."""
    reach = dilation * (k - 1) + 1
    last = -(-(n + 2 * pad - reach) // stride) * stride  # where it begins on the padded axis
    return max(pad, last - (stride if last >= n + pad else 0) + reach - n - pad)


def _check_image(operation: str, size: Pair) -> None:
    if 0 in size:
        problem = f"an image of {size[0]} x {size[1]} has nothing to put into a window"
        raise ShapeError(operation, problem, f"image {size}", "the image vanished in the layers before")


@lru_cache(maxsize=4096)
def sliding(
    operation: str, size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1), ceil_mode: bool = False
) -> Both:
    """The windows of a kernel that slides down and across an image with as much padding on both sides.

    ceil_mode adds a last window that hangs over the edge. ShapeError or ValueError where there is no such window.
    """
    _check_image(operation, size)
    if any(p > k // 2 for p, k in zip(padding, kernel, strict=True)):
        raise ValueError(f"{operation}: padding {padding} is more than half of the kernel {kernel}")
    numbers = list(zip(size, kernel, stride, padding, dilation, strict=True))
    hangs = ceil_mode and min(stride) > 0
    around = tuple((axis[3], _behind(*axis) if hangs else axis[3]) for axis in numbers)
    found = axes(operation, size, kernel, stride, around, dilation)
    begins = [np.arange(axis.windows, dtype=np.int64) * axis.stride - axis.before for axis in found]
    down, across = (_windows(a.size, a.dilation, a.reach, b, b + a.reach) for a, b in zip(found, begins, strict=True))
    return down, across


@lru_cache(maxsize=4096)
def bins(operation: str, size: Pair, count: Pair) -> Both:
    """`count` windows that cover an image: i runs from floor(i size / count) to ceil((i + 1) size / count) - 1 on each axis."""
    if not 1 <= min(count) <= max(count) <= LARGEST:
        raise ValueError(f"{operation}: the size must lie between 1 x 1 and {LARGEST} x {LARGEST}, got {count}")
    _check_image(operation, size)
    check_memory(operation, count, 8)
    return _bins(size[0], count[0]), _bins(size[1], count[1])


def _bins(size: int, count: int) -> Windows:
    np.empty((12, count), np.int64)  # what is needed on the way: too much for the machine, and here is the MemoryError
    i = np.arange(count, dtype=np.int64)
    begin, end = i * size // count, -(-(i + 1) * size // count)
    return _windows(size, 1, int(np.max(end - begin)), begin, end)


def sizes(windows: Both) -> np.ndarray:
    """The number of pixels in each window (P, Q)."""
    down, across = windows
    return np.multiply.outer(down.high - down.low, across.high - across.low)


@lru_cache(maxsize=4096)
def averaging(
    size: Pair, kernel: Pair, stride: Pair, padding: Pair, ceil_mode: bool, count_include_pad: bool, divisor: int | None
) -> tuple[Both, np.ndarray]:
    """The windows of an average, and what the sum of each (P, Q) is divided by: the divisor, or the number of its elements.

    Those are counted in the padded image, or in the image alone.
    """
    windows = sliding("avg_pool2d", size, kernel, stride, padding, ceil_mode=ceil_mode)
    if divisor:
        return windows, np.full((windows[0].count, windows[1].count), divisor)
    if not count_include_pad:
        return windows, sizes(windows)
    down, across = (np.minimum(w.begin + k, w.size + p) - w.begin for w, k, p in zip(windows, kernel, padding, strict=True))
    return windows, np.multiply.outer(down, across)


def taken_dtype(windows: Both) -> type:
    """The smallest of the integer types used that holds every place in a window."""
    most = windows[0].reach * windows[1].reach - 1
    return next(kind for kind in (np.int8, np.int32, np.int64) if most <= np.iinfo(kind).max)


def pixels(taken: np.ndarray, windows: Both) -> np.ndarray:
    """The pixels h W + w (N, P, Q, C) of places in the windows (see largest in ops/pool.py); -1 for none."""
    down, across = windows
    a, b = np.divmod(taken.astype(np.int64), across.reach)
    flat = (down.begin[:, None, None] + a) * across.size + across.begin[:, None] + b
    return np.where(taken < 0, -1, flat)
