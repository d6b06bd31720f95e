"""Small pictures as arrays: pixels enlarged, heat laid over them, many in one. Colours are RGB from 0 to 1."""

from __future__ import annotations

import numpy as np


def enlarge(pictures: np.ndarray, side: int) -> np.ndarray:
    """(N, H, W, ...) -> (N, side, side, ...), each pixel a block."""
    rows, columns = (np.arange(side) * n // side for n in pictures.shape[1:3])
    return pictures[:, rows[:, None], columns]


def smooth(maps: np.ndarray, side: int) -> np.ndarray:
    """(..., h, w) -> (..., side, side), linear between the centres of the cells and constant outside them."""
    along_rows, along_columns = (_between_centres(n, side) for n in maps.shape[-2:])
    return along_rows @ maps @ along_columns.T


def _between_centres(cells: int, side: int) -> np.ndarray:
    """(side, cells): rows sum to 1."""
    places = (np.arange(side) + 0.5) * (cells / side) - 0.5
    return np.stack([np.interp(places, np.arange(cells), one) for one in np.eye(cells)], -1)


def on_paper(pictures: np.ndarray, dark: bool) -> np.ndarray:
    """(N, C, H, W) from 0 to 1 -> RGB (N, H, W, 3); grey pictures of a dark set, bright strokes on black, become ink on paper."""
    grey = pictures.shape[1] != 3
    rgb = np.repeat(pictures[:, :1], 3, axis=1) if grey else pictures
    return (1.0 - rgb if grey and dark else rgb).transpose(0, 2, 3, 1)


def mosaic(cells: np.ndarray, gap: int, paper: float = 1.0) -> np.ndarray:
    """(R, C, side, side, ...) -> (height, width, ...): the cells in their rows and columns, `gap` pixels apart."""
    rows, columns, height, width, *rest = cells.shape
    whole = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, *rest), paper)
    for i in range(rows):
        for j in range(columns):
            whole[i * (height + gap) :, j * (width + gap) :][:height, :width] = cells[i, j]
    return whole
