"""Convolutions of many shapes, and convolution once more as plain loops: what the tests of convolutions share."""

from __future__ import annotations

import numpy as np
import pytest

import minivision as mv
from minivision import kernels
from minivision.ops.conv import conv2d

needs_kernels = pytest.mark.skipif(not kernels.AVAILABLE, reason="the C kernels are not built here")
BACKENDS = ["numpy", pytest.param("c", marks=needs_kernels)]
GRADIENTS = (True, True, True)
PLAIN = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}

# shapes of x and weight, attributes
SMALL = {
    "3x3": ((2, 3, 5, 6), (4, 3, 3, 3), {}),
    "1x1": ((2, 3, 4, 3), (5, 3, 1, 1), {}),
    "stride": ((1, 2, 7, 8), (3, 2, 3, 2), {"stride": (2, 3)}),
    "uneven padding": ((1, 2, 3, 4), (3, 2, 3, 3), {"padding": ((2, 1), (0, 3))}),
    "dilation": ((2, 2, 7, 9), (2, 2, 2, 3), {"dilation": (3, 2)}),
    "stride and dilation share a factor": ((1, 2, 9, 8), (2, 2, 3, 2), {"stride": (4, 2), "dilation": (2, 4)}),
    "groups": ((2, 6, 4, 5), (9, 2, 2, 3), {"groups": 3}),
    "depthwise": ((2, 5, 6, 4), (5, 1, 3, 2), {"groups": 5, "padding": ((1, 1), (1, 0))}),
    "depthwise, all together": (
        (2, 4, 9, 7), (4, 1, 3, 3), {"groups": 4, "stride": (3, 2), "dilation": (2, 1), "padding": ((2, 3), (1, 2))},
    ),
    "two filters for each channel": ((1, 3, 5, 5), (6, 1, 3, 3), {"groups": 3, "stride": (2, 2)}),
    "all together": (
        (2, 4, 8, 7), (6, 2, 3, 2), {"groups": 2, "stride": (2, 1), "padding": ((1, 2), (2, 0)), "dilation": (2, 3)},
    ),
    "pixels between the windows": ((1, 2, 7, 8), (2, 2, 1, 2), {"stride": (3, 4)}),
    "the whole image": ((3, 2, 4, 5), (2, 2, 4, 5), {}),
    "padding alone around one pixel": ((1, 1, 1, 1), (2, 1, 3, 3), {"padding": ((3, 3), (2, 2))}),
}  # fmt: skip

# One more and one less than the blocks of the matrix product: rows 4 to 12, columns 4 to 32, sums of 384, 768 columns.
EDGES = {
    "one pixel": ((1, 5, 3, 3), (31, 5, 3, 3), {}),
    "12 pixels, 32 channels": ((1, 4, 3, 4), (32, 4, 1, 1), {}),
    "13 pixels, 33 channels": ((1, 4, 1, 15), (33, 4, 1, 3), {}),
    "a sum of 384": ((1, 128, 2, 6), (7, 128, 1, 3), {}),
    "a sum of 387": ((1, 43, 5, 4), (33, 43, 3, 3), {"padding": ((1, 1), (1, 1))}),
    "384 pixels": ((2, 3, 12, 16), (13, 3, 1, 1), {}),
    "775 pixels": ((5, 4, 5, 31), (5, 4, 3, 3), {"padding": ((1, 1), (1, 1))}),
    "769 columns": ((1, 2, 2, 3), (769, 2, 1, 1), {}),
    "a gradient of 774 columns": ((1, 86, 4, 5), (3, 86, 3, 3), {"stride": (1, 2)}),
    "depthwise, 65 channels": ((2, 65, 9, 8), (65, 1, 3, 3), {"groups": 65, "padding": ((1, 1), (1, 1))}),
    "depthwise, 1 channel": ((2, 1, 9, 8), (1, 1, 5, 3), {"padding": ((2, 2), (1, 1)), "stride": (2, 2)}),
}
ALL = {**SMALL, **EDGES}


def arguments(name, dtype=np.float64, seed=0):
    """x, weight, bias and attributes of a case."""
    x, weight, attrs = ALL[name]
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in (x, weight, weight[:1])], {**PLAIN, **attrs}


def each(value, count):
    """A number for each of `count` axes."""
    return value if isinstance(value, tuple) else (value,) * count


def pixel_of(place, tap, stride, padding, dilation):
    """The pixel under a tap of the window at a place."""
    return tuple(p * u + k * d - pad[0] for p, k, u, pad, d in zip(place, tap, stride, padding, dilation, strict=True))


def inside(pixel, sizes):
    return all(0 <= i < n for i, n in zip(pixel, sizes, strict=True))


def loops(x, weight, bias, stride, padding, dilation, groups):
    """Convolution over any number of axes, product by product, written from its definition alone."""
    (outputs, inputs), kernel, sizes = weight.shape[:2], weight.shape[2:], x.shape[2:]
    spans = [n + sum(p) - d * (k - 1) for n, p, d, k in zip(sizes, padding, dilation, kernel, strict=True)]
    y = np.zeros((len(x), outputs, *(-(-span // u) for span, u in zip(spans, stride, strict=True))))
    for b, o, *place in np.ndindex(y.shape):
        y[(b, o, *place)] = bias[o]
        for i, *tap in np.ndindex(inputs, *kernel):
            pixel = pixel_of(place, tap, stride, padding, dilation)
            if inside(pixel, sizes):
                y[(b, o, *place)] += weight[(o, i, *tap)] * x[(b, o // (outputs // groups) * inputs + i, *pixel)]
    return y


def transposed_loops(x, weight, bias, size, stride, padding, dilation, groups):
    """Each element of x, times the taps of its filter, to where the window at its place would read."""
    (channels, outputs), kernel = weight.shape[:2], weight.shape[2:]
    y = np.zeros((len(x), outputs * groups, *size)) + bias.reshape(-1, *(1,) * len(size))
    for b, c, *place in np.ndindex(x.shape):
        for o, *tap in np.ndindex(outputs, *kernel):
            pixel = pixel_of(place, tap, stride, padding, dilation)
            if inside(pixel, size):
                y[(b, c // (channels // groups) * outputs + o, *pixel)] += weight[(c, o, *tap)] * x[(b, c, *place)]
    return y


def everything(arrays, dy, attrs, backend):
    """y, dx, dweight, dbias."""
    with mv.backend(backend):
        y, kept = conv2d.forward(tuple(arrays), attrs)
        return [y, *conv2d.pull(y if dy is None else dy, kept, GRADIENTS, attrs)]


def random_like(y, seed=1):
    return np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype)
