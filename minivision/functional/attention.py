"""Scaled dot-product attention."""

from __future__ import annotations

import math
from typing import Any

from .. import ops
from .activation import softmax
from .dropout import dropout

__all__ = ["scaled_dot_product_attention"]


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Any:
    """softmax(scale q k^T + mask) v;  query (..., M, D), key (..., N, D), value (..., N, E) -> (..., M, E).

    attn_mask broadcasts to (..., M, N): True where a query may see a key, or a float that is added. scale defaults to
    1 / sqrt(D). Vaswani et al. 2017, eq. 1.
    """
    scale = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
    if dropout_p > 0.0:  # dropping weights needs them: the plain product
        weights = softmax(ops.attention._scores(query, key, attn_mask, is_causal, scale))
        return ops.matmul.matmul(dropout(weights, dropout_p), value)
    return ops.attention.attention(query, key, value, attn_mask, causal=is_causal, scale=scale)
