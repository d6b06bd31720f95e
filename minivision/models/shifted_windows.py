"""Shifted windows: what Swin (Liu et al. 2021, arXiv 2103.14030, section 3.2) adds to attention, for all that build on it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .. import functional as F
from .. import nn

Pair = tuple[int, int]
FORBIDDEN = -100.0  # added to the score of a pair that the shift brought together


def in_windows(attention: nn.Module, x: Any, window: Pair, shift: Pair) -> Any:
    """attention (W-MSA; SW-MSA where there is a shift) inside every window of a map.  (B, H, W, C) -> the same

    Figure 4: the map is rolled up and to the left by the shift, cut into windows, and rolled back. A window at the border then
    holds patches from up to four regions of the image, which the mask keeps apart.
    """
    size = tuple(x.shape[1:3])
    if size == window and not any(shift):
        return attention(x.flatten(1, 2)).unflatten(1, size)
    bottom, right = (-n % m for n, m in zip(size, window, strict=True))
    ragged, roll = bottom or right, shift
    if ragged:
        x, roll = F.pad(x.roll((-shift[0], -shift[1]), (1, 2)), (0, 0, 0, right, 0, bottom)), (0, 0)
    padded = (size[0] + bottom, size[1] + right)
    mask = region_mask(padded, window, shift, x.dtype) if any(shift) else None
    windows = F.window_partition(x, window, roll).flatten(1, 2)  # (B nW, N, C),  N = M^2
    y = F.window_reverse(attention(windows, mask).unflatten(1, window), window, padded, roll)  # (B, H, W, C)
    return y[:, : size[0], : size[1]].roll(shift, (1, 2)) if ragged else y


@lru_cache(maxsize=64)
def region_mask(size: Pair, window: Pair, shift: Pair, dtype: Any) -> np.ndarray:
    """0 where two patches of a window come from one region of the map (H, W) that was rolled, else -100.  (nW, 1, N, N)

    The nine regions are three bands of rows times three of columns: all but the last window, what the last window holds of the
    image's end, and what was rolled there from its beginning.
    """
    region = np.zeros((1, *size, 1))
    bands = [(slice(0, -m), slice(-m, -s), slice(-s, None)) for m, s in zip(window, shift, strict=True)]  # -0: the whole side
    for i, rows in enumerate(bands[0]):
        for j, columns in enumerate(bands[1]):
            region[:, rows, columns] = 3 * i + j
    each = np.asarray(F.window_partition(region, window)).reshape(-1, 1, window[0] * window[1])  # (nW, 1, N)
    mask = np.where(each[..., :, None] == each[..., None, :], 0.0, FORBIDDEN).astype(dtype)
    mask.flags.writeable = False
    return mask


@lru_cache(maxsize=64)
def relative_position_index(window: Pair) -> np.ndarray:
    """Which row of a table belongs to query i and key j of a window (M, M'), whose N patches are numbered row by row.  (N N)

    (dh + M - 1) (2 M' - 1) + dw + M' - 1, where dh and dw are the query's row and column less the key's.
    """
    rows, columns = np.indices(window).reshape(2, -1)
    dh, dw = rows[:, None] - rows, columns[:, None] - columns
    return ((dh + window[0] - 1) * (2 * window[1] - 1) + dw + window[1] - 1).reshape(-1)


def heads(qkv: Any, num_heads: int, windows: int) -> Any:
    """Queries, keys and values of every head.  (B nW, N, 3 C) -> three of (B, nW, heads, N, D)"""
    N, width = qkv.shape[1:]
    qkv = qkv.reshape(-1, windows, N, 3, num_heads, width // (3 * num_heads))
    return qkv.permute(3, 0, 1, 4, 2, 5).unbind(0)


def position_bias(table: Any, window: Pair) -> Any:
    """B of eq. 4: each pair's entry in the table.  (displacements, heads) -> (heads, N, N)"""
    N = window[0] * window[1]
    return F.embedding(relative_position_index(window), table).reshape(N, N, -1).permute(2, 0, 1).contiguous()
