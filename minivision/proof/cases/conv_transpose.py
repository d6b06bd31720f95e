"""Transposed convolution: every size that has the windows given, uneven padding, dilation, groups, pixels of no window."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ...ops.conv import _conv_transpose2d, _conv_transpose2d_vjp
from ..case import Case, Mutant, normal, with_constants
from .conv import _filters_turned, _groups_turned

# label -> shapes of x, weight and bias, attributes
TRANSPOSES: dict[str, tuple[Any, dict[str, Any]]] = {
    "3x3": (((1, 1, 2, 2), (1, 1, 3, 3), (1,)), {"size": (4, 4)}),
    "images and channels": (((2, 3, 2, 1), (3, 2, 2, 2), (2,)), {"size": (3, 2)}),
    "1x1": (((2, 3, 2, 2), (3, 2, 1, 1), (2,)), {"size": (2, 2)}),
    "stride": (((1, 2, 2, 2), (2, 1, 2, 3), (1,)), {"size": (4, 4), "stride": (2, 1)}),
    "the larger of two sizes": (((1, 2, 2, 2), (2, 1, 2, 3), (1,)), {"size": (5, 6), "stride": (2, 3)}),
    "uneven padding": (((1, 2, 2, 3), (2, 2, 2, 2), (2,)), {"size": (2, 2), "padding": ((1, 0), (1, 1))}),
    "dilation": (((1, 1, 2, 2), (1, 2, 2, 2), (2,)), {"size": (5, 4), "dilation": (3, 2)}),
    "stride and dilation share a factor": (
        ((1, 1, 2, 2), (1, 1, 2, 2), (1,)),
        {"size": (5, 7), "stride": (2, 4), "dilation": (2, 2)},
    ),
    "groups": (((1, 4, 2, 1), (4, 2, 1, 2), (4,)), {"size": (2, 2), "groups": 2}),
    "depthwise": (((1, 3, 2, 2), (3, 1, 2, 2), (3,)), {"size": (3, 3), "groups": 3}),
    "two results for each channel": (((1, 2, 2, 2), (2, 2, 2, 2), (4,)), {"size": (3, 3), "groups": 2}),
    "all together": (
        ((1, 4, 2, 2), (4, 1, 2, 3), (2,)),
        {"size": (4, 3), "groups": 2, "stride": (2, 1), "padding": ((1, 0), (0, 3)), "dilation": (2, 2)},
    ),
    "pixels of no window": (((1, 2, 2, 2), (2, 1, 1, 1), (1,)), {"size": (5, 4), "stride": (3, 2)}),
    "one pixel in": (((2, 2, 1, 1), (2, 2, 2, 3), (2,)), {"size": (2, 3)}),
    "no images": (((0, 2, 2, 2), (2, 2, 2, 2), (2,)), {"size": (3, 3)}),
}
CASES = {
    "conv_transpose2d": [
        *(Case(label, normal(*shapes), attrs) for label, (shapes, attrs) in TRANSPOSES.items()),
        Case("no bias", with_constants(normal((1, 2, 2, 2), (2, 2, 2, 2)), None), {"size": (3, 3)}),
        Case("depthwise, no bias", with_constants(normal((1, 2, 2, 2), (2, 1, 2, 2)), None), {"size": (3, 3), "groups": 2}),
    ],
}


def _with(change):
    """A VJP that is the right one of changed arguments, or with changed answers."""

    def vjp(dy, kept, *, groups=1, **windows):
        return change(partial(_conv_transpose2d_vjp, needs=(True, True, True), groups=groups, **windows), dy, kept, groups)

    return vjp


def _bias_of_x(right, dy, kept, groups):
    dx, dw, db = right(dy, kept)
    return dx, dw, None if db is None else db * (kept[0][:1, :1].size / max(1, dy[:1, :1].size))


def _padding_in_front(x, weight, bias, *, padding=((0, 0), (0, 0)), **attrs):
    return _conv_transpose2d(x, weight, bias, padding=tuple((sum(around), 0) for around in padding), **attrs)


def _first_channels(x, weight, bias, *, groups=1, **attrs):
    y, kept = _conv_transpose2d(x, weight, None, groups=groups, **attrs)
    return y if bias is None else y + np.tile(bias[: weight.shape[1]], groups).reshape(-1, 1, 1), kept


MUTANTS = {
    "conv_transpose2d": [
        Mutant("the filter turned around", _with(_filters_turned)),
        Mutant("the filters of another group", _with(_groups_turned)),
        Mutant("the bias's gradient counts the pixels of x", _with(_bias_of_x)),
        Mutant("all padding cut off in front", definition=_padding_in_front),
        Mutant("every group adds the bias of the first", definition=_first_channels),
    ],
}
