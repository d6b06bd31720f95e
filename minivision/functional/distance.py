"""Distances between vectors, and the losses of metric and contrastive learning."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ShapeError
from ..ops.elementwise import raw, shape_of
from ._losses import describe, reduce
from .loss import cross_entropy

__all__ = [
    "cosine_embedding_loss", "cosine_similarity", "info_nce", "margin_ranking_loss", "pairwise_distance", "triplet_margin_loss",
]  # fmt: skip


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """<x1, x2> / (max(|x1|, eps) max(|x2|, eps)) along dim; x1 and x2 broadcast."""
    return np.sum(_unit(x1, dim, eps) * _unit(x2, dim, eps), axis=dim)


def _unit(x: Any, dim: int, eps: float) -> Any:
    """x / max(|x|, eps)."""
    return x / np.sqrt(np.maximum(np.sum(x * x, axis=dim, keepdims=True), eps * eps))


def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """(sum_i |x1_i - x2_i + eps|^p)^(1 / p) over the last axis; p may be infinite (the largest) or 0 (how many are not 0).

    x1 (N, D) or (D), x2 likewise; they broadcast. The gradient at a distance of 0 is 0.
    """
    if p < 0:
        raise ValueError(f"pairwise_distance: p must not be below 0, got {p}")
    d = np.absolute(x1 - x2 + eps)
    if p == np.inf:
        return np.max(d, axis=-1, keepdims=keepdim)
    if p == 1:
        return np.sum(d, axis=-1, keepdims=keepdim)
    if p == 0:
        return np.sum(_power(d, 0.0), axis=-1, keepdims=keepdim)
    return _power(np.sum(_power(d, float(p)), axis=-1, keepdims=keepdim), 1.0 / p)


def _power(x: Any, p: float) -> Any:
    """x^p for x >= 0, with slope 0 at 0."""
    zero = raw(x) == 0
    safe = np.where(zero, 1.0, x)
    return np.where(zero, 0.0, safe * safe if p == 2 else np.sqrt(safe) if p == 0.5 else safe**p)


def _above_zero(x: Any) -> Any:
    return np.clip(x, 0.0, None)


def cosine_embedding_loss(input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean") -> Any:
    """1 - cos where target is 1, max(0, cos - margin) where it is -1;  cos between the rows of input1 and input2.

    inputs (N, D) and target (N), or (D) and ().
    """
    if len(shape_of(input1)) - 1 != len(shape_of(target)) or len(shape_of(input1)) not in (1, 2):
        hint = "inputs are (N, D) with target (N), or (D) with target ()"
        arguments = describe(input1=input1, input2=input2, target=target)
        raise ShapeError("cosine_embedding_loss", f"target has {len(shape_of(target))} axes", arguments, hint)
    norms, target = np.sum(input1 * input1, axis=-1) + EPSILON, np.asarray(raw(target))
    cos = np.sum(input1 * input2, axis=-1) / np.sqrt(norms * (np.sum(input2 * input2, axis=-1) + EPSILON))
    return reduce(np.where(target == 1, 1.0 - cos, np.where(target == -1, _above_zero(cos - margin), 0.0)), reduction)


EPSILON = 1e-12  # added to squared lengths, as torch has it


def margin_ranking_loss(input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean") -> Any:
    """max(0, -t (input1 - input2) + margin): input1 is to rank above input2 where t = 1, below where t = -1."""
    return reduce(_above_zero(margin - target * (input1 - input2)), reduction)


def triplet_margin_loss(
    anchor: Any, positive: Any, negative: Any, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d = pairwise_distance.  Schroff et al. 2015, eq. 3.

    All (N, D) or (D). swap: the smaller of d(anchor, negative) and d(positive, negative) counts (Balntas et al. 2016, section 3).
    """
    if margin <= 0:
        raise ValueError(f"triplet_margin_loss: margin must be above 0, got {margin}")
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = np.minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduce(_above_zero(near - far + margin), reduction)


def info_nce(
    query: Any, keys: Any, temperature: Any = 0.1, *, symmetric: bool = False, normalize: bool = True, reduction: str = "mean"
) -> Any:
    """-log of softmax(<q_i, k_j> / temperature)_i over all keys j: key i is query i's own, the others are noise.

    query (N, D), keys (M, D), M >= N: the first N keys are the queries' own, in order. normalize makes rows of length 1
    first; temperature is a number above 0 or a scalar Tensor. symmetric adds the loss of the keys among the queries and
    halves the sum (M = N). van den Oord et al. 2018, eq. 4; Radford et al. 2021, figure 3.
    """
    if query.ndim != 2 or keys.ndim != 2 or len(keys) < len(query) or (symmetric and len(keys) != len(query)):
        hint = "query is (N, D), keys (M, D) with M >= N; symmetric asks for M = N"
        raise ShapeError("info_nce", "queries and keys do not pair up", describe(query=query, keys=keys), hint)
    if not raw(temperature) > 0:
        raise ValueError(f"info_nce: temperature must be above 0, got {raw(temperature)}")
    q, k = (_unit(query, 1, 1e-12), _unit(keys, 1, 1e-12)) if normalize else (query, keys)
    logits, own = np.matmul(q, np.swapaxes(k, 0, 1)) / temperature, np.arange(len(query))
    loss = cross_entropy(logits, own, reduction=reduction)
    return 0.5 * (loss + cross_entropy(np.swapaxes(logits, 0, 1), own, reduction=reduction)) if symmetric else loss
