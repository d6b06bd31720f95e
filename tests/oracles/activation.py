"""Activations, one element after another with Python's math."""

from __future__ import annotations

import math

from .elementwise import halves, normal, one


def _both(rng, shape):
    """Smooth stretches and corners."""
    return normal(rng, shape) if rng.random() < 0.7 else halves(rng, shape)


def _sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else 1.0 - 1.0 / (1.0 + math.exp(x))


def _relu6(x):
    return sorted([0.0, x, 6.0])[1]


def _softplus(x, beta=1.0, threshold=20.0):
    if beta * x > threshold:
        return x
    return math.log(1.0 + math.exp(beta * x)) / beta if beta * x < 700 else x


def _gelu_tanh(x):
    return 0.5 * x * (1.0 + math.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


ORACLES = {
    "relu": one(_both, lambda x: x if x > 0 else 0.0),
    "leaky_relu": one(_both, lambda x, negative_slope=0.01: x if x > 0 else x * negative_slope, negative_slope=[0.01, 0.3, -0.5]),
    "hardtanh": one(_both, lambda x, min, max: sorted([min, x, max])[1], min=[-1.0, 0.0], max=[0.75, 6.0]),
    "hardsigmoid": one(_both, lambda x: _relu6(x + 3.0) / 6.0),
    "hardswish": one(_both, lambda x: x * _relu6(x + 3.0) / 6.0),
    "sigmoid": one(_both, _sigmoid),
    "silu": one(_both, lambda x, beta: x * _sigmoid(beta * x), beta=[1.0, 1.702, -0.5]),
    "gelu": one(_both, lambda x: 0.5 * x * (1.0 + math.erf(x / math.sqrt(2.0)))),
    "gelu_tanh": one(_both, _gelu_tanh),
    "elu": one(_both, lambda x, alpha: x if x > 0 else alpha * math.expm1(x), alpha=[1.0, 0.5, 1.6732632423543772]),
    "softplus": one(_both, _softplus, beta=[1.0, 2.0, 0.3], threshold=[20.0, 3.0, math.inf]),
    "mish": one(_both, lambda x: x * math.tanh(_softplus(x, 1.0, 40.0))),
}
