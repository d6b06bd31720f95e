"""Attention by Python's own loops over queries and keys."""

from __future__ import annotations

import math

import numpy as np

from . import Oracle


def _call(rng):
    """Leading axes that broadcast, causal or not, no mask, a boolean one or one that is added."""
    m, n, d, e = (int(size) for size in rng.integers(1, 7, 4))
    lead = [(), (2,), (2, 3), (1, 3), (2, 1, 2)][rng.integers(5)]
    q, k, v = (rng.standard_normal((*lead, *shape)) for shape in ((m, d), (n, d), (n, e)))
    if lead and rng.random() < 0.3:
        k = k[..., :1, :, :] if len(lead) > 1 else k[0]
    rows, columns = (size if rng.random() < 0.7 else 1 for size in (m, n))
    front = lead if rng.random() < 0.5 else ()
    masks = [None, rng.random((*front, rows, columns)) < 0.6, rng.standard_normal((*front, rows, columns))]
    return (q, k, v, masks[rng.integers(3)]), {"causal": bool(rng.random() < 0.3), "scale": float(rng.uniform(0.2, 1.5))}


def _answer(q, k, v, mask, *, causal, scale):
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2], () if mask is None else mask.shape[:-2])
    q, k, v = (np.broadcast_to(x, (*lead, *x.shape[-2:])) for x in (q, k, v))
    mask = None if mask is None else np.broadcast_to(mask, (*lead, q.shape[-2], k.shape[-2]))
    y = np.zeros((*lead, q.shape[-2], v.shape[-1]))
    for at in np.ndindex(*lead):
        for i in range(q.shape[-2]):
            weights = [_weight(q[at][i], k[at][j], mask if mask is None else mask[at][i, j], scale) for j in range(k.shape[-2])]
            weights = [0.0 if causal and j > i else w for j, w in enumerate(weights)]
            for c in range(v.shape[-1]):
                y[at][i, c] = sum(w * x for w, x in zip(weights, v[at][:, c], strict=True)) / (math.fsum(weights) or 1.0)
    return y


def _weight(query, key, mask, scale) -> float:
    score = scale * math.fsum(a * b for a, b in zip(query, key, strict=True))
    if mask is None:
        return math.exp(score)
    return (math.exp(score) if mask else 0.0) if mask.dtype == bool else math.exp(score + mask)


ORACLES = {"attention": Oracle(_call, _answer)}
