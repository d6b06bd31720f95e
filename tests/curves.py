"""The kernels of elementwise.inc.c against Python's math, over the line and around the ends of vectors."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator

import numpy as np

from minivision import kernels
from minivision.kernels.elementwise import FUNCTIONS

SETTINGS: dict[str, dict[str, float]] = {
    "leaky_relu": {"negative_slope": 0.25}, "hardtanh": {"min": -0.5, "max": 2.0}, "silu": {"beta": 2.0},
    "elu": {"alpha": 1.5}, "softplus": {"beta": 2.0, "threshold": 3.0},
}  # fmt: skip
SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 4095, 4096, 4097)


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


def phi(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def _cubic(x: float) -> tuple[float, float]:
    """2 u of the tanh form of gelu, and its slope."""
    c = 2.0 * math.sqrt(2.0 / math.pi)
    return c * (x + 0.044715 * x**3), c * (1.0 + 3.0 * 0.044715 * x**2)


def _gelu_tanh_slope(x: float) -> float:
    v, slope = _cubic(x)
    return sigmoid(v) + x * sigmoid(v) * sigmoid(-v) * slope


def _mish_slope(x: float) -> float:
    """t + x (1 - t^2) sigmoid(x),  t = n / (n + 2),  n = e (e + 2),  e = exp(x)"""
    n = math.exp(x) * (math.exp(x) + 2.0)
    return n / (n + 2.0) + x * 4.0 * (n + 1.0) / (n + 2.0) / (n + 2.0) * sigmoid(x)


def _softplus(x: float) -> float:
    return x if 2.0 * x > 3.0 else math.log1p(math.exp(2.0 * x)) / 2.0


# name -> value, slope, with SETTINGS
CURVES: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "relu": (lambda x: max(x, 0.0), lambda x: float(x > 0)),
    "leaky_relu": (lambda x: max(x, 0.25 * x), lambda x: 1.0 if x > 0 else 0.25),
    "hardtanh": (lambda x: min(max(x, -0.5), 2.0), lambda x: float(-0.5 < x < 2.0)),
    "hardsigmoid": (lambda x: min(max(x + 3.0, 0.0), 6.0) / 6.0, lambda x: (-3.0 < x < 3.0) / 6.0),
    "hardswish": (
        lambda x: x * min(max(x + 3.0, 0.0), 6.0) / 6.0,
        lambda x: 0.0 if x <= -3.0 else 1.0 if x >= 3.0 else x / 3.0 + 0.5,
    ),
    "sigmoid": (sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "tanh": (math.tanh, lambda x: 1.0 / math.cosh(x) ** 2),
    "silu": (lambda x: x * sigmoid(2.0 * x), lambda x: sigmoid(2.0 * x) * (1.0 + 2.0 * x * sigmoid(-2.0 * x))),
    "gelu": (lambda x: x * phi(x), lambda x: phi(x) + x * math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)),
    "gelu_tanh": (lambda x: x * sigmoid(_cubic(x)[0]), _gelu_tanh_slope),
    "elu": (lambda x: x if x > 0 else 1.5 * math.expm1(x), lambda x: 1.0 if x > 0 else 1.5 * math.exp(x)),
    "softplus": (_softplus, lambda x: 1.0 if 2.0 * x > 3.0 else sigmoid(2.0 * x)),
    "mish": (lambda x: x * math.tanh(math.log1p(math.exp(x))), _mish_slope),
}
# Those whose value is right to the last digits however small it is (gelu and gelu_tanh lose some to exp of a large number).
RELATIVE = ("relu", "leaky_relu", "hardtanh", "sigmoid", "tanh", "silu", "elu", "softplus", "mish")


@functools.cache
def line(dtype: type) -> np.ndarray:
    """Two chunks of 4096 elements and a bit: mostly around 0, out to 40, and where the pieces meet. Shuffled."""
    pieces = [np.linspace(-9.0, 9.0, 7000), np.linspace(-40.0, 40.0, 1190), [-3.0, -0.5, 0.0, 1.5, 2.0, 3.0]]
    return np.random.default_rng(5).permutation(np.concatenate(pieces)).astype(dtype)


@functools.cache
def exact(name: str, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Values and slopes over the line, by Python's math."""
    value, slope = CURVES[name]
    points = [float(x) for x in line(dtype)]
    return np.array([value(x) for x in points]), np.array([slope(x) for x in points])


def computed(name: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and slopes by the kernel."""
    kernel, settings = getattr(kernels, name), SETTINGS.get(name, {})
    y, kept = kernel.forward(x, **settings)
    return y, kernel.vjp(np.ones_like(x), kept, needs=(True,), **settings)[0]


def _gelu_tail() -> Iterator[tuple[str, float]]:
    """The relative error of gelu far below 0, where torch's 1 + erf has no digit left.

    exp(-x^2 / 2) is off by the rounding of its argument, x^2 / 2 units in the last place; the rest by a few.
    """
    for dtype, units in ((np.float32, 8.0), (np.float64, 32.0)):
        x = np.linspace(-9.0, -0.5, 500).astype(dtype)
        right = np.array([v * phi(v) for v in map(float, x)])
        bound = (0.5 * x.astype(np.float64) ** 2 + units) * np.finfo(dtype).eps
        yield f"gelu's tail, {dtype.__name__}", float(np.max(np.abs(computed("gelu", x)[0] / right - 1.0) / bound))


def probe() -> Iterator[tuple[str, float]]:
    """Every function, value and slope: within 4 units in the last place (of 1, where they are smaller); sizes are prefixes."""
    for name in FUNCTIONS:
        for dtype in (np.float32, np.float64):
            x, ulp = line(dtype), 4.0 * np.finfo(dtype).eps
            found = computed(name, x)
            for what, came, right in zip(("value", "slope"), found, exact(name, dtype), strict=True):
                scale = np.maximum(np.abs(right), 0.0 if what == "value" and name in RELATIVE else 1.0)
                off = np.abs(came - right)
                bound = ulp * np.where(scale < np.finfo(dtype).tiny, np.finfo(dtype).tiny, scale)
                yield f"{name}'s {what}, {dtype.__name__}", float(np.max(off / bound))
            for n in SIZES:
                alike = all(np.array_equal(part, whole[:n]) for part, whole in zip(computed(name, x[:n]), found, strict=True))
                yield f"{name} of {n}, {dtype.__name__}", 0.0 if alike else math.inf
    yield from _gelu_tail()
