"""Rules for initial values. `uniform(-1, 1)` is a rule: called with (rng, shape) it draws an array.

A Parameter takes a rule and follows it when its values are first needed. Each rule also has torch.nn.init's form with
an underscore, `uniform_(parameter, -1, 1)`, which gives a parameter another rule.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

Shape = tuple[int, ...]
Rule = Callable[[np.random.Generator, Shape], np.ndarray]

GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75}


def constant(val: float) -> Rule:
    """x = val"""
    return lambda rng, shape: np.broadcast_to(np.float64(val), shape)


def zeros() -> Rule:
    """x = 0"""
    return constant(0.0)


def ones() -> Rule:
    """x = 1"""
    return constant(1.0)


def uniform(a: float = 0.0, b: float = 1.0) -> Rule:
    """x ~ U(a, b)"""
    return lambda rng, shape: rng.random(shape, np.float32) * (b - a) + a


def normal(mean: float = 0.0, std: float = 1.0) -> Rule:
    """x ~ N(mean, std^2)"""
    return lambda rng, shape: rng.standard_normal(shape, np.float32) * std + mean


def trunc_normal(mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0) -> Rule:
    """x ~ N(mean, std^2) given a <= x <= b: what falls outside is drawn again. a and b are values, not multiples of std."""
    low, high = ((bound - mean) / (std * math.sqrt(2.0)) for bound in (a, b))
    inside = 0.5 * (math.erf(high) - math.erf(low))
    if not inside > 0.01:
        raise ValueError(
            f"[{a}, {b}] should hold at least 1 % of N({mean}, {std}^2), but holds {inside:.2%}; move the bounds or the mean"
        )

    def draw(rng: np.random.Generator, shape: Shape) -> np.ndarray:
        x = np.asarray(normal(mean, std)(rng, shape))
        while (outside := (x < a) | (x > b)).any():
            x[outside] = normal(mean, std)(rng, (int(outside.sum()),))
        return x

    return draw


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (O, I, ...): the products that one output sums, and that one input enters."""
    if len(shape) < 2:
        raise ValueError(f"the fan of a weight needs at least 2 axes (out, in, ...), got {shape}")
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def calculate_gain(nonlinearity: str, param: float = 0.01) -> float:
    """What keeps the variance through a nonlinearity; param is the slope of "leaky_relu"."""
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1.0 + param * param))
    if nonlinearity not in GAINS:
        raise ValueError(f"nonlinearity is one of {', '.join([*GAINS, 'leaky_relu'])}, got {nonlinearity!r}")
    return GAINS[nonlinearity]


def _kaiming_std(shape: Shape, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f'mode is "fan_in" or "fan_out", got {mode!r}')
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fans(shape)[mode == "fan_out"], 1))


def kaiming_uniform(a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Rule:
    """x ~ U(-s, s),  s = gain sqrt(3 / fan)   (He et al. 2015, eq. 10 and 14)"""

    def draw(rng: np.random.Generator, shape: Shape) -> np.ndarray:
        s = math.sqrt(3.0) * _kaiming_std(shape, a, mode, nonlinearity)
        return uniform(-s, s)(rng, shape)

    return draw


def kaiming_normal(a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Rule:
    """x ~ N(0, s^2),  s = gain / sqrt(fan)   (He et al. 2015, eq. 10 and 14)"""
    return lambda rng, shape: normal(0.0, _kaiming_std(shape, a, mode, nonlinearity))(rng, shape)


def xavier_uniform(gain: float = 1.0) -> Rule:
    """x ~ U(-s, s),  s = gain sqrt(6 / (fan_in + fan_out))   (Glorot & Bengio 2010, eq. 16)"""

    def draw(rng: np.random.Generator, shape: Shape) -> np.ndarray:
        s = gain * math.sqrt(6.0 / sum(fans(shape)))
        return uniform(-s, s)(rng, shape)

    return draw


def xavier_normal(gain: float = 1.0) -> Rule:
    """x ~ N(0, s^2),  s = gain sqrt(2 / (fan_in + fan_out))   (Glorot & Bengio 2010, eq. 12)"""
    return lambda rng, shape: normal(0.0, gain * math.sqrt(2.0 / sum(fans(shape))))(rng, shape)


def _for_parameters(rule: Callable[..., Rule]) -> Callable[..., Any]:
    @functools.wraps(rule)
    def give(parameter: Any, *args: Any, **kwargs: Any) -> Any:
        return parameter.initialise(rule(*args, **kwargs))

    return give


constant_ = _for_parameters(constant)
zeros_ = _for_parameters(zeros)
ones_ = _for_parameters(ones)
uniform_ = _for_parameters(uniform)
normal_ = _for_parameters(normal)
trunc_normal_ = _for_parameters(trunc_normal)
kaiming_uniform_ = _for_parameters(kaiming_uniform)
kaiming_normal_ = _for_parameters(kaiming_normal)
xavier_uniform_ = _for_parameters(xavier_uniform)
xavier_normal_ = _for_parameters(xavier_normal)
