"""Smooth activation functions; those made of straight lines are in piecewise.py."""

from __future__ import annotations

import math

import numpy as np

from .. import kernels
from ..op import op
from .elementwise import raw
from .error_function import erfc


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


def _silu(x, *, beta=1.0):
    """y = x sigmoid(b x),  b = beta   (Elfwing et al. 2018; Ramachandran et al. 2017: swish)

    shapes: x -> y;  keeps: x
    """
    return x * sigmoid(beta * x), (x,)


def _silu_vjp(dy, kept, *, beta=1.0):
    """dx = dy s (1 + b x (1 - s)),  s = sigmoid(b x)"""
    (x,) = kept
    s = sigmoid(beta * x)
    return dy * s * (1.0 + beta * x * (1.0 - s))


def _gelu(x):
    """y = x Phi(x),  Phi(x) = erfc(-x / sqrt 2) / 2, the normal distribution   (Hendrycks & Gimpel 2016)

    shapes: x -> y;  keeps: x
    """
    return x * (0.5 * erfc(x * -math.sqrt(0.5))), (x,)


def _gelu_vjp(dy, kept):
    """dx = dy (Phi(x) + x phi(x)),  phi(x) = exp(-x^2 / 2) / sqrt(2 pi)"""
    (x,) = kept
    return dy * (0.5 * erfc(x * -math.sqrt(0.5)) + x * np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi))


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


def _elu(x, *, alpha=1.0):
    """y = x where x > 0, a (exp(x) - 1) elsewhere;  a = alpha   (Clevert et al. 2016)

    shapes: x -> y;  keeps: x
    """
    return np.where(raw(x) <= 0, alpha * np.expm1(np.minimum(x, 0.0)), x), (x,)


def _elu_vjp(dy, kept, *, alpha=1.0):
    """dx = dy where x > 0, dy a exp(x) elsewhere"""
    (x,) = kept
    return np.where(raw(x) <= 0, dy * alpha * np.exp(np.minimum(x, 0.0)), dy)


def _softplus(x, *, beta=1.0, threshold=20.0):
    """y = log(1 + exp(b x)) / b,  b = beta;  x where b x > threshold   (Dugas et al. 2001)

    shapes: x -> y;  keeps: x
    """
    z = beta * x
    return np.where(raw(z) > threshold, x, (np.maximum(z, 0.0) + np.log1p(np.exp(np.minimum(z, -z)))) / beta), (x,)


def _softplus_vjp(dy, kept, *, beta=1.0, threshold=20.0):
    """dx = dy sigmoid(b x);  dy where b x > threshold"""
    z = beta * kept[0]
    return np.where(raw(z) > threshold, dy, dy * sigmoid(z))


def _mish(x):
    """y = x tanh(log(1 + exp(x)))   (Misra 2019)

    shapes: x -> y;  keeps: x
    """
    return x * np.tanh(softplus(x, threshold=math.inf)), (x,)


def _mish_vjp(dy, kept):
    """dx = dy (t + x (1 - t^2) sigmoid(x)),  t = tanh(log(1 + exp(x)))"""
    (x,) = kept
    t = np.tanh(softplus(x, threshold=math.inf))
    return dy * (t + x * (1.0 - t * t) * sigmoid(x))


sigmoid = op("sigmoid", _sigmoid, _sigmoid_vjp, kernel=kernels.sigmoid, method="sigmoid")
silu = op("silu", _silu, _silu_vjp, kernel=kernels.silu)
gelu = op("gelu", _gelu, _gelu_vjp, kernel=kernels.gelu)
gelu_tanh = op("gelu_tanh", _gelu_tanh, _gelu_tanh_vjp, kernel=kernels.gelu_tanh)
elu = op("elu", _elu, _elu_vjp, kernel=kernels.elu)
softplus = op("softplus", _softplus, _softplus_vjp, kernel=kernels.softplus)
mish = op("mish", _mish, _mish_vjp, kernel=kernels.mish)
