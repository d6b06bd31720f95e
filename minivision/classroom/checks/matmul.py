"""The matrix product, step by step in C."""

from __future__ import annotations

import numpy as np

from ..expect import expect
from ..proxy import Student


def loop_order(student: Student, rng: np.random.Generator) -> None:
    """A B in float64, for sizes of nothing, one, and unlike numbers; whole numbers, so that every order of sums is exact."""
    for m, k, n in [(1, 1, 1), (2, 3, 4), (5, 1, 7), (7, 16, 3), (3, 0, 2), (0, 4, 5), (33, 17, 65)]:
        a, b = (rng.integers(-9, 10, shape).astype(np.float32) for shape in ((m, k), (k, n)))
        exact = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32)
        expect(student(a, b), exact, f"C for A {a.shape} and B {b.shape}", tolerance=0)
