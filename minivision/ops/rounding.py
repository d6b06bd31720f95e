"""Whole numbers, signs and remainders: functions with steps, flat between them."""

from __future__ import annotations

import numpy as np

from ..op import op
from .elementwise import raw, shape_of, unbroadcast


def _floor(x):
    """y = the largest whole number <= x

    shapes: x -> y;  keeps: nothing
    """
    return np.floor(x), ()


def _ceil(x):
    """y = the smallest whole number >= x

    shapes: x -> y;  keeps: nothing
    """
    return np.ceil(x), ()


def _trunc(x):
    """y = x without its fraction

    shapes: x -> y;  keeps: nothing
    """
    return np.trunc(x), ()


def _round(x):
    """y = the nearest whole number, of two the even one

    shapes: x -> y;  keeps: nothing
    """
    return np.rint(x), ()


def _sign(x):
    """y = -1, 0 or 1

    shapes: x -> y;  keeps: nothing
    """
    return np.sign(x), ()


def _flat_vjp(dy, kept):
    """dx = 0"""
    return np.where(False, dy, 0.0)


def _floor_divide(a, b):
    """y = floor(a / b)

    shapes: a, b broadcast -> y;  keeps: shapes
    """
    return np.floor_divide(a, b), (shape_of(a), shape_of(b))


def _floor_divide_vjp(dy, kept):
    """da = 0,  db = 0"""
    zero = np.where(False, dy, 0.0)
    return tuple(unbroadcast(zero, shape) for shape in kept)


def _remainder(a, b):
    """y = a - b floor(a / b), with the sign of b

    shapes: a, b broadcast -> y;  keeps: a, b
    """
    return np.remainder(a, b), (a, b)


def _remainder_vjp(dy, kept):
    """da = dy,  db = -dy floor(a / b)"""
    a, b = kept
    return unbroadcast(dy, shape_of(a)), unbroadcast(-dy * np.floor_divide(raw(a), raw(b)), shape_of(b))


def _fmod(a, b):
    """y = a - b trunc(a / b), with the sign of a

    shapes: a, b broadcast -> y;  keeps: a, b
    """
    return np.fmod(a, b), (a, b)


def _fmod_vjp(dy, kept):
    """da = dy,  db = -dy trunc(a / b)"""
    a, b = kept
    return unbroadcast(dy, shape_of(a)), unbroadcast(-dy * np.trunc(raw(a) / raw(b)), shape_of(b))


floor = op("floor", _floor, _flat_vjp, numpy=np.floor, method="floor")
ceil = op("ceil", _ceil, _flat_vjp, numpy=np.ceil, method="ceil")
trunc = op("trunc", _trunc, _flat_vjp, numpy=np.trunc, method="trunc")
round = op("round", _round, _flat_vjp, numpy=np.rint)
sign = op("sign", _sign, _flat_vjp, numpy=np.sign, method="sign")
floor_divide = op("floor_divide", _floor_divide, _floor_divide_vjp, numpy=np.floor_divide, method="floor_divide")
remainder = op("remainder", _remainder, _remainder_vjp, numpy=np.remainder, method="remainder")
fmod = op("fmod", _fmod, _fmod_vjp, numpy=np.fmod, method="fmod")
