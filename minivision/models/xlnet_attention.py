"""XLNet's attention: by content, by distance, and by whether the segment is the same (Yang et al. 2019, arXiv 1906.08237)."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .. import functional as F
from .. import nn
from .permutation import View

NORMAL = nn.init.normal(std=0.02)


@functools.lru_cache(maxsize=8)
def distances(queries: int, keys: int, width: int) -> np.ndarray:
    """Sines, then cosines, of the distances from `keys` down to 1 - `queries`: those ahead of a query too.  (K + T, width)

    sin(n / 10000^(2 i / width)); of what is before a query the distance is positive.
    """
    n = np.arange(keys, -queries, -1.0)[:, None]  # (K + T, 1)
    angles = n / 10000.0 ** (np.arange(0, width, 2) / width)  # (K + T, width / 2)
    return np.concatenate([np.sin(angles), np.cos(angles)], -1)


def by_key(scores: Any, keys: int, places: Any = None) -> Any:
    """Scores of distances K, K - 1, ..., 1 - T -> of keys 0 ... K - 1.  (B, heads, T, K + T) -> (B, heads, T, K)

    Row i is of place i, which is the key number K - T + i: what it has for key j stands in column T - i + j. Numbered along
    memory, that is i (K + T - 1) + j, T further on: no number is moved, the rows are cut elsewhere. With places (B, M) there
    are rows of these alone, and they are gathered: (B, heads, M, K + T) -> (B, heads, M, K).
    """
    *batch, rows, wide = scores.shape
    T = wide - keys
    if places is not None:
        columns = T - places[:, None, :, None] + np.arange(keys)  # (B, 1, M, K)
        return np.take_along_axis(scores, np.broadcast_to(columns, (*batch, rows, keys)), -1)  # (B, heads, M, K)
    flat = scores.reshape(*batch, rows * wide)[..., T:]  # (B, heads, T (K + T - 1))
    return flat.reshape(*batch, rows, wide - 1)[..., :keys]  # (B, heads, T, K)


class RelativeAttention(nn.Module):
    """Sections 2.3 to 2.5: attention by content, by distance and by whether the segment is the same; then the norm.

    softmax(((q + u) k_j + (q + v) r_(i - j) + (q + w) s_ij) / sqrt(D_h)) v, where u, v, w are r_w_bias, r_r_bias, r_s_bias.
    """

    def __init__(self, width: int, heads: int, eps: float, drop_rate: float) -> None:
        super().__init__()
        D, D_h = width, width // heads
        self.q, self.k, self.v, self.o, self.r = (nn.Parameter((D, heads, D_h), NORMAL) for _ in range(5))
        self.r_r_bias, self.r_s_bias, self.r_w_bias = (nn.Parameter((heads, D_h), NORMAL) for _ in range(3))
        self.seg_embed = nn.Parameter((2, heads, D_h), NORMAL)
        self.layer_norm = nn.LayerNorm(D, eps)
        self.drop = nn.Dropout(drop_rate)
        self.heads, self.scale = heads, 1.0 / math.sqrt(D_h)

    def forward(self, h: Any, g: Any, r: Any, content: View, query: View, before: Any = None) -> tuple[Any, Any]:
        """Keys and values are the content's for both streams, and so are all weights.

        h (B, T, D) and g (B, M, D) or None -> the same; r (K + T, D): distances; before (B, K - T, D): remembered, or None
        """
        known = h if before is None else np.concatenate([before, h], 1)  # (B, K, D)
        k, v, r = self.project(known, self.k), self.project(known, self.v), self.project(r[None], self.r)
        return self.attend(h, k, v, r, content), None if g is None else self.attend(g, k, v, r, query)

    def project(self, x: Any, weight: Any) -> Any:
        """x (B, N, D) by (D, heads, D_h) -> (B, heads, N, D_h)"""
        y = F.linear(x, np.swapaxes(weight.reshape(x.shape[-1], -1), 0, 1))  # (B, N, D)
        return y.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)  # (B, heads, N, D_h)

    def attend(self, x: Any, k: Any, v: Any, r: Any, view: View) -> Any:
        """norm(x + attention);  x (B, M, D), k and v (B, heads, K, D_h), r (1, heads, K + T, D_h) -> (B, M, D)"""
        q = self.project(x, self.q)  # (B, heads, M, D_h)
        bias = self.bias(q, r, k.shape[2], view)  # (B, heads, M, K)
        y = F.scaled_dot_product_attention(q + self.r_w_bias[:, None], k, v, bias, scale=self.scale)  # (B, heads, M, D_h)
        y = F.linear(y.transpose(1, 2).flatten(2), self.o.reshape(x.shape[-1], -1))  # (B, M, D)
        return add_norm(self.drop(y), x, self.layer_norm)

    def bias(self, q: Any, r: Any, keys: int, view: View) -> Any:
        """What is added to the content's scores: by distance and segment, and what is hidden.  -> (B, heads, M, K)"""
        placed = (q + self.r_r_bias[:, None]) * self.scale  # (B, heads, M, D_h)
        bias = by_key(placed @ r.transpose(2, 3), keys, view.places)  # (B, heads, M, K)
        if view.differs is not None:  # s_ij is s_0 or s_1; (q + w) s_0 is the same for all keys, so softmax does not see it
            other = (self.seg_embed[1] - self.seg_embed[0])[:, :, None]  # (heads, D_h, 1)
            bias = bias + ((q + self.r_s_bias[:, None]) * self.scale) @ other * view.differs
        return bias if view.hidden is None else bias + view.hidden


def add_norm(y: Any, x: Any, norm: nn.LayerNorm) -> Any:
    """norm(y + x) in one pass over memory."""
    return F.add_layer_norm(y, x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)[1]
