"""Tables of positions on another grid, bicubic: embeddings of places (antialiased), biases of displacements (not)."""

from __future__ import annotations

import math

import numpy as np

from .. import functional as F
from ..ops.taps import antialiased


def resize_matrix(new: int, old: int) -> np.ndarray:
    """W (new, old), y = W x: what one axis of a grid is multiplied with. Rows sum to 1, at the border too."""
    return antialiased(new, old, old / new, "cubic").matrix()


def can_resize(table: np.ndarray, shape: tuple[int, ...], prefix: int = 1) -> bool:
    """Whether a table (1, prefix + h h, D) of floats can take another shape (1, prefix + H W, D)."""
    if table.ndim != 3 or table.dtype.kind != "f" or (table.shape[0], table.shape[2]) != (shape[0], shape[2]):
        return False
    cells = table.shape[1] - prefix
    return cells > 0 and math.isqrt(cells) ** 2 == cells


def resize_positions(table: np.ndarray, grid: tuple[int, int], prefix: int = 1) -> np.ndarray:
    """(1, prefix + h h, D) -> (1, prefix + H W, D): what comes after the prefix tokens, a square, on the grid (H, W)."""
    side, width = math.isqrt(table.shape[1] - prefix), table.shape[2]
    square = table[:, prefix:].astype(np.float64).reshape(1, side, side, width).transpose(0, 3, 1, 2)  # (1, D, h, h)
    resized = F.interpolate(square, grid, mode="bicubic", antialias=True)  # (1, D, H, W)
    rows = resized.transpose(0, 2, 3, 1).reshape(1, -1, width)  # (1, H W, D)
    return np.concatenate([table[:, :prefix], rows.astype(table.dtype)], axis=1)


def can_resize_bias(table: np.ndarray, heads: int) -> bool:
    """Whether a table ((2 M - 1)^2, heads) of floats is that of a square window, for so many heads."""
    if table.ndim != 2 or table.dtype.kind != "f" or table.shape[1] != heads:
        return False
    side = math.isqrt(table.shape[0])
    return side**2 == table.shape[0] and side % 2 == 1


def resize_bias(table: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """((2 m - 1)^2, heads) -> ((2 M - 1) (2 M' - 1), heads): biases of a square window's displacements for a window (M, M')."""
    side, heads = math.isqrt(table.shape[0]), table.shape[1]
    square = table.astype(np.float64).T.reshape(1, heads, side, side)
    resized = F.interpolate(square, (2 * window[0] - 1, 2 * window[1] - 1), mode="bicubic")
    return resized.reshape(heads, -1).T.astype(table.dtype)
