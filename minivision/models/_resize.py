"""A table of position embeddings on another grid: bicubic with antialiasing, one axis after the other."""

from __future__ import annotations

import math

import numpy as np


def cubic(t: np.ndarray, a: float = -0.5) -> np.ndarray:
    """Keys' cubic convolution kernel (1981, eq. 4 and 15): 1 at 0, 0 at the other integers and beyond 2.

    |t| <= 1: (a + 2)|t|^3 - (a + 3)|t|^2 + 1;   1 < |t| < 2: a (|t|^3 - 5|t|^2 + 8|t| - 4)
    """
    t = np.abs(t)
    near, far = ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0, a * (((t - 5.0) * t + 8.0) * t - 4.0)
    return np.where(t <= 1.0, near, np.where(t < 2.0, far, 0.0))


def resize_matrix(new: int, old: int) -> np.ndarray:
    """W (new, old), y = W x: the samples of x at `new` places spread evenly over its `old` cells.

    Place i lies at (i + 1/2) old/new, cell j at j + 1/2. When shrinking, the kernel is stretched by old/new, which
    averages what falls between the new places (antialiasing). Rows sum to 1, at the border too.
    """
    places, cells = (np.arange(new) + 0.5) * (old / new), np.arange(old) + 0.5
    weights = cubic((places[:, None] - cells) / max(old / new, 1.0))
    return weights / weights.sum(axis=1, keepdims=True)


def can_resize(table: np.ndarray, shape: tuple[int, ...], prefix: int = 1) -> bool:
    """Whether a table (1, prefix + h h, D) of floats can take another shape (1, prefix + H W, D)."""
    if table.ndim != 3 or table.dtype.kind != "f" or (table.shape[0], table.shape[2]) != (shape[0], shape[2]):
        return False
    cells = table.shape[1] - prefix
    return cells > 0 and math.isqrt(cells) ** 2 == cells


def resize_positions(table: np.ndarray, grid: tuple[int, int], prefix: int = 1) -> np.ndarray:
    """(1, prefix + h h, D) -> (1, prefix + H W, D): what comes after the prefix tokens, a square, on the grid (H, W)."""
    side, width = math.isqrt(table.shape[1] - prefix), table.shape[2]
    square = table[0, prefix:].reshape(side, side, width).astype(np.float64)  # (h, h, D)
    rows, columns = (resize_matrix(n, side) for n in grid)
    resized = np.einsum("Hh,Ww,hwd->HWd", rows, columns, square, optimize=True).reshape(1, -1, width)  # (1, H W, D)
    return np.concatenate([table[:, :prefix], resized.astype(table.dtype)], axis=1)
