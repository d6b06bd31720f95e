"""Arithmetic, selection and rounding, one element after another in Python's own numbers."""

from __future__ import annotations

import itertools
import math
import struct

import numpy as np

from . import Oracle


def shape_for(rng):
    """Up to four axes of up to five elements, now and then none."""
    return tuple(int(n) for n in rng.choice(6, rng.integers(0, 5), p=[0.04, 0.24, 0.18, 0.18, 0.18, 0.18]))


def partner(rng, shape):
    """A shape that broadcasts with another: axes left out in front, axes of one."""
    return tuple(1 if rng.random() < 0.3 else n for n in shape[rng.integers(0, len(shape) + 1) :])


def each(function):
    """The answer element by element: axes count from the last, an axis of one is read again and again."""

    def answer(*arrays, **attributes):
        parts = [np.asarray(a) for a in arrays]
        axes = max(a.ndim for a in parts)
        padded = [(1,) * (axes - a.ndim) + a.shape for a in parts]
        shape = tuple(next((n for n in sizes if n != 1), 1) for sizes in zip(*padded, strict=True))
        values = []
        for place in itertools.product(*map(range, shape)):
            index = [tuple(i if n > 1 else 0 for i, n in zip(place, sizes, strict=True))[axes - a.ndim :]
                     for a, sizes in zip(parts, padded, strict=True)]  # fmt: skip
            values.append(function(*(a[i].item() for a, i in zip(parts, index, strict=True)), **attributes))
        return np.array(values).reshape(shape)

    return answer


def one(draw, function, **choices):
    """An operation of one argument: draw(rng, shape), and attributes taken from lists."""

    def call(rng):
        attributes = {name: options[rng.integers(len(options))] for name, options in choices.items()}
        return (np.asarray(draw(rng, shape_for(rng))),), attributes

    return Oracle(call, each(function))


def two(first, second, function):
    """An operation of two arguments that broadcast; the second may be a plain number."""

    def call(rng):
        shape = shape_for(rng)
        shapes = [shape, partner(rng, shape)]
        order = rng.permutation(2)
        a, b = np.asarray(first(rng, shapes[order[0]])), np.asarray(second(rng, shapes[order[1]]))
        return (a, b.item() if b.ndim == 0 and rng.random() < 0.5 else b), {}

    return Oracle(call, each(function))


def normal(rng, shape):
    """Around 0, some far out, some exactly 0."""
    return rng.standard_normal(shape) * rng.choice([1.0, 1.0, 30.0]) * (rng.random(shape) > 0.05)


def positive(rng, shape):
    """Over many orders of magnitude."""
    return np.exp(rng.uniform(-6.0, 6.0, shape))


def halves(rng, shape):
    """Multiples of 1/2: ties, and steps of rounding."""
    return rng.integers(-9, 10, shape) / 2.0


def nonzero(rng, shape):
    """Of either sign, none near 0."""
    return rng.uniform(0.3, 4.0, shape) * rng.choice([-1.0, 1.0], shape)


def _where_call(rng):
    shape = shape_for(rng)
    return (rng.random(partner(rng, shape)) < 0.5, normal(rng, shape), normal(rng, partner(rng, shape))), {}


def _clamp_call(rng):
    """One bound or both."""
    bounds = [{"min": -1.0}, {"max": 0.5}, {"min": -1.0, "max": 2.25}, {"min": 0.5, "max": 1.0}]
    return (np.asarray(halves(rng, shape_for(rng))),), bounds[rng.integers(4)]


def _clamp(x, min=None, max=None):
    if min is not None and x < min:
        x = min
    return max if max is not None and x > max else x


def _cast(x, dtype):
    return x if dtype == np.float64 else struct.unpack("f", struct.pack("f", x))[0]


def _sign(x):
    return float((x > 0) - (x < 0))


ORACLES = {
    "add": two(normal, normal, lambda a, b: a + b),
    "subtract": two(normal, normal, lambda a, b: a - b),
    "multiply": two(normal, normal, lambda a, b: a * b),
    "divide": two(normal, nonzero, lambda a, b: a / b),
    "power": two(positive, halves, lambda a, b: math.exp(b * math.log(a))),
    "negative": one(normal, lambda x: 0.0 - x),
    "absolute": one(normal, lambda x: -x if x < 0 else x),
    "where": Oracle(_where_call, each(lambda condition, a, b: a if condition else b)),
    "maximum": two(halves, halves, lambda a, b: a if a > b else b),
    "minimum": two(halves, halves, lambda a, b: a if a < b else b),
    "clamp": Oracle(_clamp_call, each(_clamp)),
    "cast": one(normal, _cast, dtype=[np.dtype(np.float32), np.dtype(np.float64)]),
    "floor": one(halves, math.floor),
    "ceil": one(halves, math.ceil),
    "trunc": one(halves, int),
    "round": one(halves, round),
    "sign": one(halves, _sign),
    "floor_divide": two(normal, nonzero, lambda a, b: a // b),
    "remainder": two(normal, nonzero, lambda a, b: a % b),
    "fmod": two(normal, nonzero, math.fmod),
}
