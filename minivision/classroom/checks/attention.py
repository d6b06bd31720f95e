"""Softmax, its gradients, attention's gradient, and attention's steps in C."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...ops.attention import _attention, causal_mask
from ..expect import expect, expect_parts
from ..proxy import Student
from .gradients import pulled

ROWS = [((5,), -1), ((3, 5), -1), ((4, 3), 0), ((2, 3, 4), 1), ((2, 1), -1), ((0, 3), -1)]  # shapes, and the axis


def _weights(x: np.ndarray, axis: int) -> np.ndarray:
    """y_i = 1 / sum_j exp(x_j - x_i): all differences, where an infinite exponential means 0."""
    x = np.moveaxis(x, axis, -1)
    with np.errstate(over="ignore"):
        return np.moveaxis(1 / np.exp(x[..., None, :] - x[..., :, None]).sum(-1), -1, axis)


def softmax(student: Student, rng: np.random.Generator) -> None:
    """1 / sum_j exp(x_j - x_i), for small numbers, for large ones, and for rows that are far apart; both element types."""
    for shape, axis in ROWS:
        x = rng.normal(size=shape)
        far = 1000 * np.arange(x.size / max(x.shape[axis], 1)).reshape(np.max(x, axis=axis, keepdims=True, initial=0).shape)
        for label, numbers in [("", x), (", in the thousands", 1000 * x), (", rows far apart", x - far)]:
            got, kept = expect_parts(student(numbers, axis=axis), "y kept")
            expect(got, _weights(numbers, axis), f"y for x {shape}{label}, axis={axis}")
            expect(kept, (_weights(numbers, axis),), "what is kept, (y,)")
    single = rng.normal(size=(3, 4)).astype(np.float32)
    expect(student(single)[0], _weights(single, -1).astype(np.float32), "y for float32")


def softmax_gradient(student: Student, rng: np.random.Generator) -> None:
    """dx = J^T dy with the Jacobian diag(y) - y y^T written out, along every kind of axis."""
    for shape, axis in ROWS:
        y, dy = _weights(rng.normal(size=shape), axis), rng.normal(size=shape)
        row, back = np.moveaxis(y, axis, -1), np.moveaxis(dy, axis, -1)
        jacobian = row[..., None] * (np.eye(row.shape[-1]) - row[..., None, :])
        exact = np.moveaxis(np.einsum("...ij,...i->...j", jacobian, back), -1, axis)
        expect(student(dy, (y,), axis=axis), exact, f"dx for y {shape}, axis={axis}")
    single = y.astype(np.float32)
    expect(student(single, (single,)).dtype.name, "float32", "the element type for float32")


def log_softmax_gradient(student: Student, rng: np.random.Generator) -> None:
    """dx = J^T dy with the Jacobian 1 - (rows of y) written out; one dy is a row of a cross-entropy, others do not sum to 1."""
    for shape, axis in ROWS:
        y, dy = _weights(rng.normal(size=shape), axis), rng.normal(size=shape)
        row, back = np.moveaxis(y, axis, -1), np.moveaxis(dy, axis, -1)
        jacobian = np.eye(row.shape[-1]) - row[..., None, :]
        exact = np.moveaxis(np.einsum("...ij,...i->...j", jacobian, back), -1, axis)
        expect(student(dy, (np.log(y),), axis=axis), exact, f"dx for y {shape}, axis={axis}")


def gradient(student: Student, rng: np.random.Generator) -> None:
    """dq, dk, dv and the mask's are J^T dy by differences: batches, broadcast keys, masks to add and of booleans, causal."""
    for (q, k, v), mask, causal, scale, what in _calls(rng):
        y, kept = _attention(q, k, v, mask, causal=causal, scale=scale)
        dy = rng.normal(size=y.shape)
        exact = pulled(_attention, [q, k, v, mask], dy, False, causal=causal, scale=scale)
        got = expect_parts(student(dy, kept, causal=causal, scale=scale), "dq dk dv dmask")
        for name, one, other in zip(("dq", "dk", "dv", "dmask"), got, exact, strict=True):
            label = f"{name} for {what}, causal={causal}, scale={scale}"
            expect(one, other, label, tolerance=1e-6)  # what differences are good to


def _calls(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """(q, k, v), mask, causal, scale, and words."""
    for shapes in [((3, 2), (4, 2), (4, 3)), ((2, 3, 2), (2, 3, 2), (2, 3, 1)), ((2, 3, 2), (4, 2), (4, 2))]:
        queries, keys = shapes[0][-2], shapes[1][-2]
        masks = {"no mask": None, "a mask to add": rng.normal(size=(queries, keys))}
        masks |= {"a mask of booleans": causal_mask(queries, keys)}
        for words, mask in masks.items():
            arrays = tuple(rng.normal(size=shape) for shape in shapes)
            yield arrays, mask, mask is None, 0.7, f"q, k, v {shapes}, {words}"


def in_c(student: Student, rng: np.random.Generator) -> None:
    """softmax(q k^T / sqrt(d)) v in float64: one key and many, several tiles of keys, scores that are large, and far below 0."""
    sizes = [(1, 1, 1, 1), (1, 2, 3, 4), (3, 5, 7, 8), (2, 3, 300, 16), (1, 49, 129, 8), (2, 0, 3, 4)]
    for heads, m, n, d in sizes:
        for spread, offset, words in [(1.0, 0.0, ""), (30.0, 0.0, ", large scores"), (1.0, 10.0, ", scores far below 0")]:
            q, k, v = (rng.standard_normal((heads, rows, d), dtype=np.float32) for rows in (m, n, n))
            q, k = (spread * q + offset).astype(np.float32), (k - offset).astype(np.float32)
            scores = q.astype(float) @ k.astype(float).swapaxes(1, 2) / np.sqrt(d)
            exact = (_weights(scores, -1) @ v.astype(float)).astype(np.float32)
            expect(student(q, k, v), exact, f"y for q {q.shape} and k {k.shape}{words}", _rounding(q, k, v, exact))


def _rounding(q: np.ndarray, k: np.ndarray, v: np.ndarray, y: np.ndarray) -> float:
    """What y may err by in float32, as a share of its largest element.

    A score errs by gamma_d |q| |k| / sqrt(d), a weight by twice that; the rest is expect's own eps^(2/3).
    """
    d = q.shape[-1]
    score = (d + 2) * 2.0**-24 * np.max(np.abs(q) @ np.abs(k).swapaxes(1, 2), initial=0) / np.sqrt(d)
    return 2e-5 + float(2 * score * np.abs(v).max() / np.max(np.abs(y), initial=1e-30))
