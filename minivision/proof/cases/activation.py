"""Activation functions: both sides of 0, and the tails."""

from __future__ import annotations

import math

import numpy as np

from ...ops.elementary import erf
from ..case import Case, Mutant, distinct, normal


def _cases(complex_step=True):
    tails = Case("tails", lambda rng: (rng.uniform(4.0, 8.0, 6) * [1, -1, 1, -1, 1, -1],), complex_step=complex_step)
    shapes = {"vector": (6,), "three axes": (2, 1, 3), "0-d": (), "size 0": (0, 2)}
    return [*(Case(label, normal(shape), complex_step=complex_step) for label, shape in shapes.items()), tails]


CASES = {
    "relu": [
        Case(label, distinct(shape)) for label, shape in {"vector": (6,), "matrix": (3, 4), "0-d": (), "size 0": (0, 2)}.items()
    ],
    "sigmoid": _cases(),
    "silu": _cases(),
    "gelu": _cases(complex_step=False),
    "gelu_tanh": _cases(),
}


def _silu_sigmoid_only(dy, kept):
    return dy * (0.5 + 0.5 * np.tanh(0.5 * kept[0]))


def _silu_wrong_sign(dy, kept):
    (x,) = kept
    s = 0.5 + 0.5 * np.tanh(0.5 * x)
    return dy * s * (1.0 - x * (1.0 - s))


def _gelu_phi_only(dy, kept):
    return dy * (0.5 + 0.5 * erf(kept[0] * math.sqrt(0.5)))


def _gelu_density_without_root(dy, kept):
    (x,) = kept
    return dy * (0.5 + 0.5 * erf(x * math.sqrt(0.5)) + x * np.exp(-0.5 * x * x) / (2.0 * math.pi))


def _gelu_tanh_cubic_forgotten(dy, kept):
    (x,) = kept
    t = np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3))
    return dy * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * math.sqrt(2.0 / math.pi))


def _gelu_tanh_three_forgotten(dy, kept):
    (x,) = kept
    t = np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3))
    return dy * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * math.sqrt(2.0 / math.pi) * (1.0 + 0.044715 * x * x))


MUTANTS = {
    "relu": [
        Mutant("passes everything", lambda dy, kept: dy),
        Mutant("the other half", lambda dy, kept: np.where(kept[0] < 0, dy, 0.0)),
    ],
    "sigmoid": [
        Mutant("1 - y forgotten", lambda dy, kept: dy * kept[0]),
        Mutant("tanh's", lambda dy, kept: dy * (1.0 - kept[0] * kept[0])),
    ],
    "silu": [Mutant("second term forgotten", _silu_sigmoid_only), Mutant("sign of the second term", _silu_wrong_sign)],
    "gelu": [Mutant("second term forgotten", _gelu_phi_only), Mutant("1 / 2 pi", _gelu_density_without_root)],
    "gelu_tanh": [Mutant("cubic term forgotten", _gelu_tanh_cubic_forgotten), Mutant("3 forgotten", _gelu_tanh_three_forgotten)],
}
