"""A table of position embeddings on another grid: bicubic with antialiasing."""

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
