"""Convolution: strides, uneven padding, dilation, groups, depthwise, pixels that no window reads."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ...kernels.window import axes
from ...ops.conv import NONE, ONE, _conv2d_vjp, col2im, im2col
from ..case import Case, Mutant, normal, with_constants

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
    "one axis": ((2, 2, 5), {"kernel": (3,), "stride": (2,), "padding": ((1, 2),), "dilation": (2,)}),
    "three axes": (
        (1, 2, 3, 2, 3),
        {"kernel": (2, 1, 2), "stride": (2, 1, 1), "padding": ((1, 0), (0, 0), (0, 1)), "dilation": (1, 1, 2)},
    ),
}


def _windows_shape(shape, kernel, stride=ONE, padding=NONE, dilation=ONE):
    """The shape that im2col makes of an image's."""
    counts = (axis.windows for axis in axes("im2col", shape[2:], kernel, stride, padding, dilation))
    return (shape[0], *counts, *kernel, shape[1])


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

CASES = {
    "im2col": [Case(label, normal(shape), attrs) for label, (shape, attrs) in WINDOWS.items()],
    "col2im": [_col2im_case(label, shape, attrs) for label, (shape, attrs) in WINDOWS.items()],
    "conv2d": [
        *(Case(label, normal(*shapes), attrs) for label, (shapes, attrs) in CONVOLUTIONS.items()),
        Case("no bias", with_constants(normal((1, 2, 3, 3), (2, 2, 2, 2)), None)),
        Case("depthwise, no bias", with_constants(normal((1, 2, 3, 3), (2, 1, 2, 2)), None), {"groups": 2}),
    ],
}


def _brought_back(add):
    """The VJP of im2col, where `add(x, axes, tap, dy)` brings one tap of all windows to padded images (N, *sizes, C)."""

    def vjp(dy, kept, *, kernel, stride=ONE, padding=NONE, dilation=ONE):
        windows = axes("im2col", kept[0], kernel, stride, padding, dilation)
        x = np.zeros((len(dy), *(axis.padded for axis in windows), dy.shape[-1]))
        for tap in np.ndindex(*kernel):
            add(x, windows, tap, dy[(slice(None),) * (len(tap) + 1) + tap])
        inside = (slice(None), *(axis.inside for axis in windows))
        return np.moveaxis(x[inside], -1, 1)

    return vjp


def _undilated(x, windows, tap, dy):
    near = (axis._replace(dilation=1, after=axis.after + axis.taps - axis.reach) for axis in windows)  # as many windows
    place = (slice(None), *(axis.at(k) for axis, k in zip(near, tap, strict=True)))
    x[place] += dy


def _overwritten(x, windows, tap, dy):
    place = (slice(None), *(axis.at(k) for axis, k in zip(windows, tap, strict=True)))
    x[place] = dy


def _padding_turned(dy, kept, *, kernel, padding=NONE, **windows):
    return col2im(dy, size=kept[0], padding=tuple(pair[::-1] for pair in padding), **windows)


def _taps_turned(dx, kept, *, size, **windows):
    dy = im2col(dx, kernel=kept[0], **windows)
    return np.flip(dy, tuple(range(len(size) + 1, dy.ndim - 1)))


def _rows_for_columns(dx, kept, *, size, **windows):
    dy = im2col(dx, kernel=kept[0], **windows)
    return dy.swapaxes(3, 4) if len(size) == 2 and dy.shape[3] == dy.shape[4] else dy


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


MUTANTS = {
    "im2col": [
        Mutant("col2im forgets the dilation", _brought_back(_undilated)),
        Mutant("windows that overlap overwrite each other", _brought_back(_overwritten)),
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
}
