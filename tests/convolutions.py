"""Convolutions of many shapes, and convolution once more as plain loops: what the tests of conv2d share."""

from __future__ import annotations

import itertools

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


def loops(x, weight, bias, stride, padding, dilation, groups):
    """Seven loops, written from the definition of convolution alone."""
    (n, _, height, width), (outputs, inputs, rows, columns) = x.shape, weight.shape
    span = [h + sum(p) - d * (k - 1) for h, p, d, k in zip((height, width), padding, dilation, (rows, columns), strict=True)]
    y = np.zeros((n, outputs, *(-(-s // u) for s, u in zip(span, stride, strict=True))))
    for b, o, p, q in np.ndindex(y.shape):
        y[b, o, p, q] = bias[o]
        for i, r, s in itertools.product(range(inputs), range(rows), range(columns)):
            h, w = p * stride[0] + r * dilation[0] - padding[0][0], q * stride[1] + s * dilation[1] - padding[1][0]
            if 0 <= h < height and 0 <= w < width:
                y[b, o, p, q] += weight[o, i, r, s] * x[b, o // (outputs // groups) * inputs + i, h, w]
    return y


def everything(arrays, dy, attrs, backend):
    """y, dx, dweight, dbias."""
    with mv.backend(backend):
        y, kept = conv2d.forward(tuple(arrays), attrs)
        return [y, *conv2d.pull(y if dy is None else dy, kept, GRADIENTS, attrs)]


def random_like(y, seed=1):
    return np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype)
