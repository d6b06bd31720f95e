"""Softmax and its logarithm."""

from __future__ import annotations

import numpy as np

from .. import kernels
from ..op import op
from ..tape import METHODS


def _softmax(x, *, axis=-1):
    """y_i = exp(x_i) / sum_j exp(x_j)

    shapes: x -> y;  keeps: y
    """
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    y = e / np.sum(e, axis=axis, keepdims=True)
    return y, (y,)


def _softmax_vjp(dy, kept, *, axis=-1):
    """dx = y (dy - <dy, y>)"""
    (y,) = kept
    return y * (dy - np.sum(dy * y, axis=axis, keepdims=True))


def _log_softmax(x, *, axis=-1):
    """y_i = x_i - log sum_j exp(x_j)

    shapes: x -> y;  keeps: y
    """
    shifted = x - np.max(x, axis=axis, keepdims=True)
    y = shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))
    return y, (y,)


def _log_softmax_vjp(dy, kept, *, axis=-1):
    """dx = dy - exp(y) sum_j dy_j"""
    return dy - np.exp(kept[0]) * np.sum(dy, axis=axis, keepdims=True)


softmax = op("softmax", _softmax, _softmax_vjp, kernel=kernels.softmax)
log_softmax = op("log_softmax", _log_softmax, _log_softmax_vjp, kernel=kernels.log_softmax)
METHODS["softmax"] = lambda self, dim=-1: softmax(self, axis=dim)
METHODS["log_softmax"] = lambda self, dim=-1: log_softmax(self, axis=dim)
