"""A linear layer with its activation: each function, absent bias, a vector, size 0."""

from __future__ import annotations

from ...ops.linear_activation import ACTIVATIONS
from ...ops.matmul import linear
from ..case import Case, Mutant, distinct, normal, with_constants

CASES = {
    "linear_activation": [
        Case("gelu", normal((3, 2), (4, 2), (4,)), {"activation": "gelu"}, complex_step=False),
        Case("gelu_tanh, batch", normal((2, 2, 3), (3, 3), (3,)), {"activation": "gelu_tanh"}),
        Case("silu", normal((2, 2), (3, 2), (3,)), {"activation": "silu"}),
        Case("relu", distinct((3, 1), (2, 1), (2,)), {"activation": "relu"}, complex_step=False),
        Case("one vector", normal((3,), (2, 3), (2,)), {"activation": "silu"}),
        Case("no bias", with_constants(normal((2, 3), (4, 3)), None), {"activation": "gelu_tanh"}),
        Case("no rows", normal((0, 2), (3, 2), (3,)), {"activation": "silu"}),
        Case("no inputs", normal((2, 2, 0), (3, 0), (3,)), {"activation": "silu"}),
    ]
}


def _without_slope(dy, kept, *, needs, activation):
    x, weight, _, has_bias = kept
    return linear.vjp(dy, (x, weight, has_bias), needs=needs)


def _slope_for_x_alone(dy, kept, *, needs, activation):
    x, weight, z, has_bias = kept
    right, plain = (linear.vjp(d, (x, weight, has_bias), needs=needs) for d in (ACTIVATIONS[activation].vjp(dy, (z,)), dy))
    return right[0], *plain[1:]


def _slope_of_relu(dy, kept, *, needs, activation):
    x, weight, z, has_bias = kept
    return linear.vjp(dy * (z > 0), (x, weight, has_bias), needs=needs)


MUTANTS = {
    "linear_activation": [
        Mutant("the slope of the activation forgotten", _without_slope),
        Mutant("the slope for x alone", _slope_for_x_alone),
        Mutant("relu's slope for every activation", _slope_of_relu),
    ]
}
