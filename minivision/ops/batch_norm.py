"""Batch normalisation (Ioffe & Szegedy 2015), alone or with what follows it in a residual network (He et al. 2016)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import kernels
from ..errors import ShapeError
from ..op import op
from .elementwise import raw


def along(channels: Any, x: Any) -> Any:
    """(C) as (C, 1, ...), so that it broadcasts along axis 1 of x."""
    return np.reshape(channels, (-1,) + (1,) * (x.ndim - 2))


def over(reduction: Any, x: Any) -> Any:
    """x(N, C, ...) -> (C), one axis after another from the last: short sums, small rounding errors."""
    for axis in range(x.ndim - 1, 1, -1):
        x = reduction(x, axis=axis)
    return reduction(x, axis=0)


def check_channels(operation: str, x: Any, residual: Any = None, **channels: Any) -> None:
    """Holds x to (N, C, ...), a residual to the same, and every other array to (C)."""
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
    if residual is not None and residual.shape != x.shape:
        raise ShapeError(
            operation, f"the residual is {residual.shape}, but x is {x.shape}", given, "the two are added: same shape"
        )


def check_activation(activation: str | None) -> None:
    """Holds an activation to those that can be taken in the same pass."""
    if activation not in (None, "relu"):
        raise ValueError(f'batch_norm: the activation is None or "relu", got {activation!r}; apply others to the result')


def affine(h: Any, weight: Any, bias: Any) -> Any:
    """h(N, C, ...) times weight(C) plus bias(C), of which either may be None."""
    y = h if weight is None else h * along(weight, h)
    return y if bias is None else y + along(bias, y)


def _finish(h: Any, weight: Any, bias: Any, residual: Any, activation: str | None) -> Any:
    """act(h w + b + residual)"""
    y = affine(h, weight, bias)
    y = y if residual is None else y + residual
    return y if activation is None else np.maximum(y, 0.0)


def _gated(dy: Any, h: Any, weight: Any, bias: Any, y: Any, activation: str | None) -> Any:
    """dy before the activation: where a rectified result is 0, 0. y is given where h alone does not say it."""
    if activation is None:
        return dy
    return np.where(raw(affine(h, weight, bias) if y is None else y) > 0, dy, 0.0)


def _batch_norm(x, weight, bias, residual, *, activation=None, eps=1e-5, seen=None):
    """y = act(h w + b + residual),  h = (x - m) r,  r = 1 / sqrt(v + eps),  m = mean x,  v = mean (x - m)^2

    Means over all axes but axis 1; act is the identity or, with activation="relu", max(., 0).
    seen: a list that receives m and v, for running averages.

    shapes: x, weight, bias, residual -> y, where x and residual are (N, C, ...), weight and bias (C);  keeps: x, w, b, m,
    r, and y where a residual was rectified
    """
    check_activation(activation)
    check_channels("batch_norm", x, residual, weight=weight, bias=bias)
    m = over(np.mean, x)
    centred = x - along(m, x)
    v = over(np.mean, centred * centred)
    r = 1.0 / np.sqrt(v + eps)
    if seen is not None:
        seen[:] = raw(m), raw(v)
    y = _finish(centred * along(r, x), weight, bias, residual, activation)
    rectified = residual is not None and activation is not None
    return y, (x, weight, bias, m, r, y if rectified else None)


def _batch_norm_vjp(dy, kept, *, activation=None, eps=1e-5, seen=None):
    """g = dy [y > 0] after max, else dy;   dw = sum g h,  db = sum g,  dx = w r (g - db / n - h dw / n),  dresidual = g"""
    x, weight, bias, m, r, y = kept
    h = (x - along(m, x)) * along(r, x)
    g = _gated(dy, h, weight, bias, y, activation)
    dw, db, n = over(np.sum, g * h), over(np.sum, g), float(math.prod(x.shape) // x.shape[1])
    scale = r if weight is None else r * weight
    dx = along(scale, x) * (g - along(db / n, x) - h * along(dw / n, x))
    return dx, None if weight is None else dw, None if bias is None else db, g


def _batch_norm_eval(x, mean, variance, weight, bias, residual, *, activation=None, eps=1e-5):
    """y = act(h w + b + residual),  h = (x - m) r,  r = 1 / sqrt(v + eps),  m and v given: the averages of training

    shapes: x, mean, variance, weight, bias, residual -> y, where x and residual are (N, C, ...), the others (C);
    keeps: x, m, w, b, r, and y where a residual was rectified
    """
    check_activation(activation)
    check_channels("batch_norm_eval", x, residual, mean=mean, variance=variance, weight=weight, bias=bias)
    r = 1.0 / np.sqrt(variance + eps)
    y = _finish((x - along(mean, x)) * along(r, x), weight, bias, residual, activation)
    rectified = residual is not None and activation is not None
    return y, (x, mean, weight, bias, r, y if rectified else None)


def _batch_norm_eval_vjp(dy, kept, *, needs, activation=None, eps=1e-5):
    """dw = sum g h,  db = sum g,  dx = w r g,  dm = -w r db,  dv = -w r^2 dw / 2,  dresidual = g   (g as in batch_norm)"""
    x, mean, weight, bias, r, y = kept
    h = (x - along(mean, x)) * along(r, x)
    g = _gated(dy, h, weight, bias, y, activation)
    scale = r if weight is None else r * weight
    dw = over(np.sum, g * h) if needs[2] or needs[3] else None
    db = over(np.sum, g) if needs[1] or needs[4] else None
    dm, dv = -scale * db if needs[1] else None, -0.5 * scale * r * dw if needs[2] else None
    return along(scale, x) * g, dm, dv, None if weight is None else dw, None if bias is None else db, g


batch_norm = op("batch_norm", _batch_norm, _batch_norm_vjp, kernel=kernels.batch_norm)
batch_norm_eval = op("batch_norm_eval", _batch_norm_eval, _batch_norm_eval_vjp, kernel=kernels.batch_norm_eval)
