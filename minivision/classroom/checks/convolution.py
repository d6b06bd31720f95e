"""Convolution: windows as rows, rows put back, its gradients, and its steps in C."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...ops.conv import _conv2d
from ..expect import expect, expect_parts
from ..proxy import Student
from .gradients import pulled

# x, kernel, stride, padding, dilation: each alone, then together, with no two alike; one axis, two, three
WINDOWS: list[tuple[Any, ...]] = [
    ((1, 1, 4, 5), (3, 2), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    ((2, 3, 5, 4), (2, 3), (1, 1), ((1, 0), (0, 2)), (1, 1)),
    ((1, 2, 7, 6), (2, 2), (3, 2), ((0, 0), (0, 0)), (1, 1)),
    ((1, 2, 6, 7), (2, 3), (1, 1), ((0, 0), (0, 0)), (3, 2)),
    ((2, 3, 8, 7), (3, 2), (2, 3), ((1, 2), (2, 1)), (2, 3)),
    ((2, 3, 9), (3,), (2,), ((2, 1),), (2,)),
    ((1, 2, 4, 5, 3), (2, 3, 1), (2, 1, 1), ((1, 1), (0, 1), (0, 0)), (1, 1, 1)),
]


def im2col(student: Student, rng: np.random.Generator) -> None:
    """Every number of every window, looked up one by one; stride, padding and dilation alone and together."""
    for shape, kernel, stride, padding, dilation in WINDOWS:
        x = rng.normal(size=shape)
        exact = np.zeros(_windows(shape, kernel, stride, padding, dilation))
        for there, here in _pairs(shape, exact.shape, stride, padding, dilation):
            exact[there] = x[here]
        settings = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}
        got, kept = expect_parts(student(x, **settings), "y kept")
        expect(got, exact, f"y for x {shape}, {_told(settings)}", tolerance=0)
        expect(kept, (shape[2:],), "what is kept, ((H, W),)")


def col2im(student: Student, rng: np.random.Generator) -> None:
    """Every number put back one by one and added; whole numbers, so that any order is exact."""
    for size, kernel, stride, padding, dilation in WINDOWS:
        y = rng.integers(-9, 10, _windows(size, kernel, stride, padding, dilation)).astype(float)
        exact = np.zeros(size)
        for there, here in _pairs(size, y.shape, stride, padding, dilation):
            exact[here] += y[there]
        settings = {"size": size[2:], "stride": stride, "padding": padding, "dilation": dilation}
        got, kept = expect_parts(student(y, **settings), "x kept")
        expect(got, exact, f"x for y {y.shape}, {_told(settings)}", tolerance=0)
        expect(kept, (kernel,), "what is kept, ((R, S),)")


def _windows(shape: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> tuple[int, ...]:
    """The shape (N, P, Q, R, S, C)."""
    each = zip(shape[2:], kernel, stride, padding, dilation, strict=True)
    counts = [(n + sum(around) - d * (k - 1) - 1) // step + 1 for n, k, step, around, d in each]
    return (shape[0], *counts, *kernel, shape[1])


def _pairs(shape: Any, windows: Any, stride: Any, padding: Any, dilation: Any) -> Iterator[tuple[Any, Any]]:
    """The index in the windows, and that in the image, of every number that is in both."""
    axes = len(stride)
    for there in np.ndindex(*windows):
        places, taps = there[1 : axes + 1], there[axes + 1 : -1]
        each = zip(places, taps, stride, padding, dilation, strict=True)
        at = tuple(p * step + tap * d - around[0] for p, tap, step, around, d in each)
        if all(0 <= i < n for i, n in zip(at, shape[2:], strict=True)):
            yield there, (there[0], there[-1], *at)


def _told(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())


LAYERS: list[tuple[Any, ...]] = [  # x, weight, and the settings
    ((1, 1, 4, 4), (1, 1, 3, 3), {}),
    ((2, 3, 5, 4), (2, 3, 2, 3), {"padding": ((1, 0), (0, 2))}),
    ((2, 2, 6, 5), (3, 2, 3, 2), {"stride": (2, 3), "padding": ((1, 1), (0, 1)), "dilation": (1, 2)}),
    ((1, 4, 4, 5), (6, 2, 2, 3), {"groups": 2, "stride": (1, 2)}),
]


def filter_gradient(student: Student, rng: np.random.Generator) -> None:
    """dW is J^T dy by complex step, with strides, padding, dilation and groups."""
    for shape, filters, settings in LAYERS:
        x, w = rng.normal(size=shape), rng.normal(size=filters)
        dy = rng.normal(size=_conv2d(x, w, None, **settings)[0].shape)
        windows = {name: value for name, value in settings.items() if name != "groups"}
        got = student(dy, x, filters, settings.get("groups", 1), windows)
        label = f"dW for x {shape}, W {filters}, {_told(settings) or 'no settings'}"
        expect(got, pulled(_conv2d, [x, w, None], dy, **settings)[1], label)


def gradient(student: Student, rng: np.random.Generator) -> None:
    """dx, dw and db are J^T dy by complex step, with and without a bias, for all settings."""
    for shape, filters, settings in LAYERS:
        for bias in (rng.normal(size=filters[0]), None):
            x, w = rng.normal(size=shape), rng.normal(size=filters)
            dy = rng.normal(size=_conv2d(x, w, None, **settings)[0].shape)
            got = student(dy, (x, w, bias is not None), needs=(True, True, True), **settings)
            what = f"for x {shape}, W {filters}, {_told(settings) or 'no settings'}{'' if bias is not None else ', no bias'}"
            exact = pulled(_conv2d, [x, w, bias], dy, **settings)
            for name, one, other in zip(("dx", "dw", "db"), expect_parts(got, "dx dw db"), exact, strict=True):
                expect(one, other, f"{name} {what}")


def in_c(student: Student, rng: np.random.Generator) -> None:
    """Whole numbers, tap by tap in float64: borders, strides, several images, and blocks of taps and of outputs (KC, NC)."""
    sizes = [
        (1, 1, 1, 1, 1, 1, 1, 0), (1, 5, 4, 1, 1, 3, 1, 0), (1, 4, 6, 3, 2, 3, 1, 1), (2, 5, 6, 2, 7, 3, 2, 1),
        (3, 7, 4, 5, 3, 2, 3, 0), (1, 9, 8, 2, 33, 5, 2, 2), (1, 4, 3, 200, 3, 3, 1, 1), (1, 2, 2, 3, 800, 2, 1, 1),
    ]  # fmt: skip
    for n, h, w, inner, outer, taps, stride, pad in sizes:
        x, filters = (rng.integers(-9, 10, s).astype(np.float32) for s in ((n, h, w, inner), (taps, taps, inner, outer)))
        exact = _convolved(x.astype(float), filters.astype(float), stride, pad).astype(np.float32)
        label = f"y for x {x.shape}, filter {filters.shape}, stride {stride}, pad {pad}"
        expect(student(x, filters, stride, pad), exact, label, tolerance=0)


def _convolved(x: np.ndarray, filters: np.ndarray, stride: int, pad: int) -> np.ndarray:
    """x (n, h, w, i), filters (r, s, i, o) -> (n, p, q, o)"""
    x, taps = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0))), len(filters)
    p, q = ((side - taps) // stride + 1 for side in x.shape[1:3])
    parts = ((x[:, r:, s:][:, : p * stride : stride, : q * stride : stride], filters[r, s]) for r, s in np.ndindex(taps, taps))
    return np.asarray(sum(part @ weight for part, weight in parts))
