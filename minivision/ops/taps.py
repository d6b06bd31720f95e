"""Sparse matrices that resample an axis: which elements each new one is made of, and with what weights.

Every way of resizing along an axis is a matrix (M, N) of a few entries in each row, known in closed form: copies
(nearest), a hat or Keys' cubic about each new place, the same stretched when shrinking (antialiasing), means of bins.
Places count from the middle of the first element: element j lies at j.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Taps:
    """A matrix (M, N): row i has weights[i, t] in column index[i, t], t < K. Entries of one place add up; 0 is no entry."""

    index: np.ndarray  # (M, K) of whole numbers below N
    weights: np.ndarray  # (M, K)
    size: int  # N

    @cached_property
    def transposed(self) -> Taps:
        """The matrix (N, M) with the same entries, each row padded with zeros to the length of the longest."""
        rows, taps = np.nonzero(self.weights)
        columns = self.index[rows, taps]
        order = np.argsort(columns, kind="stable")
        counts = np.bincount(columns, minlength=self.size)
        places = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)  # 0, 1, .. within each column
        index = np.zeros((self.size, max(1, int(counts.max(initial=0)))), np.int64)
        weights = np.zeros(index.shape)
        index[columns[order], places], weights[columns[order], places] = rows[order], self.weights[rows, taps][order]
        return Taps(index, weights, len(self.index))

    def columns(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(index, weights) of the first entry of every row, of the second, ..., each (M,)."""
        return zip(self.index.T, self.weights.T, strict=True)

    def matrix(self) -> np.ndarray:
        """All M N elements."""
        dense = np.zeros((len(self.index), self.size))
        np.add.at(dense, (np.arange(len(self.index))[:, None], self.index), self.weights)
        return dense


# -------------------------------------------------------------------------------------------------------- the curves


def hat(t: np.ndarray) -> np.ndarray:
    """1 - |t|, not below 0: linear interpolation."""
    return np.maximum(1.0 - np.abs(t), 0.0)


def cubic_near(t: Any, a: float) -> Any:
    """Keys' kernel for 0 <= t <= 1:  (a + 2) t^3 - (a + 3) t^2 + 1"""
    return ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0


def cubic_far(t: Any, a: float) -> Any:
    """Keys' kernel for 1 <= t <= 2:  a (t^3 - 5 t^2 + 8 t - 4)"""
    return a * (((t - 5.0) * t + 8.0) * t - 4.0)


def cubic(t: np.ndarray, a: float) -> np.ndarray:
    """Keys' cubic convolution kernel (1981, eq. 4 and 15): 1 at 0, 0 at the other integers and beyond 2."""
    t = np.abs(t)
    return np.where(t <= 1.0, cubic_near(t, a), np.where(t < 2.0, cubic_far(t, a), 0.0))


CUBIC = -0.75  # Keys' a where pixels are interpolated, as in torch, OpenCV and TensorFlow 1
SMOOTH_CUBIC = -0.5  # the a of third order, where they are averaged too, as in Pillow
# curve, and how far from 0 it reaches
ANTIALIAS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "linear": (hat, 1.0),
    "cubic": (lambda t: cubic(t, SMOOTH_CUBIC), 2.0),
}

# ------------------------------------------------------------------------------------------------------ the matrices


def _places(new: int, scale: float, align_corners: bool) -> np.ndarray:
    """Where the new elements lie among the old: the middles of cells `scale` wide, or multiples of scale from the first on."""
    return np.arange(new) * scale if align_corners else (np.arange(new) + 0.5) * scale - 0.5


@lru_cache(maxsize=512)
def nearest(new: int, old: int, scale: float, exact: bool) -> Taps:
    """Copies: element floor(i scale), or floor((i + 1/2) scale) where exact.

    The product is rounded to float32, whatever the elements: torch does so, and it decides which side of a tie is taken.
    Without exact, as many elements as before are copied once and twice as many twice, whatever the scale.
    """
    if not exact and new in (old, 2 * old):
        index = np.arange(new) // (new // old)
    else:
        places = ((np.arange(new) + (0.5 if exact else 0.0)) * float(np.float32(scale))).astype(np.float32)
        index = np.minimum(np.floor(places).astype(np.int64), old - 1)
    return Taps(index[:, None], np.ones((new, 1)), old)


@lru_cache(maxsize=512)
def linear(new: int, old: int, scale: float, align_corners: bool) -> Taps:
    """The two neighbours of each place, by their closeness; the first or last element alone beyond them.

    As many elements as before stay as they are, whatever the scale.
    """
    places = np.clip(_places(new, scale, align_corners), 0.0, old - 1.0) if new != old else np.arange(new, dtype=np.float64)
    first = places.astype(np.int64)
    index = np.minimum(first[:, None] + np.arange(2), old - 1)
    return Taps(index, hat(places[:, None] - first[:, None] - np.arange(2)), old)


@lru_cache(maxsize=512)
def cubic_convolution(new: int, old: int, scale: float, align_corners: bool) -> Taps:
    """The four neighbours of each place by Keys' kernel; beyond the ends the first and last element are repeated."""
    places = _places(new, scale, align_corners)
    first = np.floor(places)
    around = first[:, None] + np.arange(-1, 3)
    index = np.clip(around, 0, old - 1).astype(np.int64)
    return Taps(index, cubic(places[:, None] - around, CUBIC), old)


@lru_cache(maxsize=512)
def antialiased(new: int, old: int, scale: float, kind: str) -> Taps:
    """The elements within reach of each place, by the curve of that kind stretched by `scale` where that is above 1.

    Rows sum to 1, at the border too. As many elements as before stay as they are, whatever the scale.
    """
    curve, reach = ANTIALIAS[kind]
    scale = scale if new != old else 1.0
    stretch = max(scale, 1.0)
    places = _places(new, scale, False)
    first = np.maximum((places - reach * stretch + 1.0).astype(np.int64), 0)
    last = np.minimum((places + reach * stretch + 1.0).astype(np.int64), old)  # exclusive
    around = first[:, None] + np.arange(max(1, int((last - first).max())))
    weights = np.where(around < last[:, None], curve((around - places[:, None]) / stretch), 0.0)
    return Taps(np.minimum(around, old - 1), weights / weights.sum(axis=1, keepdims=True), old)


@lru_cache(maxsize=512)
def bin_means(new: int, old: int) -> Taps:
    """The means of bins floor(i N / M) to ceil((i + 1) N / M) - 1 that cover the axis and may overlap."""
    first, end = np.arange(new) * old // new, -(-np.arange(1, new + 1) * old // new)
    around = first[:, None] + np.arange(int((end - first).max()))
    weights = np.where(around < end[:, None], 1.0 / (end - first)[:, None], 0.0)
    return Taps(np.minimum(around, old - 1), weights, old)
