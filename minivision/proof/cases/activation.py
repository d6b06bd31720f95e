"""Activation functions: both sides of 0, the pieces, the tails."""

from __future__ import annotations

import math

import numpy as np

from ...ops.activation import softplus
from ...ops.error_function import erf
from ..case import Case, Mutant, distinct, normal

SHAPES = {"vector": (6,), "three axes": (2, 1, 3), "0-d": (), "size 0": (0, 2)}


def _smooth(complex_step=True, **attrs):
    """Around 0 and in the tails, for each setting in turn the defaults and then these."""
    cases = []
    for settings in [{}, attrs] if attrs else [{}]:
        label = ", ".join(f"{name} {value}" for name, value in settings.items()) or "plain"
        cases += [Case(f"{label}, {name}", normal(shape), settings, complex_step) for name, shape in SHAPES.items()]
        cases.append(Case(f"{label}, tails", _tails, settings, complex_step))
    return cases


def _tails(rng):
    return (rng.uniform(4.0, 8.0, 6) * [1, -1, 1, -1, 1, -1],)


def _pieces(**attrs):
    """Straight lines, away from their corners; a matrix of 12 distinct elements reaches from -1.5 to 1.5, times 4 to 6."""
    shapes = {**SHAPES, "matrix": (3, 4)}
    wide = Case("all pieces", lambda rng: (4.0 * distinct((3, 4))(rng)[0],), attrs)
    return [*(Case(label, distinct(shape), attrs) for label, shape in shapes.items()), wide]


CASES = {
    "relu": _pieces(),
    "leaky_relu": [*_pieces(), Case("slope 0.3", distinct((6,)), {"negative_slope": 0.3})],
    "hardtanh": [*_pieces(), Case("0 to 6", lambda rng: (8.0 * distinct((6,))(rng)[0],), {"min": 0.0, "max": 6.0})],
    "hardsigmoid": _pieces(),
    "hardswish": _pieces(),
    "sigmoid": _smooth(),
    "silu": _smooth(beta=1.702),
    "gelu": _smooth(complex_step=False),
    "gelu_tanh": _smooth(),
    "elu": [*_pieces(), *_smooth(alpha=0.5)],
    "softplus": [
        *_smooth(beta=2.0),
        Case("over the threshold", lambda rng: (distinct((3, 4))(rng)[0],), {"beta": 2.0, "threshold": 1.0}),
    ],
    "mish": _smooth(),
}


def _silu_sigmoid_only(dy, kept, *, beta=1.0):
    return dy * (0.5 + 0.5 * np.tanh(0.5 * beta * kept[0]))


def _silu_wrong_sign(dy, kept, *, beta=1.0):
    x = beta * kept[0]
    s = 0.5 + 0.5 * np.tanh(0.5 * x)
    return dy * s * (1.0 - x * (1.0 - s))


def _silu_beta_once(dy, kept, *, beta=1.0):
    (x,) = kept
    s = 0.5 + 0.5 * np.tanh(0.5 * beta * x)
    return dy * s * (1.0 + x * (1.0 - s))


def _gelu_phi_only(dy, kept):
    return dy * (0.5 + 0.5 * erf(kept[0] * math.sqrt(0.5)))


def _gelu_density_without_root(dy, kept):
    (x,) = kept
    return dy * (0.5 + 0.5 * erf(x * math.sqrt(0.5)) + x * np.exp(-0.5 * x * x) / (2.0 * math.pi))


def _gelu_tanh_slope(dy, x, slope):
    t = np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3))
    return dy * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * math.sqrt(2.0 / math.pi) * slope)


def _softplus_beta_twice(dy, kept, *, beta=1.0, threshold=20.0):
    z = beta * kept[0]
    return np.where(z > threshold, dy, dy * beta * (0.5 + 0.5 * np.tanh(0.5 * z)))


def _softplus_without_threshold(dy, kept, *, beta=1.0, threshold=20.0):
    return dy * (0.5 + 0.5 * np.tanh(0.5 * beta * kept[0]))


def _mish_t(x):
    return np.tanh(softplus(x))


MUTANTS = {
    "relu": [
        Mutant("passes everything", lambda dy, kept: dy),
        Mutant("the other half", lambda dy, kept: np.where(kept[0] > 0, 0.0, dy)),
    ],
    "leaky_relu": [
        Mutant("relu's", lambda dy, kept, negative_slope=0.01: np.where(kept[0] > 0, dy, 0.0)),
        Mutant("slope on the other side", lambda dy, kept, negative_slope=0.01: np.where(kept[0] > 0, negative_slope * dy, dy)),
        Mutant("the default slope", lambda dy, kept, negative_slope=0.01: np.where(kept[0] > 0, dy, 0.01 * dy)),
    ],
    "hardtanh": [
        Mutant("passes everything", lambda dy, kept, min=-1.0, max=1.0: dy),
        Mutant("no upper bound", lambda dy, kept, min=-1.0, max=1.0: np.where(kept[0] <= min, 0.0, dy)),
        Mutant("the default bounds", lambda dy, kept, min=-1.0, max=1.0: np.where(np.abs(kept[0]) >= 1.0, 0.0, dy)),
    ],
    "hardsigmoid": [
        Mutant("6 forgotten", lambda dy, kept: np.where(np.abs(kept[0]) < 3.0, dy, 0.0)),
        Mutant("no upper bound", lambda dy, kept: np.where(kept[0] > -3.0, dy / 6.0, 0.0)),
    ],
    "hardswish": [
        Mutant("the product rule forgotten", lambda dy, kept: dy * np.clip(kept[0] + 3.0, 0.0, 6.0) / 6.0),
        Mutant("no pieces", lambda dy, kept: dy * (kept[0] / 3.0 + 0.5)),
    ],
    "sigmoid": [
        Mutant("1 - y forgotten", lambda dy, kept: dy * kept[0]),
        Mutant("tanh's", lambda dy, kept: dy * (1.0 - kept[0] * kept[0])),
    ],
    "silu": [
        Mutant("second term forgotten", _silu_sigmoid_only),
        Mutant("sign of the second term", _silu_wrong_sign),
        Mutant("beta in the sigmoid only", _silu_beta_once),
    ],
    "gelu": [Mutant("second term forgotten", _gelu_phi_only), Mutant("1 / 2 pi", _gelu_density_without_root)],
    "gelu_tanh": [
        Mutant("cubic term forgotten", lambda dy, kept: _gelu_tanh_slope(dy, kept[0], 1.0)),
        Mutant("3 forgotten", lambda dy, kept: _gelu_tanh_slope(dy, kept[0], 1.0 + 0.044715 * kept[0] ** 2)),
    ],
    "elu": [
        Mutant("alpha forgotten", lambda dy, kept, alpha=1.0: dy * np.exp(np.minimum(kept[0], 0.0))),
        Mutant("the value", lambda dy, kept, alpha=1.0: np.where(kept[0] > 0, dy, dy * alpha * np.expm1(np.minimum(kept[0], 0)))),
    ],
    "softplus": [Mutant("beta twice", _softplus_beta_twice), Mutant("no threshold", _softplus_without_threshold)],
    "mish": [
        Mutant("second term forgotten", lambda dy, kept: dy * _mish_t(kept[0])),
        Mutant(
            "the softplus's slope forgotten", lambda dy, kept: dy * (_mish_t(kept[0]) + kept[0] * (1.0 - _mish_t(kept[0]) ** 2))
        ),
    ],
}
