"""CSWin and Focal attention, each step against loops over patches and channels in NumPy."""

from __future__ import annotations

import numpy as np

from ...tape import Tensor
from ..expect import expect
from ..proxy import Student


def halves(student: Student, rng: np.random.Generator) -> None:
    """Each part's channels of queries, keys and values, picked by number; for one part, two and three."""
    for shape, parts in [((1, 2, 3, 12), 2), ((2, 3, 2, 24), 2), ((1, 1, 4, 18), 3), ((2, 2, 2, 6), 1)]:
        qkv, C = rng.standard_normal(shape), shape[-1] // 3
        width, expected = C // parts, []
        for part in range(parts):
            chosen = [n * C + part * width + c for n in range(3) for c in range(width)]
            expected.append(Tensor(qkv[..., chosen]))
        expect(student(Tensor(qkv), parts), expected, f"the parts of qkv {shape}, parts={parts}")


def one_query(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """softmax(q k^T / sqrt(D)) v for one query (D)."""
    e = np.exp(k @ q / np.sqrt(len(q)))
    return np.asarray(e @ v / e.sum())


def lepe(student: Student, rng: np.random.Generator) -> None:
    """Patch by patch and head by head, and the convolution tap by tap; windows of one column and of one patch among them."""
    for (count, h, w), heads, D in [((2, 3, 2), 2, 2), ((1, 4, 1), 1, 3), ((3, 1, 1), 2, 1), ((1, 2, 3), 3, 2)]:
        C = heads * D
        qkv = rng.standard_normal((count, h, w, 3 * C))
        weight, bias = rng.standard_normal((C, 1, 3, 3)), rng.standard_normal(C)
        expected = np.zeros((count, h, w, C)) + bias
        for n, i, j in np.ndindex(count, h, w):
            q, k, v = (qkv[n, ..., part * C : (part + 1) * C] for part in range(3))
            for head in range(heads):
                own = slice(head * D, (head + 1) * D)
                expected[n, i, j, own] += one_query(q[i, j, own], k[..., own].reshape(-1, D), v[..., own].reshape(-1, D))
            for a, b in np.ndindex(3, 3):
                r, s = i + a - 1, j + b - 1
                if 0 <= r < h and 0 <= s < w:
                    expected[n, i, j] += weight[:, 0, a, b] * v[r, s]
        got = student.drive("cswin:inside", C, heads, {"get_v.weight": weight, "get_v.bias": bias}, Tensor(qkv))
        expect(got, Tensor(expected), f"{count} windows of {h} x {w} patches, {heads} heads of {D} channels")


def margin(student: Student, rng: np.random.Generator) -> None:
    """Roll by roll on a map that is numbered, for margins narrow and wide."""
    for window, expand in [(7, 3), (2, 1), (4, 1), (3, 2), (1, 0)]:
        side, wanted = 3 * window, []
        numbers = np.arange(side * side).reshape(side, side)
        middle = slice(window, 2 * window)
        held = set(numbers[middle, middle].ravel())
        for down, right in [(-expand, -expand), (-expand, expand), (expand, -expand), (expand, expand)]:
            new = np.roll(numbers, (down, right), (0, 1))[middle, middle].ravel()
            wanted += [(number // side - window, number % side - window) for number in new if number not in held]
        expected = np.array(wanted, np.int64).reshape(-1, 2)
        expect(student(window, expand), expected, f"the margin of a window of {window}, {expand} wide")


def pooled(student: Student, rng: np.random.Generator) -> None:
    """Channel by channel, place by place; one window among them, and more axes in front."""
    for shape in [(2, 3, 4, 5), (1, 9, 2), (3, 1, 1)]:
        windows, weight, bias = rng.standard_normal(shape), rng.standard_normal((1, shape[-2])), rng.standard_normal(1)
        expected = np.full((*shape[:-2], shape[-1]), bias[0])
        for place in range(shape[-2]):
            expected += weight[0, place] * windows[..., place, :]
        got = student(Tensor(windows), Tensor(weight), Tensor(bias))
        expect(got, Tensor(expected), f"the tokens of windows {shape}")


def displacements(student: Student, rng: np.random.Generator) -> None:
    """Pair by pair, for windows larger and smaller than the region."""
    for queries, keys in [(7, 7), (2, 3), (4, 1), (3, 5), (1, 1)]:
        expected = np.zeros((queries**2, keys**2), np.int64)
        for i, j, r, s in np.ndindex(queries, queries, keys, keys):
            row = (i - r + keys - 1) * (queries + keys - 1) + j - s + keys - 1
            expected[queries * i + j, keys * r + s] = row
        expect(student(queries, keys), expected, f"the rows for a window of {queries} and a region of {keys}")
