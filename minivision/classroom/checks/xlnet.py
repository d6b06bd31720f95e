"""XLNet: orders as masks, distances brought to keys, which places are drawn, and the loss of these."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...tape import Tensor
from ..drivers.xlnet import small
from ..expect import expect, expect_error, expect_parts, expect_that
from ..proxy import Student


def masks(student: Student, rng: np.random.Generator) -> None:
    """Turn by turn: a place sees those whose turn has been. One order, several, and of one place."""
    for shape in [(4,), (1,), (3, 6), (2, 2, 5)]:
        order = rng.permuted(np.broadcast_to(np.arange(shape[-1]), shape), axis=-1)
        if shape == (4,):
            order = np.array([1, 2, 0, 3])  # not its own inverse
        wanted = np.ones((*shape, shape[-1]), bool)
        for at in np.ndindex(shape[:-1]):
            seen: list[int] = []
            for place in order[at]:
                wanted[at][place, seen] = False
                seen.append(place)
        expect(student(order), wanted, f"what may not be seen along {order.tolist() if order.ndim == 1 else f'orders {shape}'}")


def keys(student: Student, rng: np.random.Generator) -> None:
    """Each key's distance looked up in the list of distances; every place or some, with memory and without."""
    for B, T, K, places in [(2, 3, 3, None), (1, 4, 7, None), (1, 1, 1, None), (2, 4, 7, [[2, 0], [3, 3]]), (1, 3, 3, [[2]])]:
        at = np.arange(T)[None].repeat(B, 0) if places is None else np.array(places)
        scores = rng.standard_normal((B, 2, at.shape[1], K + T))
        far, wanted = list(range(K, -T, -1)), np.empty((B, 2, at.shape[1], K))
        for b, row, j in np.ndindex(B, at.shape[1], K):
            wanted[b, :, row, j] = scores[b, :, row, far.index(at[b, row] + K - T - j)]
        given = (Tensor(scores), K) if places is None else (Tensor(scores), K, at)
        told = "all places" if places is None else f"places {places}"
        expect(student(*given), Tensor(wanted), f"scores {scores.shape} of {told}, {K} keys, T = {T}")


def draws(student: Student, rng: np.random.Generator) -> None:
    """Targets are the last of each block, functional tokens keep their turns; the mask is made of the ranks, pair by pair."""
    cases: list[tuple[int, int, int, dict[str, Any]]] = [
        (3, 8, 4, {}), (2, 8, 2, {"block": 4}), (2, 6, 1, {}), (9, 8, 4, {"block": 8, "functional": (9,)}),
    ]  # fmt: skip
    for B, T, K, options in cases:
        tokens, block = rng.integers(5, size=(B, T)), options.get("block", T)
        if "functional" in options:
            tokens[:, [2, 5]] = 9
        fixed, seed = tokens == 9, int(rng.integers(1 << 30))
        label = f"for tokens {tokens.shape}, K = {K}" + "".join(f", {name}={value}" for name, value in options.items())
        got = student.drive("xlnet:draws", tokens, K, seed, **options)
        rank, mask, places = (np.asarray(part) for part in expect_parts(got, "rank perm_mask target_mapping"))
        shapes = [(B, T), (B, T, T), (B, T // block * (block // K))]
        expect([each.shape for each in (rank, mask, places)], shapes, f"the shapes of rank, perm_mask and target_mapping {label}")
        target = np.zeros((B, T), bool)
        np.put_along_axis(target, places, True, 1)
        expect_that(not (target & fixed).any(), f"target_mapping {label}", "no functional token", places)
        expect(target.sum(1), np.full(B, places.shape[1]), f"how many places are targets {label}")
        expect(rank < 0, ~(target | fixed), f"whose rank is -1 {label}")
        turns = np.take_along_axis(rank, places, 1)
        expect_that(bool((np.diff(turns) > 0).all()), f"the ranks of target_mapping {label}", "rising", turns)
        expect(turns // block, places // block, f"the blocks of the targets' turns {label}")
        if not fixed.any():
            last = [b * block + turn for b in range(T // block) for turn in range(block - block // K, block)]
            expect(turns, np.array([last] * B), f"the ranks of target_mapping {label}")
        wanted = np.zeros((B, T, T), bool)
        for b, i, j in np.ndindex(B, T, T):
            own = fixed[b, i] and i == j
            wanted[b, i, j] = (target[b, j] or fixed[b, j]) and rank[b, j] >= rank[b, i] and not own
        expect(mask, wanted, f"perm_mask, by these ranks, {label}")
    places = np.asarray(student.drive("xlnet:draws", np.zeros((64, 8), int), 4, int(rng.integers(1 << 30)))[2])
    several = len({tuple(row) for row in places.tolist()})
    expect_that(several > 8, "how many different pairs of targets 64 texts of 8 tokens have", "more than 8 (of 56)", several)
    expect_error(
        lambda: student.drive("xlnet:draws", np.zeros((1, 8), int), 2, 0, block=3), ValueError, "blocks of 3 in 8 tokens"
    )
    expect_error(lambda: student.drive("xlnet:draws", np.zeros((1, 8), int), 9, 0), ValueError, "K = 9 of 8 tokens")


def loss(student: Student, rng: np.random.Generator) -> None:
    """Text by text and target by target, from the logits of the query stream."""
    for B, T, M in [(2, 5, 2), (1, 3, 1), (3, 4, 3)]:
        w = {name: rng.normal(float("norm.weight" in name), 0.7, value.shape) for name, value in small().state_dict().items()}
        model, tokens, segments = small(), rng.integers(5, size=(B, T)), rng.integers(2, size=(B, T))
        model.load_state_dict(w)
        segments[:, 0], segments[:, 1] = 0, 1
        order = rng.permuted(np.arange(T)[None].repeat(B, 0), axis=1)
        rank, costs = np.argsort(order, 1), []
        mask, places = rank[:, :, None] <= rank[:, None, :], order[:, T - M :]
        for b, m in np.ndindex(B, M):
            logits = model(tokens[b : b + 1], mask[b : b + 1], places[b : b + 1, m : m + 1], segments[b : b + 1]).numpy()[0, 0]
            costs.append(np.log(np.exp(logits).sum()) - logits[tokens[b, places[b, m]]])
        got = student.drive("xlnet:loss", w, tokens, (rank, mask, places), segments)
        expect(got, Tensor(np.mean(costs)), f"the loss of {B} texts of {T} tokens, {M} of them targets, with segments")
