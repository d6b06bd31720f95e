"""Exponentials, logarithms and the square root, element by element."""

from __future__ import annotations

import math

import numpy as np

from ..op import op


def _exp(x):
    """y = exp(x)

    shapes: x -> y;  keeps: y
    """
    y = np.exp(x)
    return y, (y,)


def _exp_vjp(dy, kept):
    """dx = dy y"""
    return dy * kept[0]


def _exp2(x):
    """y = 2^x

    shapes: x -> y;  keeps: y
    """
    y = np.exp2(x)
    return y, (y,)


def _exp2_vjp(dy, kept):
    """dx = dy y log 2"""
    return dy * kept[0] * math.log(2.0)


def _expm1(x):
    """y = exp(x) - 1, right to the last digits near 0

    shapes: x -> y;  keeps: y
    """
    y = np.expm1(x)
    return y, (y,)


def _expm1_vjp(dy, kept):
    """dx = dy (y + 1)"""
    return dy * (kept[0] + 1.0)


def _log(x):
    """y = log(x)

    shapes: x -> y;  keeps: x
    """
    return np.log(x), (x,)


def _log_vjp(dy, kept):
    """dx = dy / x"""
    return dy / kept[0]


def _log2(x):
    """y = log(x) / log 2

    shapes: x -> y;  keeps: x
    """
    return np.log2(x), (x,)


def _log2_vjp(dy, kept):
    """dx = dy / (x log 2)"""
    return dy / (kept[0] * math.log(2.0))


def _log10(x):
    """y = log(x) / log 10

    shapes: x -> y;  keeps: x
    """
    return np.log10(x), (x,)


def _log10_vjp(dy, kept):
    """dx = dy / (x log 10)"""
    return dy / (kept[0] * math.log(10.0))


def _log1p(x):
    """y = log(1 + x), right to the last digits near 0

    shapes: x -> y;  keeps: x
    """
    return np.log1p(x), (x,)


def _log1p_vjp(dy, kept):
    """dx = dy / (1 + x)"""
    return dy / (1.0 + kept[0])


def _sqrt(x):
    """y = sqrt(x)

    shapes: x -> y;  keeps: y
    """
    y = np.sqrt(x)
    return y, (y,)


def _sqrt_vjp(dy, kept):
    """dx = dy / (2 y)"""
    return dy / (2.0 * kept[0])


exp = op("exp", _exp, _exp_vjp, numpy=np.exp, method="exp")
exp2 = op("exp2", _exp2, _exp2_vjp, numpy=np.exp2, method="exp2")
expm1 = op("expm1", _expm1, _expm1_vjp, numpy=np.expm1, method="expm1")
log = op("log", _log, _log_vjp, numpy=np.log, method="log")
log2 = op("log2", _log2, _log2_vjp, numpy=np.log2, method="log2")
log10 = op("log10", _log10, _log10_vjp, numpy=np.log10, method="log10")
log1p = op("log1p", _log1p, _log1p_vjp, numpy=np.log1p, method="log1p")
sqrt = op("sqrt", _sqrt, _sqrt_vjp, numpy=np.sqrt, method="sqrt")
