"""The Transformer's steps and its decoder's, against loops over heads, tokens, groups and sentences."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ...tape import Tensor
from ..drivers.transformer import attention, said, small
from ..expect import expect, expect_parts
from ..proxy import Student

State = dict[str, np.ndarray]


def filled(module: Any, rng: np.random.Generator) -> State:
    """Random weights, norms about 1."""
    state = module.state_dict()
    return {name: rng.normal(float("norm" in name and "weight" in name), 0.5, array.shape) for name, array in state.items()}


def attended(q: np.ndarray, k: np.ndarray, v: np.ndarray, sees: np.ndarray) -> np.ndarray:
    """Query by query: q (M, D), k and v (N, D), sees (M, N) -> (M, D); 0 where nothing is seen."""
    y = np.zeros_like(q)
    for t, row in enumerate(sees):
        if row.any():
            scores = k[row] @ q[t] / np.sqrt(q.shape[1])
            e = np.exp(scores - scores.max())
            y[t] = e @ v[row] / e.sum()
    return y


def multihead(student: Student, rng: np.random.Generator) -> None:
    """Head by head and query by query, of itself or of others, with padding, causal or not, with biases or without."""
    for heads, bias, M, N, batch in [(3, False, 4, 5, 2), (2, True, 3, 4, 1), (1, False, 1, 1, 2)]:
        w = filled(attention("F", heads, attention_bias=bias), rng)
        x, y = rng.standard_normal((batch, M, 12)), rng.standard_normal((batch, N, 12))
        for other, masked, causal in [(y, True, False), (y, False, False), (None, True, False), (None, False, True)]:
            keys = x if other is None else other
            seen = rng.random(keys.shape[:2]) < 0.6 if masked else None
            wide = [a @ W.T for a, W in zip((x, keys, keys), np.split(w["in_proj_weight"], 3), strict=True)]
            if bias:
                wide = [a + b for a, b in zip(wide, np.split(w["in_proj_bias"], 3), strict=True)]
            wanted = np.zeros_like(x)
            for b, own in itertools.product(range(batch), np.split(np.arange(12), heads)):
                sees = np.tri(M, keys.shape[1], dtype=bool) if causal else np.ones((M, keys.shape[1]), bool)
                q, k, v = (a[b][:, own] for a in wide)
                wanted[b][:, own] = attended(q, k, v, sees if seen is None else sees & seen[b])
            wanted = wanted @ w["out_proj.weight"].T + (w["out_proj.bias"] if bias else 0.0)
            of = "itself" if other is None else f"y {y.shape}"
            label = f"{heads} heads, x {x.shape} of {of}, " + ", ".join(
                [f"bias {bias}", "some unseen" if masked else "seen None", f"causal {causal}"]
            )
            sent = None if other is None else Tensor(other)
            expect(student.drive("transformer:attend", "F", heads, w, Tensor(x), sent, seen, causal, attention_bias=bias),
                   Tensor(wanted), label)  # fmt: skip


def loss(student: Student, rng: np.random.Generator) -> None:
    """Each sentence alone, without padding: what is read, what is wanted, and how likely each token is."""
    for lengths, smoothing in [([(3, 2), (2, 4)], 0.0), ([(1, 3), (4, 1), (2, 2)], 0.1), ([(2, 2)], 0.3)]:
        w, model = filled(small(), rng), small()
        model.load_state_dict(w)
        source, target = (np.zeros((len(lengths), max(n) + 1), np.int64) for n in zip(*lengths, strict=True))
        costs = []
        for s, t, (n, m) in zip(source, target, lengths, strict=True):
            s[: n + 1], t[: m + 1] = [*rng.integers(3, 6, n), 2], [*rng.integers(3, 6, m), 2]
            logits = model(s[None, : n + 1], np.array([[1, *t[:m]]])).numpy()[0]  # (m + 1, V)
            log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
            costs += [-(1 - smoothing) * row[token] - smoothing * row.mean() for row, token in zip(log_p, t, strict=False)]
        got = student.drive("transformer:model", w, source, target, smoothing)
        told = ", ".join(f"{n} to {m}" for n, m in lengths)
        expect(got, Tensor(np.float64(np.mean(costs))), f"the loss of sentences of {told} tokens and end, smoothing {smoothing}")


def best(table: np.ndarray, start: int, end: int, width: int, alpha: float) -> tuple[list[int], float]:
    """The search with lists: all that goes on from the kept beginnings, sorted; no sentence is given up before the last step."""
    log_p, kept, closed = said(table), [(0.0, [start])], []
    for n in range(1, len(table) + 1):
        grown = [(total + p, [*tokens, token]) for total, tokens in kept for token, p in enumerate(log_p(np.array([tokens]))[0])]
        closed += [(total / ((5 + n) / 6) ** alpha, tokens[1:]) for total, tokens in grown if tokens[-1] == end]
        kept = sorted(((total, tokens) for total, tokens in grown if tokens[-1] != end), key=lambda each: -each[0])[:width]
    score, tokens = max(closed, key=lambda each: each[0])
    return tokens, float(score)


def beam(student: Student, rng: np.random.Generator) -> None:
    """Beams of one to all beginnings, with each penalty, against lists."""
    for V, longest, width, alpha in itertools.chain(
        [(4, 1, 2, 0.6), (5, 4, 1, 0.6)], itertools.product([3, 4], [5], [2, 3, 50], [0.0, 0.6, 2.0])
    ):
        for _ in range(3):
            logits = 2 * rng.standard_normal((longest, V, V, V))
            table = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
            tokens, score = expect_parts(student.drive("transformer:beam", table, 1, 2, width, alpha), "tokens score")
            label = f"of {V} tokens, at most {longest}, beam {width}, alpha {alpha}"
            wanted, total = best(table, 1, 2, width, alpha)
            expect(str(np.array(tokens).tolist()), str(wanted), f"the sentence {label}")
            expect(float(score), total, f"its score, {label}")


def local(student: Student, rng: np.random.Generator) -> None:
    """Token by token: those of the own block, up to itself; a last block that is not full, one block for all."""
    for batch, heads, N, block in [(2, 3, 7, 3), (1, 2, 6, 2), (1, 1, 4, 6), (2, 2, 3, 1), (1, 4, 5, 5)]:
        w = filled(attention("L", heads), rng)
        q, k, v = rng.standard_normal((3, batch, heads, N, 12 // heads))
        t, s = np.indices((N, N))
        sees = (s <= t) & (s // block == t // block)
        wanted = np.stack([[attended(*each, sees) for each in zip(*heads, strict=True)] for heads in zip(q, k, v, strict=True)])
        got = student.drive("transformer:attend", "L", heads, w, Tensor(q), Tensor(k), Tensor(v), None, True, block=block)
        expect(got, Tensor(wanted), f"{N} tokens in blocks of {block}, batch {batch}, {heads} heads")


def compress(student: Student, rng: np.random.Generator) -> None:
    """Group by group, each token with its own matrix; tokens that are left over, too few for a group, groups of one."""
    for batch, heads, N, c in [(2, 3, 7, 3), (1, 2, 6, 2), (1, 1, 2, 3), (2, 4, 3, 1)]:
        w, x = filled(attention("M", heads, compression=c), rng), rng.standard_normal((batch, heads, N, 12 // heads))
        wanted = [x[:, :, 0]]
        for first in range(0, N - c + 1, c):
            group = w["keys.bias"] + np.zeros((batch, 12))
            for j in range(c):
                group = group + x[:, :, first + j].reshape(batch, 12) @ w["keys.weight"][:, :, j].T
            wanted.append(group.reshape(batch, heads, -1))
        got = student.drive("transformer:compress", w, Tensor(x), heads, c)
        expect(got, Tensor(np.stack(wanted, axis=2)), f"{N} tokens in groups of {c}, batch {batch}, {heads} heads")


def groups(student: Student, rng: np.random.Generator) -> None:
    """Token by token, key by key: does its whole group stand before?"""
    for length, c in [(7, 3), (6, 3), (4, 1), (2, 5), (1, 1), (9, 2)]:
        wanted = np.array([[j == 0 or max(range((j - 1) * c, j * c)) < t for j in range(1 + length // c)] for t in range(length)])
        expect(student(length, c), wanted, f"what {length} tokens see of groups of {c}")
