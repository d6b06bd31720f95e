"""The depthwise kernels against the plain loops in C, over taps, strides, widths around the tiles and channels around vectors."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from minivision import kernels
from minivision.kernels._library import function, pointer
from minivision.kernels.conv import _sizes

TAPS, STRIDES, DILATIONS = (1, 2, 3, 4, 5, 6, 7), (1, 2, 3), (1, 2)


def sizes() -> Iterator[tuple[tuple[int, ...], tuple[int, ...], dict]]:
    """Shapes of x and weight, and attributes: every pair of taps and stride, over widths and channels in turn."""
    widths, channels = itertools.cycle((2, 6, 7, 8, 13, 14, 15, 29)), itertools.cycle((1, 3, 4, 5, 8, 9, 16, 17, 33))
    for taps, stride, dilation in itertools.product(TAPS, STRIDES, DILATIONS):
        for _ in range(3):
            side, c, pad = next(widths), next(channels), taps // 2
            attrs = {"stride": (stride, stride), "padding": ((pad, taps - 1), (pad, pad)), "dilation": (1, dilation), "groups": c}
            if side + 2 * pad > dilation * (taps - 1):
                yield (3, c, 9, side), (c, 1, taps, taps), attrs


def error(x_shape, weight_shape, attrs, dtype) -> float:
    """The largest error of y, dx and dweight, in units of gamma_n (|A| |B|) (Higham 2002, eq. 3.5)."""
    rng = np.random.default_rng(sum(x_shape))
    x, weight, bias = (rng.standard_normal(shape).astype(dtype) for shape in (x_shape, weight_shape, weight_shape[:1]))
    y, kept = kernels.conv2d.forward(x, weight, bias, **attrs)
    dy = rng.standard_normal(y.shape).astype(dtype)
    dx, dw, _ = kernels.conv2d.vjp(dy, kept, needs=(True, True, True), **attrs)
    exact = _loops(*(a.astype(np.float64) for a in (x, weight, dy)), attrs)
    sizes = _loops(*(np.abs(a.astype(np.float64)) for a in (x, weight, dy)), attrs)
    exact[0] += bias[:, None, None]
    sizes[0] += np.abs(bias[:, None, None])
    counts = (weight[0].size + 1, weight[0].size, dy[:, 0].size)
    return max(map(_ratio, (y, dx, dw), exact, sizes, counts))


def _ratio(came, exact, size, count) -> float:
    unit = (count + 1) * np.finfo(came.dtype).eps / 2 * (2 if came.dtype == np.float64 else 1)  # the loops err too
    off = np.abs(came - exact)
    return float(np.max(off / np.where(off == 0, 1.0, unit / (1 - unit) * size), initial=0.0))


def _loops(x, weight, dy, attrs) -> list[np.ndarray]:
    """y, dx, dweight by the definition in C."""
    last = [np.ascontiguousarray(a.transpose(0, 2, 3, 1)) for a in (x, weight, dy)]
    results = [np.zeros_like(last[i]) for i in (2, 0, 1)]
    made = _sizes(x.shape, weight.shape, *(attrs[name] for name in ("stride", "padding", "dilation", "groups")))
    function("conv_definition", x.dtype)(pointer(made), *map(pointer, [*last, *results]))
    return [a.transpose(0, 3, 1, 2) for a in results]


def probe() -> Iterator[tuple[str, float]]:
    """(what, error in units of its bound) for every size and both types."""
    for x, weight, attrs in sizes():
        for dtype in (np.float32, np.float64):
            yield f"depthwise {x} {weight} {attrs}, {np.dtype(dtype).name}", error(x, weight, attrs, dtype)
