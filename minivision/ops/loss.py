"""Losses."""

from __future__ import annotations

import numpy as np

from ..op import op
from .elementwise import raw
from .shape import gather, scatter_add
from .softmax import softmax


def _cross_entropy(x, target, *, smoothing=0.0):
    """y_n = L_n - (1 - a) x_nt - a mean_c x_nc,  L_n = log sum_c exp(x_nc),  t = target_n,  a = smoothing

    shapes: x(N, C), target(N) -> y(N);  keeps: x, target
    """
    top = np.max(x, axis=-1, keepdims=True)
    total = np.squeeze(np.log(np.sum(np.exp(x - top), axis=-1, keepdims=True)) + top, -1)
    right = np.squeeze(gather(x, np.expand_dims(target, -1), axis=-1), -1)
    y = total - (1.0 - smoothing) * right
    return y - smoothing * np.mean(x, axis=-1) if smoothing else y, (x, target)  # 0 times a logit of -inf would be NaN


def _cross_entropy_vjp(dy, kept, *, smoothing=0.0):
    """dx = dy (softmax(x) - (1 - a) onehot(t) - a / C)"""
    x, target = kept
    classes = x.shape[-1]
    dy = np.expand_dims(dy, -1)
    spread = softmax(x) - smoothing / classes
    return dy * spread - (1.0 - smoothing) * scatter_add(dy, np.expand_dims(raw(target), -1), axis=-1, size=classes), None


cross_entropy = op("cross_entropy", _cross_entropy, _cross_entropy_vjp)
