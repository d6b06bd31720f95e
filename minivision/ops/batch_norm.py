"""Batch normalisation (Ioffe & Szegedy 2015)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..op import op
from .elementwise import raw


def _along(channels: Any, x: Any) -> Any:
    """(C) as (C, 1, ...), so that it broadcasts along axis 1 of x."""
    return np.reshape(channels, (-1,) + (1,) * (x.ndim - 2))


def _over(reduction: Any, x: Any) -> Any:
    """x(N, C, ...) -> (C), one axis after another from the last: short sums, small rounding errors."""
    for axis in range(x.ndim - 1, 1, -1):
        x = reduction(x, axis=axis)
    return reduction(x, axis=0)


def check_channels(operation: str, x: Any, **channels: Any) -> None:
    """Holds x to (N, C, ...) and every other array to (C)."""
    given = f"x {x.shape}, " + ", ".join(f"{name} {getattr(a, 'shape', None)}" for name, a in channels.items())
    if x.ndim < 2:
        raise ShapeError(operation, f"x should have at least 2 axes (N, C, ...), got {x.ndim}", given)
    for name, a in channels.items():
        if a is not None and a.shape != x.shape[1:2]:
            problem = f"{name} is {a.shape}, but x has {x.shape[1]} channels at axis 1"
            hint = f"x is (N, C, ...), {name} is (C)"
            if a.shape == x.shape[-1:]:
                hint += "; the channels of this x seem to stand last: pass x.transpose(1, -1)"
            raise ShapeError(operation, problem, given, hint)


def _affine(h: Any, weight: Any, bias: Any) -> Any:
    y = h if weight is None else h * _along(weight, h)
    return y if bias is None else y + _along(bias, y)


def _batch_norm(x, weight, bias, *, eps=1e-5, seen=None):
    """y = h w + b,  h = (x - m) r,  r = 1 / sqrt(v + eps),  m = mean x,  v = mean (x - m)^2: over all axes but axis 1

    seen: a list that receives m and v, for running averages.

    shapes: x, weight, bias -> y, where x is (N, C, ...), weight and bias (C);  keeps: x, w, m, r
    """
    check_channels("batch_norm", x, weight=weight, bias=bias)
    m = _over(np.mean, x)
    centred = x - _along(m, x)
    v = _over(np.mean, centred * centred)
    r = 1.0 / np.sqrt(v + eps)
    if seen is not None:
        seen[:] = raw(m), raw(v)
    return _affine(centred * _along(r, x), weight, bias), (x, weight, m, r, bias is not None)


def _batch_norm_vjp(dy, kept, *, eps=1e-5, seen=None):
    """dw = sum dy h,  db = sum dy,  dx = w r (dy - db / n - h dw / n),  n elements in each channel"""
    x, weight, m, r, has_bias = kept
    h = (x - _along(m, x)) * _along(r, x)
    dw, db, n = _over(np.sum, dy * h), _over(np.sum, dy), float(math.prod(x.shape) // x.shape[1])
    scale = r if weight is None else r * weight
    dx = _along(scale, x) * (dy - _along(db / n, x) - h * _along(dw / n, x))
    return dx, None if weight is None else dw, db if has_bias else None


def _batch_norm_eval(x, mean, variance, weight, bias, *, eps=1e-5):
    """y = h w + b,  h = (x - m) r,  r = 1 / sqrt(v + eps),  m and v given: the averages of training

    shapes: x, mean, variance, weight, bias -> y, where x is (N, C, ...), the others (C);  keeps: x, m, w, r
    """
    check_channels("batch_norm_eval", x, mean=mean, variance=variance, weight=weight, bias=bias)
    r = 1.0 / np.sqrt(variance + eps)
    h = (x - _along(mean, x)) * _along(r, x)
    return _affine(h, weight, bias), (x, mean, weight, r, bias is not None)


def _batch_norm_eval_vjp(dy, kept, *, needs, eps=1e-5):
    """dw = sum dy h,  db = sum dy,  dx = w r dy,  dm = -w r db,  dv = -w r^2 dw / 2"""
    x, mean, weight, r, has_bias = kept
    h = (x - _along(mean, x)) * _along(r, x)
    scale = r if weight is None else r * weight
    dw = _over(np.sum, dy * h) if needs[2] or needs[3] else None
    db = _over(np.sum, dy) if needs[1] or needs[4] else None
    dm, dv = -scale * db if needs[1] else None, -0.5 * scale * r * dw if needs[2] else None
    return _along(scale, x) * dy, dm, dv, None if weight is None else dw, db if has_bias else None


batch_norm = op("batch_norm", _batch_norm, _batch_norm_vjp)
batch_norm_eval = op("batch_norm_eval", _batch_norm_eval, _batch_norm_eval_vjp)
