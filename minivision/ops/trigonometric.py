"""Trigonometric and hyperbolic functions, element by element."""

from __future__ import annotations

import numpy as np

from .. import kernels
from ..op import op
from .elementwise import raw, shape_of, unbroadcast


def _sin(x):
    """y = sin(x)

    shapes: x -> y;  keeps: x
    """
    return np.sin(x), (x,)


def _sin_vjp(dy, kept):
    """dx = dy cos(x)"""
    return dy * np.cos(kept[0])


def _cos(x):
    """y = cos(x)

    shapes: x -> y;  keeps: x
    """
    return np.cos(x), (x,)


def _cos_vjp(dy, kept):
    """dx = -dy sin(x)"""
    return -dy * np.sin(kept[0])


def _tan(x):
    """y = tan(x)

    shapes: x -> y;  keeps: y
    """
    y = np.tan(x)
    return y, (y,)


def _tan_vjp(dy, kept):
    """dx = dy (1 + y^2)"""
    return dy * (1.0 + kept[0] * kept[0])


def _arcsin(x):
    """y = the angle in [-pi/2, pi/2] whose sine is x

    shapes: x -> y;  keeps: x
    """
    return np.arcsin(x), (x,)


def _arcsin_vjp(dy, kept):
    """dx = dy / sqrt((1 - x) (1 + x))"""
    (x,) = kept
    return dy / np.sqrt((1.0 - x) * (1.0 + x))


def _arccos(x):
    """y = the angle in [0, pi] whose cosine is x

    shapes: x -> y;  keeps: x
    """
    return np.arccos(x), (x,)


def _arccos_vjp(dy, kept):
    """dx = -dy / sqrt((1 - x) (1 + x))"""
    (x,) = kept
    return -dy / np.sqrt((1.0 - x) * (1.0 + x))


def _arctan(x):
    """y = the angle in (-pi/2, pi/2) whose tangent is x

    shapes: x -> y;  keeps: x
    """
    return np.arctan(x), (x,)


def _arctan_vjp(dy, kept):
    """dx = dy / (1 + x^2)"""
    (x,) = kept
    return dy / (1.0 + x * x)


def _arctan2(a, b):
    """y = the angle in [-pi, pi] of the point (b, a)

    shapes: a, b broadcast -> y;  keeps: a, b
    """
    return np.arctan2(a, b), (a, b)


def _arctan2_vjp(dy, kept, *, needs):
    """da = dy b / (a^2 + b^2),  db = -dy a / (a^2 + b^2)   (both 0 at the origin)"""
    a, b = kept
    square = a * a + b * b
    slope = dy / np.where(raw(square) == 0, 1.0, square)
    da = unbroadcast(slope * b, shape_of(a)) if needs[0] else None
    return da, unbroadcast(-slope * a, shape_of(b)) if needs[1] else None


def _hypot(a, b):
    """y = sqrt(a^2 + b^2), without overflow on the way

    shapes: a, b broadcast -> y;  keeps: a, b, y
    """
    y = np.hypot(a, b)
    return y, (a, b, y)


def _hypot_vjp(dy, kept):
    """da = dy a / y,  db = dy b / y"""
    a, b, y = kept
    return unbroadcast(dy * (a / y), shape_of(a)), unbroadcast(dy * (b / y), shape_of(b))


def _sinh(x):
    """y = (exp(x) - exp(-x)) / 2

    shapes: x -> y;  keeps: x
    """
    return np.sinh(x), (x,)


def _sinh_vjp(dy, kept):
    """dx = dy cosh(x)"""
    return dy * np.cosh(kept[0])


def _cosh(x):
    """y = (exp(x) + exp(-x)) / 2

    shapes: x -> y;  keeps: x
    """
    return np.cosh(x), (x,)


def _cosh_vjp(dy, kept):
    """dx = dy sinh(x)"""
    return dy * np.sinh(kept[0])


def _tanh(x):
    """y = sinh(x) / cosh(x)

    shapes: x -> y;  keeps: y
    """
    y = np.tanh(x)
    return y, (y,)


def _tanh_vjp(dy, kept):
    """dx = dy (1 - y^2)"""
    return dy * (1.0 - kept[0] * kept[0])


sin = op("sin", _sin, _sin_vjp, numpy=np.sin, method="sin")
cos = op("cos", _cos, _cos_vjp, numpy=np.cos, method="cos")
tan = op("tan", _tan, _tan_vjp, numpy=np.tan, method="tan")
arcsin = op("arcsin", _arcsin, _arcsin_vjp, numpy=np.arcsin, method="asin")
arccos = op("arccos", _arccos, _arccos_vjp, numpy=np.arccos, method="acos")
arctan = op("arctan", _arctan, _arctan_vjp, numpy=np.arctan, method="atan")
arctan2 = op("arctan2", _arctan2, _arctan2_vjp, numpy=np.arctan2, method="atan2")
hypot = op("hypot", _hypot, _hypot_vjp, numpy=np.hypot, method="hypot")
sinh = op("sinh", _sinh, _sinh_vjp, numpy=np.sinh, method="sinh")
cosh = op("cosh", _cosh, _cosh_vjp, numpy=np.cosh, method="cosh")
tanh = op("tanh", _tanh, _tanh_vjp, kernel=kernels.tanh, numpy=np.tanh, method="tanh")
