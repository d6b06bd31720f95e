"""What attention costs: multiply-adds counted one by one, windows taken out one by one, attention that keeps a number a row."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ..expect import expect, expect_parts
from ..proxy import Student


def attention_macs(student: Student, rng: np.random.Generator) -> None:
    """The multiplications of q k^T and of p v, counted as two loops over the batch would do them."""
    for batch_q, batch_k, m, n, d, e in [
        ((), (), 3, 5, 2, 4),
        ((2, 3), (2, 3), 4, 4, 8, 8),
        ((2, 3), (3,), 5, 2, 3, 7),
        ((4,), (), 1, 6, 2, 1),
        ((3,), (2, 3), 2, 3, 4, 4),
    ]:
        batch = np.broadcast_shapes(batch_q, batch_k)
        q, k, v = np.zeros((*batch_q, m, d)), np.zeros((*batch_k, n, d)), np.zeros((*batch_k, n, e))
        counted = sum(d * m * n + m * e * n for _ in np.ndindex(batch))  # each of (M, N) sums D; each of (M, E) sums N
        label = f"multiply-adds for q {q.shape}, k {k.shape}, v {v.shape}"
        expect(student(np.zeros((*batch, m, e)), q, k, v), counted, label)


def convolution_macs(student: Student, rng: np.random.Generator) -> None:
    """Each element of y sums over a window of its own group's channels."""
    for (n, c, o, groups), image, window in itertools.product(
        [(1, 3, 8, 1), (2, 6, 4, 2), (1, 5, 5, 5)], [(4, 6), (1, 1)], [(3, 3), (1, 2)]
    ):
        y, x, weight = np.zeros((n, o, *image)), np.zeros((n, c, 9, 9)), np.zeros((o, c // groups, *window))
        counted = sum(c // groups * window[0] * window[1] for _ in np.ndindex(y.shape))
        label = f"multiply-adds for y {y.shape} from {c} channels in {groups} groups and windows of {window}"
        expect(student(y, x, weight, None), counted, label)


def window_partition(student: Student, rng: np.random.Generator) -> None:
    """Each window cut out of the image by slices, row of windows by row of windows; the image rolled before."""
    for shape, size, shift in [
        ((1, 4, 6, 2), (2, 3), (0, 0)),
        ((2, 6, 6, 1), (3, 3), (1, 1)),
        ((2, 4, 4, 3), (4, 2), (0, 1)),
        ((3, 2, 8, 1), (1, 4), (1, 3)),
    ]:
        x, (n, h, w, _), (r, s) = rng.standard_normal(shape), shape, size
        rolled = np.roll(x, (-shift[0], -shift[1]), (1, 2))
        corners = itertools.product(range(n), range(0, h, r), range(0, w, s))
        expected = np.stack([rolled[i, top : top + r, left : left + s] for i, top, left in corners])
        y, kept = expect_parts(student(x, size=size, shift=shift), "y kept")
        expect(y, expected, f"the windows of {size} of x {shape}, shift={shift}", tolerance=0)
        expect(kept, ((h, w),), f"what is kept for x {shape}")


def attention_without_matrix(student: Student, rng: np.random.Generator) -> None:
    """y = softmax(s) v and L = log sum exp(s) in extended precision; masks of both kinds, batches, scores of a thousand."""
    for q_shape, k_shape, e in [
        ((3, 4), (5, 4), 2),
        ((2, 3, 4), (2, 3, 4), 4),
        ((2, 1, 4, 3), (2, 6, 3), 5),
        ((1, 2), (1, 2), 1),
    ]:
        for kind, causal, scale in [
            ("none", False, 0.5),
            ("bool", False, 1.0),
            ("float", False, 0.3),
            ("none", True, 1.0),
            ("none", False, 300.0),
        ]:
            q, k = rng.standard_normal(q_shape), rng.standard_normal(k_shape)
            v = rng.standard_normal((*k_shape[:-1], e))
            mask = _mask(kind, q_shape[-2], k_shape[-2], rng)
            expected_y, expected_lse = _attended(q, k, v, mask, causal, scale)
            got = expect_parts(student(q, k, v, mask, causal=causal, scale=scale), "y kept")
            what = f"for q {q_shape}, k {k_shape}, mask {kind}, causal={causal}, scale={scale}"
            expect(got[0], expected_y, f"y {what}", tolerance=1e-10)  # scores of hundreds round to some 1e-14
            kept = expect_parts(got[1], "q k v mask y L")
            expect(kept[:3], (q, k, v), f"q, k and v as they are kept {what}")
            expect(kept[5], expected_lse, f"L {what}", tolerance=1e-10)


def _mask(kind: str, rows: int, columns: int, rng: np.random.Generator) -> Any:
    """None, numbers to add, or truth values that leave the first query without a key."""
    if kind == "none":
        return None
    if kind == "float":
        return rng.standard_normal((rows, columns))
    mask = rng.random((rows, columns)) < 0.6
    mask[0] = False
    return mask


def _attended(q: Any, k: Any, v: Any, mask: Any, causal: bool, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """(y, L) query by query, over the keys that it sees; 0 and inf where it sees none."""
    batch = np.broadcast_shapes(q.shape[:-2], k.shape[:-2])
    q, k, v = (np.broadcast_to(a, (*batch, *a.shape[-2:])) for a in (q, k, v))
    y, lse = np.zeros((*batch, q.shape[-2], v.shape[-1])), np.full((*batch, q.shape[-2]), np.inf)
    for at in np.ndindex(lse.shape):
        *before, i = at
        seen = np.ones(k.shape[-2], bool) if mask is None or mask.dtype != bool else mask[i]
        seen = seen & (np.arange(len(seen)) <= i) if causal else seen
        s = scale * (k[tuple(before)] @ q[at]) + (0.0 if mask is None or mask.dtype == bool else mask[i])
        if seen.any():
            lse[at] = np.logaddexp.reduce(s[seen])
            y[at] = np.exp(s[seen] - lse[at]) @ v[tuple(before)][seen]
    return y, lse
