"""Focal self-attention: finely to what is near, coarsely to what is far (Yang et al. 2021, arXiv 2107.00641)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .. import functional as F
from .. import nn

Pair = tuple[int, int]
FORBIDDEN = -100.0  # added to the score of a pooled window outside of the map


def margin(window: int, expand: int) -> np.ndarray:
    """Where a window's fine neighbours lie, as (row, column) counted from its first patch.  (4 (M^2 - (M - e)^2), 2)

    The map is rolled by `expand` patches four times: up and left, up and right, down and left, down and right. A roll up and
    left puts the patch (i + e, j + e) in the place (i, j). Of each rolled map the window's patches are taken row by row, but for
    those that the window held before the roll.
    """
    inside = np.indices((window, window)).reshape(2, -1).T  # (M^2, 2)
    found = [inside + np.array(moved) * expand for moved in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
    return np.concatenate([each[((each < 0) | (each >= window)).any(axis=1)] for each in found])


def pooled(windows: Any, weight: Any, bias: Any) -> Any:
    """One token for each window, a weighted sum of its patches, with the same weights for all channels.

    windows (..., M^2, C), weight (1, M^2), bias (1) -> (..., C)
    """
    return (weight @ windows).squeeze(-2) + bias


def displacements(queries: int, keys: int) -> np.ndarray:
    """The row of a bias table for a patch of a window of M x M and a cell of F x F.  -> (M^2, F^2) of whole numbers

    M = queries, F = keys: (dh + F - 1) (M + F - 1) + dw + F - 1, where (dh, dw) is the patch's place (row, column) in its window
    less the cell's in the region.
    """
    (i, j), (r, s) = (np.indices((side, side)).reshape(2, -1) for side in (queries, keys))
    dh, dw = i[:, None] - r, j[:, None] - s
    return (dh + keys - 1) * (queries + keys - 1) + dw + keys - 1


@lru_cache(maxsize=64)
def keys_of(grid: Pair, window: int, expand: int, region: int) -> tuple[np.ndarray, np.ndarray]:
    """Which tokens the queries of each window see, and which of them are none.  -> two of (P Q, K)

    The tokens are the patches of all P x Q windows = grid, window by window, each row by row: M^2 of the first, of the second,
    ...; then, one for each window, the pooled ones. A window sees its own patches, its `margin`, around the map's borders, and
    the region x region pooled windows around its own, row by row. True in the second array: that pooled window lies outside of
    the map (the first then has any token).
    """
    P, Q = grid
    p, q = (n.reshape(-1, 1) for n in np.indices(grid))  # (P Q, 1)
    own = np.indices((window, window)).reshape(2, -1).T
    near = np.concatenate([own, margin(window, expand)]) if expand else own
    row, column = (p * window + near[:, 0]) % (P * window), (q * window + near[:, 1]) % (Q * window)  # (P Q, fine)
    fine = (row // window * Q + column // window) * window**2 + row % window * window + column % window
    down, right = (n.reshape(-1) - region // 2 for n in np.indices((region, region)))
    outside = (p + down < 0) | (p + down >= P) | (q + right < 0) | (q + right >= Q)
    coarse = P * Q * window**2 + (p + down) % P * Q + (q + right) % Q
    return np.concatenate([fine, coarse], axis=1), np.concatenate([np.zeros(fine.shape, bool), outside], axis=1)


class Tables(nn.Module):
    """The biases of pooled windows: a list of one parameter, as its name is published."""

    def __init__(self, heads: int, displacements: int) -> None:
        super().__init__()
        self.register_parameter("0", nn.Parameter((heads, displacements), nn.init.trunc_normal(std=0.02)))


class FocalAttention(nn.Module):
    """softmax(q k^T / sqrt(D) + B) v for every window's queries among its fine and its pooled keys."""

    def __init__(self, dim: int, num_heads: int, window: int, expand: int, region: int, qkv_bias: bool) -> None:
        super().__init__()
        self.num_heads, self.window, self.expand, self.region = num_heads, window, expand, region
        self.relative_position_bias_table = nn.Parameter(((2 * window - 1) ** 2, num_heads))  # begins as 0
        if expand:
            around = (1, num_heads, window**2, len(margin(window, expand)))
            self.relative_position_bias_table_to_neighbors = nn.Parameter(around, nn.init.trunc_normal(std=0.02))
        if region:
            self.relative_position_bias_table_to_windows = Tables(num_heads, (window + region - 1) ** 2)
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def bias(self) -> Any:
        """B: the parameters by displacement, and for the margin one of every pair.  (heads, M^2, K)"""
        M, inside = self.window, self.relative_position_bias_table
        found = [F.embedding(displacements(M, M), inside).permute(2, 0, 1)]
        if self.expand:
            found.append(self.relative_position_bias_table_to_neighbors[0])
        if self.region:
            table = getattr(self.relative_position_bias_table_to_windows, "0")
            found.append(F.embedding(displacements(M, self.region), table.transpose(0, 1)).permute(2, 0, 1))
        return np.concatenate(found, axis=-1)

    def forward(self, windows: Any, coarse: Any, grid: Pair) -> Any:
        """windows (B, P Q, M^2, C) of a grid of P x Q, each pooled in coarse (B, P Q, C), or None -> (B, P Q, M^2, C)"""
        B, count, N, C = windows.shape
        tokens = windows.flatten(1, 2) if coarse is None else np.concatenate([windows.flatten(1, 2), coarse], axis=1)
        qkv, (index, outside) = self.qkv(tokens), keys_of(grid, self.window, self.expand, self.region)
        q = qkv[:, : count * N, :C].reshape(B, count, N, self.num_heads, -1).transpose(2, 3)  # (B, P Q, heads, M^2, D)
        rows = index + tokens.shape[1] * np.arange(B).reshape(B, 1, 1)
        kv = F.embedding(rows, qkv[..., C:].flatten(0, 1))  # (B, P Q, K, 2 C)
        k, v = kv.reshape(B, count, -1, 2, self.num_heads, C // self.num_heads).permute(3, 0, 1, 4, 2, 5).unbind(0)
        bias = self.bias()
        if outside.any():
            bias = bias + np.where(outside, FORBIDDEN, 0.0).astype(windows.dtype)[:, None, None]  # (P Q, heads, M^2, K)
        y = F.scaled_dot_product_attention(q, k, v, bias)  # (B, P Q, heads, M^2, D)
        return self.proj(y.transpose(2, 3).reshape(windows.shape))
