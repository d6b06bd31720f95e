"""A band as a mask and in blocks, pair by pair; options compared; texts whose tables are in them alone."""

from __future__ import annotations

import numpy as np

from ...tape import Tensor
from ..expect import expect, expect_parts, expect_that
from ..proxy import Student


def band(student: Student, rng: np.random.Generator) -> None:
    """Pair by pair: a query of token t sees the tokens s with t - reach < s <= t."""
    for queries, keys, reach in [(5, 5, 2), (5, 5, 1), (6, 6, 9), (1, 7, 3), (3, 8, 4), (0, 0, 2)]:
        seen = np.zeros((queries, keys), bool)
        for i in range(queries):
            token = i + keys - queries
            seen[i, max(0, token - reach + 1) : token + 1] = True
        expect(student(queries, keys, reach), seen, f"the band for {queries} queries, {keys} keys, reach {reach}")


def blocks(student: Student, rng: np.random.Generator) -> None:
    """Softmax over the few keys that each query sees, query by query; all at once, and behind a memory."""
    for reach, queries, keys in [(3, 6, 6), (3, 8, 8), (4, 3, 3), (1, 4, 4), (3, 1, 7), (3, 2, 9), (2, 4, 5)]:
        q, k, v = (rng.standard_normal((2, 2, n, 4)) for n in (queries, keys, keys))
        wanted = np.zeros_like(q)
        for i in range(queries):
            token = i + keys - queries
            near = slice(max(0, token - reach + 1), token + 1)
            e = np.exp(np.einsum("bhd,bhsd->bhs", q[:, :, i], k[:, :, near]) / 2.0)
            wanted[:, :, i] = np.einsum("bhs,bhsd->bhd", e / e.sum(-1, keepdims=True), v[:, :, near])
        label = f"a band of {reach}, {queries} queries and {keys} keys"
        expect(student.drive("in_context:attend", reach, Tensor(q), Tensor(k), Tensor(v)), Tensor(wanted), label)


def scores(student: Student, rng: np.random.Generator) -> None:
    """Sums and means, token by token, with and without what is taken off."""
    for lengths in [(1, 3, 2), (4,), (2, 2)]:
        log_p, other = ([-rng.exponential(1.0, n) for n in lengths] for _ in range(2))
        for per_token in (True, False):
            for without in (None, other):
                wanted = []
                for i, n in enumerate(lengths):
                    total = 0.0
                    for t in range(n):
                        total += log_p[i][t] - (other[i][t] if without is not None else 0.0)
                    wanted.append(total / n if per_token else total)
                label = f"scores of options of {', '.join(map(str, lengths))} tokens, per_token={per_token}"
                label += ", unconditional=None" if without is None else ", something taken off"
                expect(student(log_p, per_token, without), np.array(wanted), label)


def pairs(student: Student, rng: np.random.Generator) -> None:
    """Every value is what the text's own table says; tables and keys have all their numbers, and differ from text to text."""
    for batch, count, keys, values in [(1, 3, 2, 5), (300, 7, 3, 4), (200, 2, 5, 2)]:
        asked = f"pairs(rng, {batch}, {count}, {keys}, {values})"
        got = student.drive("in_context:drawn", int(rng.integers(2**31)), batch, count, keys, values)
        tokens, tables = (np.asarray(part) for part in expect_parts(got, "tokens tables"))
        shapes, wanted = (tokens.shape, tables.shape), ((batch, 2 * count), (batch, keys))
        expect_that(shapes == wanted, f"the shapes of tokens and tables of {asked}", f"{wanted[0]} and {wanted[1]}", f"{shapes}")
        for name, part, low, high in (
            ("tables", tables, 0, values), ("keys", tokens[:, ::2], 0, keys), ("values", tokens[:, 1::2], keys, keys + values),
        ):  # fmt: skip
            fits = part.dtype.kind in "iu" and part.min() >= low and part.max() < high
            expect_that(fits, f"{name} of {asked}", f"whole numbers from {low} to {high - 1}", f"{part.min()} to {part.max()}")
        right = keys + np.take_along_axis(tables, tokens[:, ::2], 1)
        expect(tokens[:, 1::2].astype(np.int64), right.astype(np.int64), f"values of {asked}, by its tables and keys")
        if batch > 1:
            for name, part, numbers in (("tables", tables, values), ("keys", tokens[:, ::2], keys)):
                shares = np.stack([(part == number).mean(0) for number in range(numbers)])  # of each number, at each place
                even = np.abs(shares - 1 / numbers).max() < 0.2
                expect_that(even, f"{name} of {asked}: each number's share at each place", f"about {1 / numbers:.2f}",
                            f"{shares.min():.2f} to {shares.max():.2f}")  # fmt: skip
            again = (tokens[:, :-2:2] == tokens[:, 2::2]).mean()
            expect_that(
                again > 0.3 / keys, f"how often a key of {asked} comes twice in a row", f"about {1 / keys:.2f}", f"{again:.2f}"
            )
