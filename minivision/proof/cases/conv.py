"""Convolution and pooling: strides, uneven padding, dilation, groups, depthwise, pixels that no window reads."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ...kernels.window import Axis, axes
from ...ops.conv import NONE, ONE, _conv2d_vjp, col2im, im2col
from ...ops.pool import _avg_pool2d_vjp, _max_pool2d_vjp, bins
from ..case import Case, Mutant, distinct, normal, with_constants

# label -> (N, C, H, W), attributes
WINDOWS: dict[str, tuple[Any, dict[str, Any]]] = {
    "2x2": ((2, 1, 3, 3), {"kernel": (2, 2)}),
    "channels": ((1, 3, 2, 3), {"kernel": (2, 2)}),
    "1x1": ((1, 2, 3, 2), {"kernel": (1, 1)}),
    "stride": ((1, 1, 5, 4), {"kernel": (2, 2), "stride": (2, 1)}),
    "uneven padding": ((1, 1, 2, 2), {"kernel": (2, 2), "padding": ((1, 0), (0, 2))}),
    "dilation": ((1, 1, 5, 4), {"kernel": (2, 2), "dilation": (3, 2)}),
    "all together": ((1, 1, 4, 4), {"kernel": (2, 3), "stride": (2, 1), "padding": ((1, 1), (0, 1)), "dilation": (2, 1)}),
    "pixels between the windows": ((1, 1, 5, 4), {"kernel": (1, 2), "stride": (3, 2)}),
    "the whole image": ((1, 2, 2, 3), {"kernel": (2, 3)}),
    "no images": ((0, 2, 3, 3), {"kernel": (2, 2)}),
}


def _windows_shape(shape, kernel, stride=ONE, padding=NONE, dilation=ONE):
    """The shape that im2col makes of an image's."""
    down, across = axes("im2col", shape[2:], kernel, stride, padding, dilation)
    return (shape[0], down.windows, across.windows, *kernel, shape[1])


def _col2im_case(label, shape, attrs):
    rest = {name: value for name, value in attrs.items() if name != "kernel"}
    return Case(label, normal(_windows_shape(shape, **attrs)), {"size": shape[2:], **rest})


# label -> shapes of x, weight and bias, attributes
CONVOLUTIONS: dict[str, tuple[Any, dict[str, Any]]] = {
    "3x3": (((1, 1, 4, 4), (1, 1, 3, 3), (1,)), {}),
    "images and channels": (((2, 2, 3, 2), (3, 2, 2, 2), (3,)), {}),
    "1x1": (((2, 3, 2, 2), (2, 3, 1, 1), (2,)), {}),
    "stride": (((1, 1, 5, 4), (2, 1, 2, 3), (2,)), {"stride": (2, 1)}),
    "uneven padding": (((1, 2, 2, 3), (2, 2, 2, 2), (2,)), {"padding": ((1, 0), (2, 1))}),
    "dilation": (((1, 1, 5, 4), (2, 1, 2, 2), (2,)), {"dilation": (3, 2)}),
    "stride and dilation share a factor": (((1, 1, 5, 6), (1, 1, 2, 2), (1,)), {"stride": (2, 4), "dilation": (2, 2)}),
    "groups": (((1, 4, 2, 3), (4, 2, 1, 2), (4,)), {"groups": 2}),
    "depthwise": (((1, 3, 3, 3), (3, 1, 2, 2), (3,)), {"groups": 3}),
    "depthwise, stride, padding, dilation": (
        ((1, 2, 5, 4), (2, 1, 2, 3), (2,)),
        {"groups": 2, "stride": (3, 2), "padding": ((1, 0), (1, 2)), "dilation": (2, 1)},
    ),
    "two filters for each channel": (((1, 2, 3, 3), (4, 1, 2, 2), (4,)), {"groups": 2}),
    "all together": (
        ((1, 4, 3, 2), (2, 2, 2, 3), (2,)),
        {"groups": 2, "stride": (2, 1), "padding": ((1, 1), (2, 1)), "dilation": (2, 1)},
    ),
    "pixels between the windows": (((1, 2, 4, 5), (1, 2, 1, 1), (1,)), {"stride": (3, 2)}),
    "the whole image": (((2, 2, 2, 3), (2, 2, 2, 3), (2,)), {}),
    "one element": (((1, 1, 1, 1), (1, 1, 1, 1), (1,)), {}),
    "no images": (((0, 2, 3, 3), (2, 2, 2, 2), (2,)), {}),
}

# label -> (N, C, H, W), attributes
POOLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "2x2": ((1, 2, 4, 4), {"kernel": (2, 2), "stride": (2, 2)}),
    "overlapping": ((1, 1, 4, 5), {"kernel": (2, 3), "stride": (1, 1)}),
    "padding": ((2, 1, 3, 4), {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 1)}),
    "ceil_mode": ((1, 1, 5, 4), {"kernel": (2, 3), "stride": (2, 2), "padding": (0, 1), "ceil_mode": True}),
    "ceil_mode, last window left out": ((1, 1, 3, 4), {"kernel": (2, 2), "stride": (3, 3), "padding": (1, 1), "ceil_mode": True}),
    "pixels between the windows": ((1, 2, 5, 3), {"kernel": (1, 2), "stride": (3, 2)}),
    "no images": ((0, 2, 3, 3), {"kernel": (2, 2), "stride": (2, 2)}),
}
ADAPTIVE: dict[str, tuple[Any, Any]] = {
    "one bin": ((2, 2, 3, 4), (1, 1)),
    "bins of equal size": ((1, 2, 4, 6), (2, 3)),
    "bins that overlap": ((1, 2, 5, 4), (3, 3)),
    "as many bins as pixels": ((1, 1, 3, 4), (3, 4)),
    "more bins than pixels": ((1, 2, 2, 3), (5, 4)),
    "no images": ((0, 2, 3, 3), (2, 2)),
}
CASES = {
    "im2col": [Case(label, normal(shape), attrs) for label, (shape, attrs) in WINDOWS.items()],
    "col2im": [_col2im_case(label, shape, attrs) for label, (shape, attrs) in WINDOWS.items()],
    "conv2d": [
        *(Case(label, normal(*shapes), attrs) for label, (shapes, attrs) in CONVOLUTIONS.items()),
        Case("no bias", with_constants(normal((1, 2, 3, 3), (2, 2, 2, 2)), None)),
        Case("depthwise, no bias", with_constants(normal((1, 2, 3, 3), (2, 1, 2, 2)), None), {"groups": 2}),
    ],
    "max_pool2d": [
        *(Case(label, distinct(shape), attrs, complex_step=False) for label, (shape, attrs) in POOLS.items()),
        Case("dilation", distinct((1, 1, 5, 6)), {"kernel": (2, 2), "stride": (1, 2), "dilation": (3, 2)}, complex_step=False),
    ],
    "avg_pool2d": [
        *(Case(label, normal(shape), attrs) for label, (shape, attrs) in POOLS.items()),
        Case("padding not counted", normal((1, 1, 4, 5)), {**POOLS["padding"][1], "count_include_pad": False}),
        Case("ceil_mode, padding not counted", normal((1, 1, 5, 4)), {**POOLS["ceil_mode"][1], "count_include_pad": False}),
        Case("divisor", normal((1, 1, 4, 4)), {"kernel": (2, 3), "stride": (1, 1), "padding": (1, 1), "divisor": 5}),
    ],
    "adaptive_avg_pool2d": [Case(label, normal(shape), {"size": size}) for label, (shape, size) in ADAPTIVE.items()],
}


def _places(axis: Axis, tap: int, dilation: int) -> slice:
    """Axis.at with another dilation."""
    return slice(tap * dilation, tap * dilation + axis.stride * (axis.windows - 1) + 1, axis.stride)


def _undilated(dy, kept, *, kernel, stride=ONE, padding=NONE, dilation=ONE):
    down, across = axes("im2col", kept[0], kernel, stride, padding, dilation)
    x = np.zeros((len(dy), down.padded, across.padded, dy.shape[-1]))
    for r, s in np.ndindex(kernel):
        x[:, _places(down, r, 1), _places(across, s, 1)] += dy[:, :, :, r, s]
    return x[:, down.inside, across.inside].transpose(0, 3, 1, 2)


def _overwritten(dy, kept, *, kernel, stride=ONE, padding=NONE, dilation=ONE):
    down, across = axes("im2col", kept[0], kernel, stride, padding, dilation)
    x = np.zeros((len(dy), down.padded, across.padded, dy.shape[-1]))
    for r, s in np.ndindex(kernel):
        x[:, down.at(r), across.at(s)] = dy[:, :, :, r, s]
    return x[:, down.inside, across.inside].transpose(0, 3, 1, 2)


def _padding_turned(dy, kept, *, kernel, padding=NONE, **windows):
    return col2im(dy, size=kept[0], padding=tuple(pair[::-1] for pair in padding), **windows)


def _taps_turned(dx, kept, *, size, **windows):
    return im2col(dx, kernel=kept[0], **windows)[:, :, :, ::-1, ::-1]


def _rows_for_columns(dx, kept, *, size, **windows):
    dy = im2col(dx, kernel=kept[0], **windows)
    return dy.swapaxes(3, 4) if dy.shape[3] == dy.shape[4] else dy


def _conv(change):
    """A VJP that is the right one of changed arguments, or with changed answers."""

    def vjp(dy, kept, *, groups=1, **windows):
        right = partial(_conv2d_vjp, needs=(True, True, True), groups=groups, **windows)
        return change(right, dy, kept, groups)

    return vjp


def _filters_turned(right, dy, kept, groups):
    return right(dy, (kept[0], kept[1][:, :, ::-1, ::-1], kept[2]))


def _groups_turned(right, dy, kept, groups):
    weight = kept[1].reshape(groups, -1, *kept[1].shape[1:])[::-1].reshape(kept[1].shape)
    return right(dy, (kept[0], weight, kept[2]))


def _first_image(right, dy, kept, groups):
    dx, _, db = right(dy, kept)
    return dx, right(dy[:1], (kept[0][:1], *kept[1:]))[1], db


def _mean_bias(right, dy, kept, groups):
    dx, dw, db = right(dy, kept)
    return dx, dw, None if db is None else db / max(1, dy[:, 0].size)


def _maximum_first_tap(dy, kept, **windows):
    return _max_pool2d_vjp(dy, (np.zeros_like(kept[0]), kept[1]), **windows)


def _maximum_by_columns(dy, kept, *, kernel, **windows):
    taken = np.ravel_multi_index(np.unravel_index(kept[0], kernel)[::-1], kernel[::-1])
    return _max_pool2d_vjp(dy, (taken, kept[1]), kernel=kernel, **windows)


def _padding_counted(dy, kept, *, count_include_pad=True, **windows):
    return _avg_pool2d_vjp(dy, kept, **windows)


def _divisor_of_one(dy, kept, *, divisor=None, **windows):
    return _avg_pool2d_vjp(dy, kept, **windows, divisor=1)


def _bins(add):
    """The VJP of adaptive pooling, where `add(dx, index, share)` brings one bin's share to its pixels."""

    def vjp(dy, kept, *, size):
        dx = np.zeros((*dy.shape[:2], *kept[0]))
        for p, rows in enumerate(bins(kept[0][0], size[0])):
            for q, columns in enumerate(bins(kept[0][1], size[1])):
                add(dx[:, :, rows, columns], dy[:, :, p : p + 1, q : q + 1])
        return dx

    return vjp


def _last_bin_only(dx, dy):
    dx[...] = dy / np.prod(dx.shape[2:])


def _undivided(dx, dy):
    dx += dy


MUTANTS = {
    "im2col": [
        Mutant("col2im forgets the dilation", _undilated),
        Mutant("windows that overlap overwrite each other", _overwritten),
        Mutant("the padding in front and behind exchanged", _padding_turned),
    ],
    "col2im": [
        Mutant("the taps from last to first", _taps_turned),
        Mutant("rows and columns of taps exchanged", _rows_for_columns),
    ],
    "conv2d": [
        Mutant("the filter turned around", _conv(_filters_turned)),
        Mutant("the filters of another group", _conv(_groups_turned)),
        Mutant("the weight's gradient from one image", _conv(_first_image)),
        Mutant("mean instead of sum for the bias", _conv(_mean_bias)),
    ],
    "max_pool2d": [
        Mutant("the gradient goes to the first tap", _maximum_first_tap),
        Mutant("taps counted by columns", _maximum_by_columns),
    ],
    "avg_pool2d": [Mutant("padding is counted always", _padding_counted), Mutant("sums where means belong", _divisor_of_one)],
    "adaptive_avg_pool2d": [
        Mutant("bins that overlap overwrite each other", _bins(_last_bin_only)),
        Mutant("sums where means belong", _bins(_undivided)),
    ],
}
