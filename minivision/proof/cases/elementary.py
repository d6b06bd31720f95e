"""Exponentials, logarithms, trigonometric and error functions."""

from __future__ import annotations

import numpy as np

from ...ops.elementwise import shape_of, unbroadcast
from ..case import Case, Mutant, normal, positive
from .elementwise import binary, unary


def _inside(*shapes):
    """Between -0.9 and 0.9: for arcsin and arccos."""
    return lambda rng: tuple(np.asarray(rng.uniform(-0.9, 0.9, shape)) for shape in shapes)


def _small(*shapes):
    """Down to 1e-9, where a difference of ones would have lost its digits."""
    return lambda rng: tuple(np.asarray(10.0 ** rng.uniform(-9.0, -1.0, shape)) for shape in shapes)


def _both_sides(low, high):
    return Case(f"from {low} to {high}", lambda rng: (rng.uniform(low, high, 6) * [1, -1, 1, -1, 1, -1],), complex_step=False)


def _quadrants(*shapes):
    """Points in all four quadrants, not too near to the origin."""
    return lambda rng: tuple(np.asarray(rng.uniform(0.5, 2.0, shape) * rng.choice([-1.0, 1.0], shape)) for shape in shapes)


CASES = {
    "exp": unary(normal),
    "exp2": unary(normal),
    "expm1": [*unary(normal), Case("near 0", _small((5,)))],
    "log": unary(positive),
    "log2": unary(positive),
    "log10": unary(positive),
    "log1p": [*unary(positive), Case("near 0", _small((5,)))],
    "sqrt": unary(positive),
    "sin": unary(normal),
    "cos": unary(normal),
    "tan": unary(_inside),
    "arcsin": unary(_inside),
    "arccos": unary(_inside),
    "arctan": unary(normal),
    "arctan2": binary(_quadrants, complex_step=False),
    "hypot": binary(_quadrants, complex_step=False),
    "sinh": unary(normal),
    "cosh": unary(normal),
    "tanh": unary(normal),
    "erf": [*unary(normal, complex_step=False), _both_sides(0.3, 0.6), _both_sides(3.5, 4.5)],
    "erfc": [*unary(normal, complex_step=False), _both_sides(0.3, 0.6), _both_sides(3.5, 4.5)],
}


def _arctan2_exchanged(dy, kept):
    a, b = kept
    slope = dy / (a * a + b * b)
    return unbroadcast(-slope * b, shape_of(a)), unbroadcast(slope * a, shape_of(b))


def _arctan2_of_the_quotient(dy, kept):
    """1 / (1 + (a / b)^2) without the slope of a / b."""
    a, b = kept
    slope = dy / (1.0 + (a / b) ** 2)
    return unbroadcast(slope, shape_of(a)), unbroadcast(-slope, shape_of(b))


def _hypot_square(dy, kept):
    a, b, _ = kept
    return unbroadcast(2.0 * dy * a, shape_of(a)), unbroadcast(2.0 * dy * b, shape_of(b))


def _hypot_unsigned(dy, kept):
    a, b, y = kept
    return unbroadcast(dy * np.abs(a) / y, shape_of(a)), unbroadcast(dy * np.abs(b) / y, shape_of(b))


def _scaled(factor, slope):
    """A VJP dy * factor * slope(kept)."""
    return lambda dy, kept: dy * factor * slope(kept[0])


def _gauss(x):
    return np.exp(-x * x)


MUTANTS = {
    "exp": [
        Mutant("kept value ignored", lambda dy, kept: dy),
        Mutant("exp of the result", lambda dy, kept: dy * np.exp(kept[0])),
    ],
    "exp2": [
        Mutant("log 2 forgotten", lambda dy, kept: dy * kept[0]),
        Mutant("log 2 divides", _scaled(1 / np.log(2.0), np.array)),
    ],
    "expm1": [Mutant("the 1 forgotten", lambda dy, kept: dy * kept[0])],
    "log": [
        Mutant("divided twice", lambda dy, kept: dy / kept[0] ** 2),
        Mutant("multiplied", lambda dy, kept: dy * kept[0]),
    ],
    "log2": [
        Mutant("log 2 forgotten", lambda dy, kept: dy / kept[0]),
        Mutant("log 10", _scaled(1 / np.log(10.0), np.reciprocal)),
    ],
    "log10": [
        Mutant("log 10 forgotten", lambda dy, kept: dy / kept[0]),
        Mutant("log 2", _scaled(1 / np.log(2.0), np.reciprocal)),
    ],
    "log1p": [Mutant("the 1 forgotten", lambda dy, kept: dy / kept[0])],
    "sqrt": [
        Mutant("the 2 forgotten", lambda dy, kept: dy / kept[0]),
        Mutant("root of the result", lambda dy, kept: dy / (2.0 * np.sqrt(kept[0]))),
    ],
    "sin": [
        Mutant("sine again", lambda dy, kept: dy * np.sin(kept[0])),
        Mutant("sign", lambda dy, kept: -dy * np.cos(kept[0])),
    ],
    "cos": [Mutant("sign", lambda dy, kept: dy * np.sin(kept[0]))],
    "tan": [
        Mutant("not squared", lambda dy, kept: dy * (1.0 + kept[0])),
        Mutant("sign", lambda dy, kept: dy * (1.0 - kept[0] ** 2)),
    ],
    "arcsin": [
        Mutant("no root", lambda dy, kept: dy / (1.0 - kept[0] ** 2)),
        Mutant("arccosine's", _scaled(-1, lambda x: 1 / np.sqrt(1 - x * x))),
    ],
    "arccos": [
        Mutant("no root", lambda dy, kept: -dy / (1.0 - kept[0] ** 2)),
        Mutant("arcsine's", _scaled(1, lambda x: 1 / np.sqrt(1 - x * x))),
    ],
    "arctan": [
        Mutant("a root", lambda dy, kept: dy / np.sqrt(1.0 + kept[0] ** 2)),
        Mutant("sign of the square", lambda dy, kept: dy / (1.0 - kept[0] ** 2)),
    ],
    "arctan2": [
        Mutant("signs exchanged", _arctan2_exchanged),
        Mutant("the quotient's slope forgotten", _arctan2_of_the_quotient),
    ],
    "hypot": [Mutant("the square's", _hypot_square), Mutant("signs forgotten", _hypot_unsigned)],
    "sinh": [Mutant("sinh again", _scaled(1, np.sinh)), Mutant("cosine", _scaled(1, np.cos))],
    "cosh": [Mutant("cosine's sign", _scaled(-1, np.sinh)), Mutant("cosh again", _scaled(1, np.cosh))],
    "tanh": [
        Mutant("not squared", lambda dy, kept: dy * (1.0 - kept[0])),
        Mutant("tanh of the result", lambda dy, kept: dy * (1.0 - np.tanh(kept[0]) ** 2)),
    ],
    "erf": [
        Mutant("2 / pi", _scaled(2.0 / np.pi, _gauss)),
        Mutant("the normal density", lambda dy, kept: dy * np.exp(-(kept[0] ** 2) / 2.0) / np.sqrt(2.0 * np.pi)),
    ],
    "erfc": [Mutant("erf's", _scaled(2.0 / np.sqrt(np.pi), _gauss)), Mutant("2 / pi", _scaled(-2.0 / np.pi, _gauss))],
}
