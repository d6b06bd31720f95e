"""Sweeps of the kernels that copy and add up rows, at the sizes where blocks begin and end.

A copy is right to the bit. What is added up is whole numbers, whose sums are exact. Each yields (what, 0 or infinity).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from minivision import kernels
from minivision.backend import backend
from minivision.kernels.copy import permuted
from minivision.op import OPS

Sweep = Iterator[tuple[str, float]]
DTYPES = (np.float32, np.float64)
# Around squares of 2 to 16 elements, blocks of one square and of two (64 and 32 in the real build).
MATRICES = [(1, 1), (2, 3), (4, 4), (5, 8), (8, 5), (9, 17), (16, 16), (17, 33), (33, 31), (65, 35), (3, 130), (130, 3)]


def same(came: np.ndarray | None, expected: np.ndarray) -> float:
    """0 where both are the same to the bit, else infinity."""
    return 0.0 if came is not None and came.dtype == expected.dtype and np.array_equal(came, expected) else np.inf


def on_threads(call: object) -> Iterator[tuple[int, object]]:
    """The results of a call on one thread and on two."""
    before = kernels.get_num_threads()
    for count in (1, 2):
        kernels.set_num_threads(count)
        try:
            yield count, call()
        finally:
            kernels.set_num_threads(before)


def permutations() -> Sweep:
    """Every order of axes of matrices and of stacks of them; gaps, negative and zero strides; other types of the same size."""
    rng = np.random.default_rng(0)
    for (m, n), dtype in itertools.product(MATRICES, [*DTYPES, np.int32, np.int64]):
        a = rng.integers(-99, 99, (2, m, 3, n)).astype(dtype)
        views = {f"axes {axes}": a.transpose(axes) for axes in itertools.permutations(range(4))}
        views |= {"gaps": a[:, :, :, ::2].transpose(3, 0, 2, 1), "backwards": a[:, ::-1].transpose(0, 3, 2, 1)}
        views |= {"matrix": a[0, :, 0].T, "repeated": np.broadcast_to(a[:, :, :1], a.shape).transpose(0, 3, 2, 1)}
        for name, view in views.items():
            for count, came in on_threads(lambda view=view: permuted(view)):
                yield f"copy of {m} x {n}, {name}, {np.dtype(dtype)}, {count} threads", same(came, np.array(view, order="C"))


def windows() -> Sweep:
    """Windows that the border cuts after 0, 1, .. pixels, of an image that is not square; there and back."""
    rng = np.random.default_rng(1)
    for dtype, (r, s), shift in itertools.product(
        DTYPES, [(1, 1), (2, 3), (4, 2)], itertools.product((0, 1, 3, -2), (0, 1, 2, -1))
    ):
        x = rng.standard_normal((2, 2 * r, 3 * s, 3)).astype(dtype)
        call = {"size": (r, s), "shift": shift}
        expected = OPS["window_partition"].definition(x, **call)[0]
        for count, came in on_threads(lambda x=x, call=call: _compute("window_partition", x, **call)):
            yield f"windows {call}, {np.dtype(dtype)}, {count} threads", same(came, expected)
        back = {"image": x.shape[1:3], "shift": shift}
        for count, came in on_threads(lambda y=expected, back=back: _compute("window_reverse", y, **back)):
            yield f"windows put back {back}, {np.dtype(dtype)}, {count} threads", same(came, x)


def tables() -> Sweep:
    """Rows and elements taken and added: blocks of 2 places (64 in the real build), columns for two threads, repeated numbers."""
    rng = np.random.default_rng(2)
    shapes = [(1, 5, 7, 1), (2, 4, 3, 1), (1, 6, 9, 4), (3, 2, 5, 3), (2, 3, 65, 7), (1, 9, 130, 257)]
    for dtype, (outer, n, count, inner) in itertools.product(DTYPES, shapes):
        x, y = (rng.integers(-99, 99, (outer, k, inner)).astype(dtype) for k in (n, count))
        rows, each = rng.integers(0, n, count), rng.integers(0, n, (outer, count, inner))
        calls = {
            "index_select": ((x, rows), {"axis": 1}), "index_add": ((y, rows), {"axis": 1, "size": n}),
            "gather": ((x, each), {"axis": 1}), "scatter_add": ((y, each), {"axis": 1, "size": n}),
        }  # fmt: skip
        for name, (arrays, attrs) in calls.items():
            with backend("numpy"):
                expected = OPS[name].definition(*arrays, **attrs)[0]
            for threads, came in on_threads(lambda name=name, arrays=arrays, attrs=attrs: _compute(name, *arrays, **attrs)):
                yield f"{name} {(outer, n, count, inner)}, {np.dtype(dtype)}, {threads} threads", same(came, expected)
        yield from _padding(x[0], rows, y[0])


def _padding(weight: np.ndarray, rows: np.ndarray, dy: np.ndarray) -> Sweep:
    """The gradient of a table, of which one row is left out."""
    (dweight, _) = kernels.embedding.vjp(dy, (rows, len(weight)), needs=(True, False), padding_idx=int(rows[0]))
    with backend("numpy"):
        expected = OPS["embedding"].vjp(dy, (rows, len(weight)), padding_idx=int(rows[0]))[0]
    yield f"embedding {weight.shape}, {weight.dtype}, without a row", same(dweight, expected)


def _compute(name: str, *arrays: np.ndarray, **attrs: object) -> np.ndarray:
    """The result by the kernel, which must take the arrays."""
    done = OPS[name].kernel.forward(*arrays, **attrs)
    assert done is not NotImplemented, f"{name}: the kernel does not take {[a.shape for a in arrays]}"
    return done[0]
