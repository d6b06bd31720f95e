"""Softmax attention (Vaswani et al. 2017, eq. 1)."""

from __future__ import annotations

import numpy as np

from .. import kernels
from ..op import op
from .elementwise import raw, unbroadcast
from .matmul import matmul, transpose_last


def causal_mask(queries: int, keys: int) -> np.ndarray:
    """True where query i may see key j: j <= i."""
    return np.tril(np.ones((queries, keys), bool))


def _scores(q, k, mask, causal, scale):
    """s = scale q k^T + mask, -inf where the mask is False or the key lies in the future."""
    s = matmul(q * scale, transpose_last(k))
    if causal:
        s = np.where(causal_mask(*s.shape[-2:]), s, np.asarray(-np.inf, s.dtype))
    if mask is None:
        return s
    return np.where(mask, s, np.asarray(-np.inf, s.dtype)) if raw(mask).dtype == bool else s + mask


def _attention(q, k, v, mask, *, causal=False, scale=1.0):
    """y = p v,  p = softmax(s),  s = scale q k^T + mask;   L = log sum exp(s), row by row

    A boolean mask is True where a query may see a key; a float mask is added. A row that sees no key is 0.

    shapes: q(..., M, D), k(..., N, D), v(..., N, E) -> y(..., M, E);  keeps: q, k, v, mask, y, L
    """
    s = _scores(q, k, mask, causal, scale)
    top = np.max(raw(s), axis=-1, keepdims=True)
    top = np.where(np.isfinite(top), top, np.zeros_like(top))
    e = np.exp(s - top)
    total = np.sum(e, axis=-1, keepdims=True)
    seen = raw(total) > 0
    y = matmul(e, v) / np.where(seen, total, np.ones_like(total))
    lse = np.where(seen, np.log(np.where(seen, total, np.ones_like(total))) + top, np.asarray(np.inf, top.dtype))
    return y, (q, k, v, mask, y, np.squeeze(lse, -1))


def _attention_vjp(dy, kept, *, causal=False, scale=1.0):
    """p = exp(s - L);  dv = p^T dy,  ds = p (dy v^T - <dy, y>),  dq = scale ds k,  dk = scale ds^T q,  dmask = ds"""
    q, k, v, mask, y, lse = kept
    p = np.exp(_scores(q, k, mask, causal, scale) - np.expand_dims(lse, -1))
    ds = p * (matmul(dy, transpose_last(v)) - np.sum(dy * y, axis=-1, keepdims=True))
    dq = unbroadcast(matmul(ds, k) * scale, q.shape)
    dk = unbroadcast(matmul(transpose_last(ds), q) * scale, k.shape)
    dmask = unbroadcast(ds, mask.shape) if mask is not None and raw(mask).dtype != bool else None
    return dq, dk, unbroadcast(matmul(transpose_last(p), dy), v.shape), dmask


attention = op("attention", _attention, _attention_vjp, kernel=kernels.attention)
