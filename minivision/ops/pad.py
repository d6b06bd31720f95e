"""A border of one value around an array. (Borders that repeat the array are an index_select along each axis.)"""

from __future__ import annotations

import numpy as np

from ..op import op
from ..tape import NUMPY
from .elementwise import raw


def _pad(x, *, widths, value=0.0):
    """y = x with widths[k] = (before, after) elements of a value around it along axis k

    shapes: x -> y;  keeps: shape
    """
    shape = tuple(before + n + after for (before, after), n in zip(widths, x.shape, strict=True))
    y = np.full_like(raw(x), value, shape=shape)  # in x's own memory layout, channels last stays so
    y[_inside(widths, x.shape)] = raw(x)
    return y, (x.shape,)


def _pad_vjp(dy, kept, *, widths, value=0.0):
    """dx = dy without the border"""
    return dy[_inside(widths, kept[0])]


def _inside(widths, shape):
    return tuple(slice(before, before + n) for (before, _), n in zip(widths, shape, strict=True))


pad = op("pad", _pad, _pad_vjp)
NUMPY[np.pad] = lambda x, pad_width, mode="constant", constant_values=0.0: pad(x, widths=pad_width, value=constant_values)
