"""Factorisation orders: in which order the tokens of a text are told, and what may be seen then.

Yang, Dai, Yang, Carbonell, Salakhutdinov, Le. XLNet. NeurIPS 2019, arXiv 1906.08237, sections 2.2 and 2.3.

log p(x) = sum_t log p(x_(z_t) | x_(z_1) ... x_(z_(t-1))) holds for each of the T! orders z of a text's places. The tokens stay
where they stand: an order is nothing but a mask. From left to right it is autoregression.

Deviation: the last of an order are predicted, as in the paper; the authors' code chooses spans of words first, and an order of
them then.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import random
from ..errors import ShapeError

HIDDEN = -np.inf  # added to the score of a key that a query may not see


def ranks(order: Any) -> np.ndarray:
    """When each place's turn comes: the inverse of an order z, or of several.  (..., T) -> (..., T)

    order[..., t] is the place whose turn is number t.
    """
    return np.argsort(np.asarray(order), axis=-1)


def orders(order: Any) -> np.ndarray:
    """Section 2.2: the perm_mask of an order z, or of several: True where place i may not see place j.

    order[..., t] is the place whose turn is number t. A place sees those whose turn is before its own, and never itself (the
    content stream adds that).  (..., T) -> (..., T, T)
    """
    rank = ranks(order)
    return rank[..., :, None] <= rank[..., None, :]  # (..., T, T)


class Drawn(NamedTuple):
    """What `draw_orders` draws: rank (B, T), perm_mask (B, T, T), and target_mapping (B, M), the places to predict."""

    rank: np.ndarray
    perm_mask: np.ndarray
    target_mapping: np.ndarray


def draw_orders(
    tokens: Any, K: int = 6, *, block: int | None = None, functional: Collection[int] = (), rng: np.random.Generator | None = None
) -> Drawn:
    """Section 2.3, partial prediction: random orders, of which the last 1/K are predicted.

    tokens (B, T). Each text has an order of its own, drawn within blocks of `block` places (None: all T), one block after
    another; the last block // K of each are its targets, in the order of their turns, but tokens in `functional` (separators
    and the like) never are. Functional tokens keep their turn: they see themselves and what was before, and are seen by the
    targets after them. All others have rank -1: everyone sees them, and they see only each other. With K = 1 there are none of
    these: all is predicted. ValueError where blocks do not divide the text, where K is below 1 or above a block, and where a
    block has too few tokens that may be targets.
    """
    tokens, rng = np.asarray(tokens), rng or random.generator()
    B, T = tokens.shape
    block = T if block is None else block
    if block < 1 or T % block or not 1 <= K <= block:
        raise ValueError(f"blocks of {block} must divide a text of {T}, and K = {K} lie between 1 and {block}")
    order = rng.permuted(np.arange(T).reshape(1, -1, block).repeat(B, 0), axis=-1)  # (B, T / block, block)
    fixed = np.isin(tokens, list(functional))  # (B, T)
    may = ~np.take_along_axis(fixed, order.reshape(B, T), 1).reshape(order.shape)  # in the order of turns
    last = may & (np.cumsum(may[..., ::-1], -1)[..., ::-1] <= block // K)  # (B, T / block, block)
    if (last.sum(-1) < block // K).any():
        raise ValueError(f"a block of {block} tokens has fewer than {block // K} that may be targets")
    places = order[last].reshape(B, -1)  # (B, M)
    target = np.zeros((B, T), bool)
    np.put_along_axis(target, places, True, 1)
    late = target | fixed
    rank = np.where(late, ranks(order.reshape(B, T)), -1)
    before = np.where(target, rank, rank + 1)  # what has a lower rank than this is seen: not a target's own token
    return Drawn(rank, late[:, None, :] & (before[:, :, None] <= rank[:, None, :]), places)


def as_places(target_mapping: Any, B: int, T: int) -> np.ndarray:
    """Places (B, M), from these or from (B, M, T) with a 1 at each; else ShapeError."""
    mapping = np.asarray(target_mapping)
    if mapping.ndim == 3 and mapping.shape[::2] == (B, T) and ((mapping != 0).sum(-1) == 1).all():
        return mapping.argmax(-1)
    if mapping.ndim != 2 or len(mapping) != B or mapping.dtype.kind not in "iu" or ((mapping < 0) | (mapping >= T)).any():
        problem = f"target_mapping should be places (B, M) below {T}, or (B, M, {T}) with one 1 in each row"
        raise ShapeError("xlnet", problem, f"tokens {(B, T)}, target_mapping {mapping.shape} {mapping.dtype}")
    return mapping


@dataclass(frozen=True)
class View:
    """What the queries of a stream see of the keys; each None, or (B or 1, 1, M, K), and `places` (B, M).

    hidden: added to a score, 0 or HIDDEN; differs: 1 where the key is of another segment; places: where the queries are, if not
    at every token.
    """

    hidden: np.ndarray | None = None
    differs: np.ndarray | None = None
    places: np.ndarray | None = None


def views(T: int, N: int, perm_mask: Any, places: Any, segments: Any, attention_mask: Any, dtype: np.dtype) -> tuple[View, View]:
    """What the content stream sees of N remembered and T new tokens, and what the queries at some places (B, M) or None see.

    Padding is hidden from everyone, but a token of the content stream always sees itself. What is remembered is seen by all,
    and is of segment 0, as in transformers.
    """
    hidden = np.zeros((1, T, T), bool) if perm_mask is None else np.asarray(perm_mask) != 0  # (B or 1, T, T)
    if attention_mask is not None:
        hidden = hidden | (np.asarray(attention_mask) == 0)[:, None]
    hidden = np.pad(hidden, ((0, 0), (0, 0), (N, 0)))[:, None]  # (B or 1, 1, T, K)
    differs = None
    if segments is not None:
        known = np.pad(segments, ((0, 0), (N, 0)))  # (B, K)
        differs = (np.asarray(segments)[:, :, None] != known[:, None])[:, None].astype(dtype)  # (B, 1, T, K)
    content = View(_added(hidden & ~np.eye(T, N + T, N, dtype=bool), dtype), differs)
    if places is None:
        return content, View()
    rows = places[:, None, :, None]  # (B, 1, M, 1)
    seen = _added(np.take_along_axis(hidden, rows, 2), dtype)
    return content, View(seen, None if differs is None else np.take_along_axis(differs, rows, 2), places)


def _added(hidden: np.ndarray, dtype: np.dtype) -> np.ndarray | None:
    """What is added to scores; None where nothing is hidden."""
    return np.where(hidden, HIDDEN, 0.0).astype(dtype) if hidden.any() else None
