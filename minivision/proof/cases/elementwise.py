"""Arithmetic, powers, selections, rounding: broadcasting, numbers as arguments, 0-d arrays, ties."""

from __future__ import annotations

import numpy as np

from ...ops.elementwise import shape_of, unbroadcast
from ..case import Case, Mutant, distinct, normal, positive, with_constants

# ------------------------------------------------------------------------------------------------- two arguments

BROADCASTS = {
    "same shape": ((2, 3), (2, 3)),
    "row and column": ((3, 1), (1, 4)),
    "missing axes": ((2, 1, 3), (4, 1)),
    "0-d and matrix": ((), (2, 3)),
    "0-d and 0-d": ((), ()),
    "size 0": ((0, 3), (1, 3)),
}


def binary(draw, complex_step=True):
    """Two arguments that broadcast in all kinds of ways."""
    return [Case(label, draw(*shapes), complex_step=complex_step) for label, shapes in BROADCASTS.items()]


def _with_numbers(draw, number):
    right = Case("array and number", with_constants(draw((2, 3)), number))
    left = Case("number and array", lambda rng: (number, *draw((2, 3))(rng)))
    return [right, left, Case("0-d and number", with_constants(draw(()), number))]


def _powers():
    exponents = {"integer exponent": 3.0, "exponent one": 1.0, "exponent zero": 0.0, "negative exponent": -2.0}
    return [Case(label, with_constants(normal((2, 3)), n)) for label, n in exponents.items()] + [
        Case("base zero, square", lambda rng: (np.array([0.0, 1.5]), 2.0)),
        Case("base zero, exponent one", lambda rng: (np.array([0.0, 1.5]), 1.0)),
        Case("base zero, exponent zero", lambda rng: (np.array([0.0, 1.5]), 0.0), complex_step=False),
        Case("number to an array", lambda rng: (2.5, *normal((2, 3))(rng))),
    ]


def _ties(rng):
    a, b = normal((2, 3), (2, 3))(rng)
    return a, np.where([[True, False, False], [False, True, False]], a, b)


def _extremes():
    tie = Case("a tie", _ties, complex_step=False, smooth=False)
    return [*binary(distinct), tie, Case("array and number", with_constants(distinct((2, 3)), 0.0))]


def _choice(rng):
    return np.array([[True, False, True], [False, False, True]]), *normal((2, 3), (2, 3))(rng)


def _quotients(*shapes):
    """Pairs of either sign whose quotients are no nearer to a whole number than 3/16: no step in sight."""

    def draw(rng):
        a = rng.integers(-6, 6, shapes[0]) + 0.375
        return np.asarray(a), np.asarray(rng.choice([-2.0, -1.0, -0.5, 0.5, 1.0, 2.0], shapes[1]))

    return draw


def _divisions():
    number = Case("array and number", lambda rng: (_quotients((2, 3), ())(rng)[0], -2.0), complex_step=False)
    return [*binary(_quotients, complex_step=False), number]


# --------------------------------------------------------------------------------------------------- one argument


def unary(draw, complex_step=True):
    """One argument in all kinds of shapes."""
    shapes = {"vector": (5,), "matrix": (2, 3), "0-d": (), "size-1 axes": (1, 3, 1), "size 0": (2, 0)}
    return [Case(label, draw(shape), complex_step=complex_step) for label, shape in shapes.items()]


def _gates():
    """A number for each channel of each image, on either side: kernels of their own."""
    shapes = {
        "gates": ((2, 3, 2, 4), (2, 3, 1, 1)),
        "gates on the left": ((2, 5, 1), (2, 5, 3)),
        "gates of one channel": ((2, 1, 3), (2, 1, 1)),
    }
    return [Case(label, normal(*pair)) for label, pair in shapes.items()]


CASES = {
    "add": binary(normal) + _with_numbers(normal, 2.5),
    "subtract": binary(normal) + _with_numbers(normal, 2.5),
    "multiply": binary(normal) + _with_numbers(normal, 2.5) + _gates(),
    "divide": binary(positive) + _with_numbers(positive, 2.5),
    "power": binary(positive) + _powers(),
    "maximum": _extremes(),
    "minimum": _extremes(),
    "where": [
        Case("same shape", _choice),
        Case("condition broadcasts", lambda rng: (np.array([[True], [False]]), *normal((2, 3), (3,))(rng))),
        Case("arguments broadcast", lambda rng: (np.array([[True, False, True]] * 2), *normal((2, 1), ())(rng))),
        Case("a number", lambda rng: (np.array([True, False, True]), *normal((3,))(rng), -1.5)),
        Case("0-d", lambda rng: (np.array(True), *normal((), ())(rng))),
    ],
    "negative": unary(normal),
    "absolute": [
        *unary(distinct, complex_step=False),
        Case("zero", lambda rng: (np.zeros(2),), complex_step=False, smooth=False),
    ],
    "floor": unary(distinct, complex_step=False),
    "ceil": unary(distinct, complex_step=False),
    "trunc": unary(distinct, complex_step=False),
    "round": unary(distinct, complex_step=False),
    "sign": unary(distinct, complex_step=False),
    "floor_divide": _divisions(),
    "remainder": _divisions(),
    "fmod": _divisions(),
    "clamp": [
        Case("both sides", distinct((3, 4)), {"min": -0.5, "max": 0.5}),
        Case("from below", distinct((5,)), {"min": 0.0}),
        Case("from above", distinct((5,)), {"max": 0.0}),
        Case("0-d", distinct(()), {"min": -0.5, "max": 0.5}),
    ],
    "cast": [
        Case("to float64", normal((2, 3)), {"dtype": np.dtype(np.float64)}, complex_step=False),
        Case("to float32", distinct((2, 3)), {"dtype": np.dtype(np.float32)}, complex_step=False),
        Case("0-d", distinct(()), {"dtype": np.dtype(np.float32)}, complex_step=False),
    ],
}


# -------------------------------------------------------------------------------------------------------- mutants


def _divide_without_square(dy, kept):
    a, b = kept
    return unbroadcast(dy / b, shape_of(a)), unbroadcast(-dy * a / b, shape_of(b))


def _power_keeps_exponent(dy, kept):
    a, b = kept
    return unbroadcast(dy * b * np.power(a, b), shape_of(a)), unbroadcast(dy * np.power(a, b) * np.log(a), shape_of(b))


def _power_log_of_exponent(dy, kept):
    a, b = kept
    db = dy * np.power(a, b) * np.log(np.where(np.asarray(b) > 0, b, 1.0))
    return unbroadcast(dy * b * np.power(a, b - 1.0), shape_of(a)), unbroadcast(db, shape_of(b))


def _greater_only(sign):
    def vjp(dy, kept):
        a, b = kept
        share = (sign * (np.asarray(a) - b) > 0).astype(dy.dtype)
        return unbroadcast(dy * share, shape_of(a)), unbroadcast(dy * (1.0 - share), shape_of(b))

    return vjp


def _both_sides(dy, kept):
    return unbroadcast(dy, shape_of(kept[0])), unbroadcast(dy, shape_of(kept[1]))


def _divide_wrong_sign(dy, kept):
    a, b = kept
    return unbroadcast(dy / b, shape_of(a)), unbroadcast(dy * a / (b * b), shape_of(b))


def _where_exchanged(dy, kept):
    condition, a, b = kept
    return None, unbroadcast(np.where(condition, 0.0, dy), a), unbroadcast(np.where(condition, dy, 0.0), b)


def _clamp_inside_out(dy, kept, *, min=None, max=None):
    return np.where(np.clip(kept[0], min, max) == kept[0], 0.0, dy)


def _other_remainder(other):
    """The VJP of a remainder whose quotient is rounded by another function."""

    def vjp(dy, kept):
        a, b = kept
        return unbroadcast(dy, shape_of(a)), unbroadcast(-dy * other(np.asarray(a) / b), shape_of(b))

    return vjp


def _divided_vjp(dy, kept):
    """As if the quotient were not rounded: the kept shapes say nothing of b, so only a's share is wrong."""
    return unbroadcast(dy, kept[0]), unbroadcast(0.0 * dy, kept[1])


STRAIGHT_THROUGH = Mutant("straight through", lambda dy, kept: dy)


MUTANTS = {
    "add": [
        Mutant("not summed over broadcast axes", lambda dy, kept: (dy, dy)),
        Mutant("the mean over broadcast axes", lambda dy, kept: tuple(unbroadcast(dy, s) * (np.prod(s) / dy.size) for s in kept)),
    ],
    "subtract": [
        Mutant("sign of b", lambda dy, kept: (unbroadcast(dy, kept[0]), unbroadcast(dy, kept[1]))),
        Mutant("not summed over broadcast axes", lambda dy, kept: (dy, -dy)),
    ],
    "multiply": [
        Mutant("a and b exchanged", lambda dy, kept: tuple(unbroadcast(dy * x, shape_of(x)) for x in kept)),
        Mutant("b forgotten", lambda dy, kept: (unbroadcast(dy * kept[1], shape_of(kept[0])), None)),
    ],
    "divide": [Mutant("b not squared", _divide_without_square), Mutant("sign of b", _divide_wrong_sign)],
    "power": [Mutant("exponent not lowered", _power_keeps_exponent), Mutant("logarithm of the exponent", _power_log_of_exponent)],
    "maximum": [
        Mutant("a tie gives all to b", _greater_only(1.0)),
        Mutant("the minimum's", _greater_only(-1.0)),
        Mutant("both sides", _both_sides),
    ],
    "minimum": [Mutant("a tie gives all to b", _greater_only(-1.0)), Mutant("the maximum's", _greater_only(1.0))],
    "where": [
        Mutant("sides exchanged", _where_exchanged),
        Mutant("condition ignored", lambda dy, kept: (None, unbroadcast(dy, kept[1]), unbroadcast(dy, kept[2]))),
    ],
    "negative": [Mutant("sign", lambda dy, kept: dy)],
    "absolute": [
        Mutant("sign ignored", lambda dy, kept: dy),
        Mutant("1 at zero", lambda dy, kept: np.where(kept[0] >= 0, dy, -dy)),
    ],
    "floor": [STRAIGHT_THROUGH],
    "ceil": [STRAIGHT_THROUGH],
    "trunc": [STRAIGHT_THROUGH],
    "round": [STRAIGHT_THROUGH],
    "sign": [STRAIGHT_THROUGH, Mutant("the absolute value", definition=lambda x: (np.absolute(x), ()))],
    "floor_divide": [
        Mutant("straight through to a", _divided_vjp),
        Mutant("not rounded", definition=lambda a, b: (np.true_divide(a, b), (shape_of(a), shape_of(b)))),
    ],
    "remainder": [
        Mutant("the quotient towards 0", _other_remainder(np.trunc)),
        Mutant("nothing to b", _other_remainder(np.zeros_like)),
        Mutant("not rounded", _other_remainder(np.positive)),
    ],
    "fmod": [Mutant("the quotient below", _other_remainder(np.floor)), Mutant("nothing to b", _other_remainder(np.zeros_like))],
    "clamp": [Mutant("passes everything", lambda dy, kept, **bounds: dy), Mutant("passes what was held", _clamp_inside_out)],
    "cast": [
        Mutant("the cotangent through 8 bits", lambda dy, kept, dtype: np.rint(dy * 127.0).astype(kept[0]) / 127.0),
        Mutant("no cotangent", lambda dy, kept, dtype: (None,)),
    ],
}
