"""Losses with a closed form of their own; functional/loss.py composes the others."""

from __future__ import annotations

import math

import numpy as np

from .. import kernels
from ..op import op
from .activation import logistic, softplus
from .elementwise import raw, unbroadcast


def _counted(target, ignore_index):
    """Which rows count, and class numbers (N, 1) for all of them: 0 stands for a class that is not to be looked up."""
    counts = raw(target) != ignore_index
    return counts, np.where(counts, raw(target), 0)[:, None]


def _cross_entropy(x, target, weight, *, smoothing=0.0, ignore_index=-100):
    """y_n = sum_c u_nc (L_n - x_nc),  u_nc = w_c ((1 - a) [c = t_n] + a / C),  L_n = log sum_c exp(x_nc);  0 if t_n is ignored

    a = smoothing (Szegedy et al. 2016), t = target, w = weight (None: 1)
    shapes: x(N, C), target(N), weight(C) -> y(N);  keeps: x, target, weight, L
    """
    counts, classes = _counted(target, ignore_index)
    top = np.max(x, axis=-1, keepdims=True)
    log_total = np.log(np.sum(np.exp(x - top), axis=-1, keepdims=True))
    below = log_total - (x - top)  # L - x without its cancellation
    y = (1.0 - smoothing) * np.squeeze(np.take_along_axis(below, classes, -1), -1)
    y = y if weight is None else y * weight[classes[:, 0]]
    if smoothing:  # 0 times a logit of -inf would be NaN
        y = y + smoothing * np.mean(below if weight is None else below * weight, axis=-1)
    return np.where(counts, y, 0.0), (x, target, weight, np.squeeze(log_total + top, -1))


def _cross_entropy_vjp(dy, kept, *, needs, smoothing=0.0, ignore_index=-100):
    """dx_nc = dy_n (U_n exp(x_nc - L_n) - u_nc),  U_n = sum_c u_nc;  dw_c = sum_n dy_n (u_nc / w_c) (L_n - x_nc)"""
    x, target, weight, lse = kept
    counts, classes = _counted(target, ignore_index)
    dy, below = np.expand_dims(np.where(counts, dy, 0.0), -1), np.expand_dims(lse, -1) - x
    u = _hits(dy, classes, smoothing, x.shape[-1])
    dw = np.sum(np.where(raw(u) == 0, 0.0, u * below), axis=0) if needs[2] else None
    u = u if weight is None else u * weight
    return np.exp(-below) * np.sum(u, axis=-1, keepdims=True) - u, None, dw


def _hits(dy, classes, smoothing, count):
    """dy_n ((1 - a) [c = t_n] + a / C)"""
    return dy * ((1.0 - smoothing) * (np.arange(count) == classes).astype(dy.dtype) + smoothing / count)


def _softplus(x):
    """log(1 + exp(x))"""
    return softplus(x, threshold=math.inf)


def _binary_cross_entropy_with_logits(x, target, pos_weight):
    """y = (1 - t) x + (1 + (p - 1) t) log(1 + exp(-x)) = -p t log s - (1 - t) log(1 - s),  s = sigmoid(x)

    t = target, p = pos_weight (None: 1), which broadcasts to x
    shapes: x(*), target(*) -> y(*);  keeps: x, target, pos_weight
    """
    factor = 1.0 if pos_weight is None else 1.0 + (pos_weight - 1.0) * target
    return (1.0 - target) * x + factor * _softplus(-x), (x, target, pos_weight)


def _binary_cross_entropy_with_logits_vjp(dy, kept, *, needs):
    """dx = dy (s (1 + (p - 1) t) - p t);  dt = dy ((p - 1) log(1 + exp(-x)) - x);  dp = dy t log(1 + exp(-x))"""
    x, target, p = kept
    if p is None:
        return dy * (logistic(x) - target), -dy * x, None
    dx = dy * (logistic(x) * (1.0 + (p - 1.0) * target) - p * target) if needs[0] else None
    dt = dy * ((p - 1.0) * _softplus(-x) - x) if needs[1] else None
    return dx, dt, unbroadcast(dy * target * _softplus(-x), p.shape) if needs[2] else None


LOWEST_LOG = -100.0  # so that a probability of exactly 0 costs no infinity


def _log(x):
    """max(log x, LOWEST_LOG) for x >= 0."""
    safe = np.where(raw(x) > 0, x, 1.0)
    return np.where(raw(x) > 0, np.maximum(np.log(safe), LOWEST_LOG), np.where(raw(x) == 0, LOWEST_LOG, x))  # NaN stays


def _binary_cross_entropy(x, target):
    """y = -t log x - (1 - t) log(1 - x),  each logarithm at least -100;  t = target

    shapes: x(*), target(*) -> y(*);  keeps: x, target
    """
    return -(target * _log(x)) - (1.0 - target) * _log(1.0 - x), (x, target)


def _binary_cross_entropy_vjp(dy, kept):
    """dx = dy (x - t) / (x (1 - x)), the divisor at least 1e-12;  dt = dy (log(1 - x) - log x)"""
    x, target = kept
    return dy * (x - target) / np.maximum(x * (1.0 - x), 1e-12), dy * (_log(1.0 - x) - _log(x))


cross_entropy = op("cross_entropy", _cross_entropy, _cross_entropy_vjp, kernel=kernels.cross_entropy)
binary_cross_entropy = op("binary_cross_entropy", _binary_cross_entropy, _binary_cross_entropy_vjp)
binary_cross_entropy_with_logits = op(
    "binary_cross_entropy_with_logits", _binary_cross_entropy_with_logits, _binary_cross_entropy_with_logits_vjp
)
