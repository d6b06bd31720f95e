"""Activation functions."""

from __future__ import annotations

import math

import numpy as np

from .. import kernels
from ..op import op
from .elementary import erf
from .elementwise import raw


def _relu(x):
    """y = max(x, 0)

    shapes: x -> y;  keeps: x
    """
    return np.maximum(x, 0.0), (x,)


def _relu_vjp(dy, kept):
    """dx = dy [x > 0]"""
    return np.where(raw(kept[0]) > 0, dy, 0.0)


def logistic(x):
    """1 / (1 + exp(-x)) without an exponential that could overflow, right to the last digits on both sides."""
    grown, shrunk = np.exp(np.minimum(x, 0.0)), np.exp(np.minimum(-x, 0.0))
    return grown / (grown + shrunk)


def _sigmoid(x):
    """y = 1 / (1 + exp(-x))

    shapes: x -> y;  keeps: y
    """
    y = logistic(x)
    return y, (y,)


def _sigmoid_vjp(dy, kept):
    """dx = dy y (1 - y)"""
    (y,) = kept
    return dy * y * (1.0 - y)


def _silu(x):
    """y = x sigmoid(x)   (Elfwing et al. 2018; Ramachandran et al. 2017: swish)

    shapes: x -> y;  keeps: x
    """
    return x * logistic(x), (x,)


def _silu_vjp(dy, kept):
    """dx = dy s (1 + x (1 - s)),  s = sigmoid(x)"""
    (x,) = kept
    s = logistic(x)
    return dy * s * (1.0 + x * (1.0 - s))


def _gelu(x):
    """y = x Phi(x),  Phi(x) = (1 + erf(x / sqrt 2)) / 2   (Hendrycks & Gimpel 2016)

    shapes: x -> y;  keeps: x
    """
    return x * (0.5 + 0.5 * erf(x * math.sqrt(0.5))), (x,)


def _gelu_vjp(dy, kept):
    """dx = dy (Phi(x) + x phi(x)),  phi(x) = exp(-x^2 / 2) / sqrt(2 pi)"""
    (x,) = kept
    return dy * (0.5 + 0.5 * erf(x * math.sqrt(0.5)) + x * np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi))


def _gelu_tanh(x):
    """y = x (1 + tanh u) / 2,  u = sqrt(2 / pi) (x + 0.044715 x^3)   (Hendrycks & Gimpel 2016, eq. 3)

    shapes: x -> y;  keeps: x
    """
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x))), (x,)


def _gelu_tanh_vjp(dy, kept):
    """dx = dy ((1 + t) / 2 + x (1 - t^2) u' / 2),  t = tanh u,  u' = sqrt(2 / pi) (1 + 3 * 0.044715 x^2)"""
    (x,) = kept
    t = np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x))
    slope = math.sqrt(2.0 / math.pi) * (1.0 + 3.0 * 0.044715 * x * x)
    return dy * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope)


relu = op("relu", _relu, _relu_vjp, method="relu")
sigmoid = op("sigmoid", _sigmoid, _sigmoid_vjp, method="sigmoid")
silu = op("silu", _silu, _silu_vjp)
gelu = op("gelu", _gelu, _gelu_vjp, kernel=kernels.gelu)
gelu_tanh = op("gelu_tanh", _gelu_tanh, _gelu_tanh_vjp)
