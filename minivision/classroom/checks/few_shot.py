"""Linear algebra of the few-shot solve: derivatives by differences and complex steps, eigenvectors by what defines them."""

from __future__ import annotations

import numpy as np

from ...ops.linalg import _eigh, _inv, _solve
from ..expect import expect, expect_parts, expect_that
from ..proxy import Student
from .gradients import pulled


def _invertible(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Matrices that no draw brings near a singular one: the diagonal outweighs its row."""
    return rng.uniform(-1.0, 1.0, shape) + (shape[-1] + 1.0) * np.eye(shape[-1])


def _diagonalisable(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """q diag(w) q^T and something antisymmetric; w at least 1/2 apart, the two largest elements of an eigenvector 1e-3.

    Closer ones have derivatives that no difference finds, and signs that hang on rounding.
    """
    q = np.zeros(shape)
    while shape[-1] > 1 and np.diff(np.sort(np.abs(q), axis=-2)[..., -2:, :], axis=-2).min() < 1e-3:
        q = np.linalg.qr(rng.standard_normal(shape))[0]
    w = np.arange(shape[-1]) + rng.uniform(0.0, 0.5, (*shape[:-2], 1, shape[-1]))
    q, odd = q if shape[-1] > 1 else np.ones(shape), rng.standard_normal(shape)
    return np.matmul(q * w, np.swapaxes(q, -1, -2)) + odd - np.swapaxes(odd, -1, -2)


def symmetric_part(student: Student, rng: np.random.Generator) -> None:
    """The mean of a matrix and its transpose, in each of a batch, in both element types; symmetric ones stay."""
    for dtype in (np.float64, np.float32):
        for shape in [(3, 3), (1, 1), (2, 4, 4), (0, 2, 2)]:
            a = rng.standard_normal(shape).astype(dtype)
            half = (a + np.swapaxes(a, -1, -2)) / dtype(2)
            expect(student(a), half, f"the symmetric part of a {shape}, {np.dtype(dtype)}")
            expect(student(half), half, f"the symmetric part of a symmetric a {shape}, {np.dtype(dtype)}")


def inverse_gradient(student: Student, rng: np.random.Generator) -> None:
    """da is J^T dy by complex step, for one matrix and for a batch."""
    for shape in [(1, 1), (3, 3), (2, 4, 4)]:
        a, dy = _invertible(rng, shape), rng.standard_normal(shape)
        expect(student(dy, _inv(a)[1]), pulled(_inv, [a], dy)[0], f"da for a {shape}", tolerance=1e-9)


def solve_gradient(student: Student, rng: np.random.Generator) -> None:
    """da and db are J^T dy by complex step, also where one matrix serves a batch of b, and one b a batch of matrices."""
    for first, second in [((3, 3), (3, 2)), ((1, 1), (1, 4)), ((2, 3, 3), (2, 3, 1)), ((3, 3), (2, 3, 2)), ((2, 3, 3), (3, 2))]:
        a, b = _invertible(rng, first), rng.standard_normal(second)
        y, kept = _solve(a, b)
        dy = rng.standard_normal(y.shape)
        for name, one, other in zip(
            ("da", "db"), expect_parts(student(dy, kept), "da db"), pulled(_solve, [a, b], dy), strict=True
        ):
            expect(one, other, f"{name} for a {first} and b {second}", tolerance=1e-9)


def eigenpairs(student: Student, rng: np.random.Generator) -> None:
    """a v = v diag(w) for the symmetric part, v orthogonal, w ascending, and in each column the largest element positive."""
    for dtype in (np.float64, np.float32):
        for shape in [(1, 1), (3, 3), (6, 6), (4, 3, 3)]:
            a = _diagonalisable(rng, shape).astype(dtype)
            y, kept = expect_parts(student(a), "y kept")
            what = f"for a {shape}, {np.dtype(dtype)}"
            expect(
                y,
                _eigh(a)[0],
                f"y, the eigenvalues over the eigenvectors, {what}",
                tolerance=1e-4 if dtype == np.float32 else 1e-9,
            )
            w, v = expect_parts(kept, "w v")
            expect(np.concatenate([w[..., None, :], v], -2), y, f"w over v, as they are kept, {what}", tolerance=0)
            largest = np.take_along_axis(v, np.abs(v).argmax(-2, keepdims=True), -2)
            expect_that(bool(np.all(largest > 0)), f"the largest element of each eigenvector {what}", "positive", largest.min())


def eigenpairs_gradient(student: Student, rng: np.random.Generator) -> None:
    """da is J^T dy by central differences; for eigenvalues alone also where some are equal."""
    for shape in [(1, 1), (2, 2), (4, 4), (2, 3, 3)]:
        a = _diagonalisable(rng, shape)
        y, kept = _eigh(a)
        for part in ("w", "v", "w and v"):
            dy = rng.standard_normal(y.shape)
            dy[..., :1, :] *= "w" in part
            dy[..., 1:, :] *= "v" in part
            expected = pulled(_eigh, [a], dy, complex_step=False)[0]
            expect(student(dy, kept), expected, f"da for a {shape}, from {part}", tolerance=1e-6)  # what differences are good to
    q = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    v, w = q * np.where(np.abs(q).max(0) == q.max(0), 1.0, -1.0), np.array([1.0, 2.0, 2.0, 2.0])
    dy = np.zeros((5, 4))
    dy[0] = rng.standard_normal(4)
    expect(student(dy, (w, v)), (v * dy[0]) @ v.T, "da from the eigenvalues 1, 2, 2, 2, where F has no quotients")
