"""Two reductions that measure a whole vector: its norm, and the logarithm of its summed exponentials."""

from __future__ import annotations

import math

import numpy as np

from ..op import op
from .elementwise import raw
from .reduce import expand_like


def _vector_norm(x, *, p=2.0, axis=None, keepdims=False):
    """y = (sum_i |x_i|^p)^(1/p);  for p = inf max_i |x_i|, for -inf min_i |x_i|, for 0 the number of x_i that are not 0

    shapes: x -> y;  keeps: x, y
    """
    if p == 2:
        y = np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))
    elif p == 0:
        y = np.sum(np.where(raw(x) == 0, 0.0 * x, 1.0), axis=axis, keepdims=keepdims)
    elif math.isinf(p):
        y = (np.max if p > 0 else np.min)(np.absolute(x), axis=axis, keepdims=keepdims)
    else:
        y = np.power(np.sum(np.power(np.absolute(x), p), axis=axis, keepdims=keepdims), 1.0 / p)
    return y, (x, y)


def _vector_norm_vjp(dy, kept, *, p=2.0, axis=None, keepdims=False):
    """dx_i = dy sign(x_i) (|x_i| / y)^(p - 1), 0 where x_i = 0 or y = 0;  for p = +-inf dy sign(x_i) shared by the hits"""
    x, y = kept
    dy, y = (expand_like(v, x.shape, axis, keepdims) for v in (dy, y))
    if p == 0:
        return dy * np.zeros_like(x)
    if math.isinf(p):
        hit = (np.absolute(raw(x)) == raw(y)).astype(dy.dtype)
        return dy * (np.sign(raw(x)) * hit / np.maximum(np.sum(hit, axis=axis, keepdims=True), 1.0))
    length = np.where(raw(y) == 0, 1.0, y)
    if p == 2:
        return dy * (x / length)
    share = np.power(np.where(raw(x) == 0, 1.0, np.absolute(x) / length), p - 1.0)
    return dy * (np.sign(raw(x)) * (raw(y) != 0) * share)


def _logsumexp(x, *, axis=None, keepdims=False):
    """y = log sum_i exp(x_i), by way of the largest of them; -inf where all are

    shapes: x -> y;  keeps: x, y
    """
    top = np.max(raw(x), axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):  # log 0 = -inf is meant
        y = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=keepdims))
    y = y + np.reshape(top, y.shape)
    return y, (x, y)


def _logsumexp_vjp(dy, kept, *, axis=None, keepdims=False):
    """dx_i = dy exp(x_i - y), 0 where y = -inf"""
    x, y = kept
    dy, y = (expand_like(v, x.shape, axis, keepdims) for v in (dy, y))
    return dy * np.exp(x - np.where(raw(y) == -np.inf, 0.0, y))


vector_norm = op("vector_norm", _vector_norm, _vector_norm_vjp)
logsumexp = op("logsumexp", _logsumexp, _logsumexp_vjp)
