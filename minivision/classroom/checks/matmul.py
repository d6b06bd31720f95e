"""The matrix product: its gradients, and its steps in C."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ...ops.matmul import _linear, _matmul
from ..expect import expect, expect_parts
from ..proxy import Student
from .gradients import pulled

NEEDS = [(True, True), (True, False), (False, True)]


def gradient(student: Student, rng: np.random.Generator) -> None:
    """da and db are J^T dy by complex step: matrices, batches, either operand broadcast; what is not needed may be None."""
    pairs = [((3, 4), (4, 2)), ((3, 3), (3, 3)), ((1, 2), (2, 1)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5))]
    pairs += [((2, 1, 3, 4), (3, 4, 2))]
    for (shape_a, shape_b), needs in zip(pairs * 3, [each for each in NEEDS for _ in pairs], strict=True):
        a, b = rng.normal(size=shape_a), rng.normal(size=shape_b)
        dy = rng.normal(size=(a @ b).shape)
        got = expect_parts(student(dy, (a, b), needs=needs), "da db")
        for name, one, other, needed in zip(("da", "db"), got, pulled(_matmul, [a, b], dy), needs, strict=True):
            if needed:
                expect(one, other, f"{name} for a {shape_a} and b {shape_b}, needs={needs}")


def linear_gradient(student: Student, rng: np.random.Generator) -> None:
    """dx, dw and db are J^T dy by complex step, for x of several numbers of axes, with and without a bias."""
    for shape, outer in [((3, 4), 2), ((5, 5), 5), ((4,), 3), ((2, 3, 4), 5), ((2, 1, 3, 2), 1), ((1, 3), 2)]:
        for bias in (rng.normal(size=outer), None):
            x, w, dy = rng.normal(size=shape), rng.normal(size=(outer, shape[-1])), rng.normal(size=(*shape[:-1], outer))
            got = expect_parts(student(dy, (x, w, bias is not None), needs=(True, True, True)), "dx dw db")
            what = f"for x {shape} and weight {w.shape}{'' if bias is not None else ', without a bias'}"
            for name, one, other in zip(("dx", "dw", "db"), got, pulled(_linear, [x, w, bias], dy), strict=True):
                expect(one, other, f"{name} {what}")


def loop_order(student: Student, rng: np.random.Generator) -> None:
    """A B in float64, for sizes of nothing, one, and unlike numbers; whole numbers, so that every order of sums is exact."""
    _products(student, rng, [(1, 1, 1), (2, 3, 4), (5, 1, 7), (7, 16, 3), (3, 0, 2), (0, 4, 5), (33, 17, 65)])


def panels(student: Student, rng: np.random.Generator) -> None:
    """The same with tiles, panels and blocks that are full, and one more or less: MR divides 24, NR 96; KC is 384."""
    _products(student, rng, [(24, 5, 96), (25, 7, 97), (23, 1, 95), (48, 60, 192), (1, 1, 1), (3, 800, 40), (13, 390, 100)])


def blocks(student: Student, rng: np.random.Generator) -> None:
    """The same with less than a block, with several, and with short last ones: KC is 384, NC at most 768."""
    _products(student, rng, [(1, 1, 1), (3, 5, 4), (13, 400, 100), (5, 384, 9), (4, 3, 800), (7, 800, 780), (3, 0, 2), (0, 4, 5)])


def _products(student: Student, rng: np.random.Generator, sizes: Iterable[tuple[int, int, int]]) -> None:
    """A (m, k) times B (k, n) for each m, k, n, in whole numbers."""
    for m, k, n in sizes:
        a, b = (rng.integers(-9, 10, shape).astype(np.float32) for shape in ((m, k), (k, n)))
        exact = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32)
        expect(student(a, b), exact, f"C for A {a.shape} and B {b.shape}", tolerance=0)
