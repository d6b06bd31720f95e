"""Elementary functions, one element after another: Python's math, or a series where the definition is as good as math's."""

from __future__ import annotations

import cmath
import math

from .elementwise import halves, nonzero, normal, one, positive, two


def _moderate(rng, shape):
    """Where exponentials stay small."""
    return rng.uniform(-5.0, 5.0, shape)


def _inside(rng, shape):
    return rng.uniform(-1.0, 1.0, shape)


def _tiny(rng, shape):
    """From 1e-12 to 1, of either sign but above -1."""
    return 10.0 ** rng.uniform(-12.0, 0.0, shape) * rng.choice([-0.9, 1.0], shape)


def _wide(rng, shape):
    """All three parts of the error function, and far beyond."""
    return rng.uniform(-1.0, 1.0, shape) * rng.choice([0.5, 4.0, 30.0], shape)


def _tanh(x):
    return (math.exp(2.0 * x) - 1.0) / (math.exp(2.0 * x) + 1.0)


def _hypot(a, b):
    return abs(complex(a, b))


ORACLES = {
    "exp": one(_moderate, math.exp),
    "exp2": one(_moderate, lambda x: math.pow(2.0, x)),
    "expm1": one(_tiny, math.expm1),
    "log": one(positive, math.log),
    "log2": one(positive, lambda x: math.log(x) / math.log(2.0)),
    "log10": one(positive, lambda x: math.log(x) / math.log(10.0)),
    "log1p": one(_tiny, math.log1p),
    "sqrt": one(positive, lambda x: math.exp(0.5 * math.log(x))),
    "sin": one(normal, lambda x: cmath.exp(1j * x).imag),
    "cos": one(normal, lambda x: cmath.exp(1j * x).real),
    "tan": one(_inside, lambda x: math.sin(x) / math.cos(x)),
    "arcsin": one(_inside, math.asin),
    "arccos": one(_inside, math.acos),
    "arctan": one(normal, math.atan),
    "arctan2": two(nonzero, halves, lambda a, b: cmath.phase(complex(b, a))),
    "hypot": two(normal, normal, _hypot),
    "sinh": one(_moderate, lambda x: (math.exp(x) - math.exp(-x)) / 2.0),
    "cosh": one(_moderate, lambda x: (math.exp(x) + math.exp(-x)) / 2.0),
    "tanh": one(_moderate, _tanh),
    "erf": one(_wide, math.erf),
    "erfc": one(_wide, math.erfc),
}
