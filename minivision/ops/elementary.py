"""The elementary functions: exponential, logarithm, root, trigonometric and error function, element by element."""

from __future__ import annotations

import math

import numpy as np

from ..op import op
from ..tape import METHODS
from .elementwise import raw


def _exp(x):
    """y = exp(x)

    shapes: x -> y;  keeps: y
    """
    y = np.exp(x)
    return y, (y,)


def _exp_vjp(dy, kept):
    """dx = dy y"""
    return dy * kept[0]


def _log(x):
    """y = log(x)

    shapes: x -> y;  keeps: x
    """
    return np.log(x), (x,)


def _log_vjp(dy, kept):
    """dx = dy / x"""
    return dy / kept[0]


def _sqrt(x):
    """y = sqrt(x)

    shapes: x -> y;  keeps: y
    """
    y = np.sqrt(x)
    return y, (y,)


def _sqrt_vjp(dy, kept):
    """dx = dy / (2 y)"""
    return dy / (2.0 * kept[0])


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


def _tanh(x):
    """y = tanh(x)

    shapes: x -> y;  keeps: y
    """
    y = np.tanh(x)
    return y, (y,)


def _tanh_vjp(dy, kept):
    """dx = dy (1 - y^2)"""
    return dy * (1.0 - kept[0] * kept[0])


_erf_of_each = np.frompyfunc(math.erf, 1, 1)


def _erf(x):
    """y = 2 / sqrt(pi) integral_0^x exp(-t^2) dt

    shapes: x -> y;  keeps: x
    """
    return np.asarray(_erf_of_each(raw(x))).astype(x.dtype), (x,)


def _erf_vjp(dy, kept):
    """dx = dy 2 / sqrt(pi) exp(-x^2)"""
    (x,) = kept
    return dy * (2.0 / math.sqrt(math.pi) * np.exp(-x * x))


exp = op("exp", _exp, _exp_vjp, numpy=np.exp, method="exp")
log = op("log", _log, _log_vjp, numpy=np.log, method="log")
sqrt = op("sqrt", _sqrt, _sqrt_vjp, numpy=np.sqrt, method="sqrt")
sin = op("sin", _sin, _sin_vjp, numpy=np.sin, method="sin")
cos = op("cos", _cos, _cos_vjp, numpy=np.cos, method="cos")
tanh = op("tanh", _tanh, _tanh_vjp, numpy=np.tanh, method="tanh")
erf = op("erf", _erf, _erf_vjp, method="erf")
METHODS["rsqrt"] = lambda self: 1.0 / np.sqrt(self)
