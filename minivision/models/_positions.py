"""Fixed position embeddings of a grid, in sines and cosines."""

from __future__ import annotations

import numpy as np

from .. import nn


def sin_cos_positions(width: int, grid: tuple[int, int]) -> np.ndarray:
    """(1, 1 + H W, width) for a grid (H, W): 0 for the class token; of a patch the column in the first half, then the row.

    Each half in sines, then cosines, of place / 10000^(i / (width / 4)), i = 0 ... width / 4 - 1: what Vaswani et al. 2017,
    section 3.5, have for places in a row, as MAE has it for places in a grid.
    """
    if width % 4:
        raise ValueError(f"sines and cosines of two places need a width that is a multiple of 4, got {width}")
    frequencies = 10000.0 ** (-np.arange(width // 4) / (width / 4))
    rows, columns = (place.reshape(-1, 1) * frequencies for place in np.indices(grid))  # (H W, width / 4) each
    table = np.concatenate([np.sin(columns), np.cos(columns), np.sin(rows), np.cos(rows)], axis=1)
    return np.pad(table, ((1, 0), (0, 0)))[None]


def fixed_positions(width: int, grid: tuple[int, int]) -> nn.Parameter:
    """The same as a parameter that is in the checkpoint and not learned."""
    shape = 1, 1 + grid[0] * grid[1], width
    return nn.Parameter(shape, lambda rng, shape: sin_cos_positions(width, grid), requires_grad=False)
