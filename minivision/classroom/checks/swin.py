"""Swin's parts, each against loops over patches."""

from __future__ import annotations

import numpy as np

from ...models.shifted_windows import FORBIDDEN
from ...tape import Tensor
from ..expect import expect
from ..proxy import Student

Pair = tuple[int, int]
SHIFTS: tuple[tuple[Pair, Pair, Pair], ...] = (  # sides, windows, shifts
    ((4, 4), (2, 2), (1, 1)),
    ((8, 8), (4, 4), (2, 2)),
    ((6, 9), (3, 3), (1, 1)),
    ((4, 10), (4, 5), (0, 2)),
    ((6, 4), (3, 2), (1, 0)),
)


def merging(student: Student, rng: np.random.Generator) -> None:
    """Four patches after each other, for even and odd sides and several channels."""
    for shape in [(1, 2, 2, 1), (2, 4, 6, 3), (1, 3, 4, 2), (2, 2, 5, 3), (1, 1, 1, 2)]:
        for dtype in (np.float64, np.float32):
            x = rng.standard_normal(shape).astype(dtype)
            B, H, W, C = shape
            wanted = np.zeros((B, -(-H // 2), -(-W // 2), 4 * C), dtype)
            for b, h, w in np.ndindex(B, H, W):
                at = (h % 2 + 2 * (w % 2)) * C
                wanted[b, h // 2, w // 2, at : at + C] = x[b, h, w]
            expect(student(Tensor(x)), Tensor(wanted), f"merged(x) for x {shape}, {np.dtype(dtype)}")


def bias_index(student: Student, rng: np.random.Generator) -> None:
    """Counting through the table: the pair that is (dh, dw) apart stands where a walk through all displacements is then."""
    for window in [(2, 2), (1, 1), (7, 7), (3, 5), (4, 2), (1, 3)]:
        M, N = window
        walk = {d: i for i, d in enumerate((h, w) for h in range(1 - M, M) for w in range(1 - N, N))}
        patches = list(np.ndindex(M, N))
        wanted = [walk[q[0] - k[0], q[1] - k[1]] for q in patches for k in patches]
        expect(student(window), np.array(wanted, np.int64), f"the index for windows of {M} x {N}")


def regions(size: Pair, window: Pair, shift: Pair) -> np.ndarray:
    """(H, W): the window of the shifted grid that each patch of the map lies in, before any roll."""
    bands = [(np.arange(n) + m - s) // m for n, m, s in zip(size, window, shift, strict=True)]
    return 100 * bands[0][:, None] + bands[1]


def mask(student: Student, rng: np.random.Generator) -> None:
    """Pair by pair: whether both come from one window of the shifted grid."""
    for size, window, shift in SHIFTS:
        region = np.roll(regions(size, window, shift), (-shift[0], -shift[1]), (0, 1))
        wanted = []
        for top in range(0, size[0], window[0]):
            for left in range(0, size[1], window[1]):
                own = region[top : top + window[0], left : left + window[1]].ravel()
                wanted.append([[[0.0 if a == b else FORBIDDEN for b in own] for a in own]])
        for dtype in ("float64", "float32"):
            told = f"the mask for a map of {size}, windows of {window}, a shift of {shift}, {dtype}"
            expect(student(size, window, shift, dtype), np.array(wanted, dtype), told)


def windows(student: Student, rng: np.random.Generator) -> None:
    """Every patch among those of its own window of the shifted grid."""
    unshifted: tuple[tuple[Pair, Pair, Pair], ...] = (((4, 6), (2, 3), (0, 0)), ((3, 3), (3, 3), (0, 0)))
    for size, window, shift in (*SHIFTS, *unshifted):
        x, region = rng.standard_normal((2, *size, 3)), regions(size, window, shift)
        wanted = np.zeros_like(x)
        for b, h, w in np.ndindex(2, *size):
            own = x[b][region == region[h, w]]  # (patches, 3)
            p = np.exp(own @ x[b, h, w] / np.sqrt(3.0))
            wanted[b, h, w] = p @ own / p.sum()
        got = student.drive("swin:windows", Tensor(x), window, shift)
        expect(got, Tensor(wanted), f"a map (2, {size[0]}, {size[1]}, 3), windows of {window}, a shift of {shift}")
