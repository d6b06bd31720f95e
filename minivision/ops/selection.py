"""The larger, the smaller, and what lies between bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..op import op
from ..tape import NUMPY
from .elementwise import raw, shape_of, unbroadcast, where


def _maximum(a, b):
    """y = max(a, b), NaN if either is

    shapes: a, b broadcast -> y;  keeps: a, b
    """
    return np.maximum(a, b), (a, b)


def _maximum_vjp(dy, kept):
    """da = dy [a > b] + dy / 2 [a = b],  db = dy - da"""
    a, b = kept
    share = _share(a, b, dy)
    return unbroadcast(dy * share, shape_of(a)), unbroadcast(dy * (1.0 - share), shape_of(b))


def _minimum(a, b):
    """y = min(a, b), NaN if either is

    shapes: a, b broadcast -> y;  keeps: a, b
    """
    return np.minimum(a, b), (a, b)


def _minimum_vjp(dy, kept):
    """da = dy [a < b] + dy / 2 [a = b],  db = dy - da"""
    a, b = kept
    share = _share(b, a, dy)
    return unbroadcast(dy * share, shape_of(a)), unbroadcast(dy * (1.0 - share), shape_of(b))


def _share(a: Any, b: Any, like: Any) -> np.ndarray:
    """1 where a > b, 1/2 at a tie, 0 elsewhere: a constant, also for gradients of gradients."""
    a, b = raw(a), raw(b)
    return ((a > b) + 0.5 * (a == b)).astype(like.dtype)


def _clamp(x, *, min=None, max=None):
    """y = x, held between min and max

    shapes: x -> y;  keeps: x
    """
    return np.clip(x, min, max), (x,)


def _clamp_vjp(dy, kept, *, min=None, max=None):
    """dx = dy [min <= x <= max]"""
    x = raw(kept[0])
    inside = (x >= (-np.inf if min is None else min)) & (x <= (np.inf if max is None else max))
    return np.where(inside, dy, 0.0)


maximum = op("maximum", _maximum, _maximum_vjp, numpy=np.maximum, method="maximum")
minimum = op("minimum", _minimum, _minimum_vjp, numpy=np.minimum, method="minimum")
clamp = op("clamp", _clamp, _clamp_vjp)


def clip(x: Any, a_min: Any = None, a_max: Any = None) -> Any:
    """x held between bounds, each a number, an array or None; where they cross, a_max. x keeps the gradient at a bound."""
    if all(np.ndim(raw(bound)) == 0 and bound is raw(bound) for bound in (a_min, a_max)):
        return clamp(x, min=a_min, max=a_max)
    for bound, outside in ((a_min, np.less), (a_max, np.greater)):
        if bound is not None:
            x = where(outside(raw(x), raw(bound)) | np.isnan(raw(bound)), bound, x)
    return x


def fmax(a: Any, b: Any) -> Any:
    """The larger; beside a NaN the other. At a tie a takes the gradient."""
    return where((raw(a) >= raw(b)) | np.isnan(raw(b)), a, b)


def fmin(a: Any, b: Any) -> Any:
    """The smaller; beside a NaN the other. At a tie a takes the gradient."""
    return where((raw(a) <= raw(b)) | np.isnan(raw(b)), a, b)


NUMPY[np.clip], NUMPY[np.fmax], NUMPY[np.fmin] = clip, fmax, fmin
