"""The error function and its complement, by W. J. Cody's rational approximations (Math. Comp. 23, 1969)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..op import op
from .elementwise import raw

Array = Any
NEAR, FAR = 0.46875, 4.0  # where one approximation ends and the next begins
PIECE = 8192
# Numerators and denominators, the highest power first.
NEAR_P = (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3)
NEAR_Q = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3)
MIDDLE_P = (
    2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1, 2.98635138197400131e2,
    8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3,
)  # fmt: skip
MIDDLE_Q = (
    1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3, 3.29079923573345963e3,
    4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3,
)  # fmt: skip
FAR_P = (
    1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1, 1.60837851487422766e-2,
    6.58749161529837803e-4,
)  # fmt: skip
FAR_Q = (1.0, 2.56852019228982242, 1.87295284992346725, 5.27905102951428412e-1, 6.05183413124413191e-2, 2.33520497626869185e-3)


def _ratio(p: tuple[float, ...], q: tuple[float, ...], x: Array) -> Array:
    return np.polyval(p, x) / np.polyval(q, x)


def _near(x: Array) -> Array:
    """erf(x) for |x| <= NEAR."""
    return x * _ratio(NEAR_P, NEAR_Q, x * x)


def _beyond(x: Array) -> Array:
    """erfc(x) for x > NEAR. exp(-x^2) is taken in two factors, the first with an exact x^2."""
    x = np.minimum(x, 30.0)  # there it is 0
    head = np.floor(16.0 * x) / 16.0
    tail = np.where(x <= FAR, _ratio(MIDDLE_P, MIDDLE_Q, x), 0.0)
    far = x > FAR
    w = 1.0 / (x[far] * x[far])
    tail[far] = (1.0 / math.sqrt(math.pi) - w * _ratio(FAR_P, FAR_Q, w)) / x[far]
    return np.exp(-head * head) * np.exp(-(x - head) * (x + head)) * tail


def _by_parts(x: Any, near: Callable[[Array], Array], beyond: Callable[[Array], Array]) -> Array:
    """near(x) where |x| <= NEAR and beyond(x) elsewhere, computed in float64, in pieces that stay in the cache."""
    values = np.asarray(raw(x))
    z, y = values.ravel(), np.empty(values.size, values.dtype if values.dtype.kind == "f" else np.float64)
    for start in range(0, z.size, PIECE):
        piece = z[start : start + PIECE].astype(np.float64)
        result, inside = y[start : start + PIECE], np.abs(piece) <= NEAR
        result[inside], result[~inside] = near(piece[inside]), beyond(piece[~inside])
    return y.reshape(values.shape)


def _erf(x):
    """y = 2 / sqrt(pi) integral_0^x exp(-t^2) dt

    shapes: x -> y;  keeps: x
    """
    return _by_parts(x, _near, lambda z: np.copysign(1.0 - _beyond(np.abs(z)), z)), (x,)


def _erf_vjp(dy, kept):
    """dx = dy 2 / sqrt(pi) exp(-x^2)"""
    (x,) = kept
    return dy * (2.0 / math.sqrt(math.pi) * np.exp(-x * x))


def _erfc(x):
    """y = 1 - erf(x), right to the last digits where it is small

    shapes: x -> y;  keeps: x
    """
    return _by_parts(x, lambda z: 1.0 - _near(z), _erfc_beyond), (x,)


def _erfc_beyond(z: Array) -> Array:
    tail = _beyond(np.abs(z))
    return np.where(z < 0, 2.0 - tail, tail)


def _erfc_vjp(dy, kept):
    """dx = -dy 2 / sqrt(pi) exp(-x^2)"""
    (x,) = kept
    return -dy * (2.0 / math.sqrt(math.pi) * np.exp(-x * x))


erf = op("erf", _erf, _erf_vjp, method="erf")
erfc = op("erfc", _erfc, _erfc_vjp, method="erfc")
