"""torch's names for arithmetic, powers, rounding and selection, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...tape import METHODS
from .. import elementwise, rounding
from ..comparison import wrapped
from ..elementwise import raw
from ..selection import clip, fmax, fmin
from ._register import method


@method
def add(self: Any, other: Any, alpha: float = 1) -> Any:
    """x + alpha other"""
    return elementwise.add(self, other if alpha == 1 else other * alpha)


@method
def sub(self: Any, other: Any, alpha: float = 1) -> Any:
    """x - alpha other"""
    return elementwise.subtract(self, other if alpha == 1 else other * alpha)


@method
def div(self: Any, other: Any, rounding_mode: str | None = None) -> Any:
    """x / other; rounding_mode "floor" or "trunc" for the whole number below it, or towards 0."""
    if rounding_mode not in (None, "floor", "trunc"):
        raise ValueError(f'rounding_mode is None, "floor" or "trunc", got {rounding_mode!r}')
    if rounding_mode == "floor":
        return rounding.floor_divide(self, other)
    if rounding_mode is None:
        return elementwise.divide(self, other)
    whole = all(np.asarray(raw(x)).dtype.kind in "iub" for x in (self, other))
    return (self - np.fmod(self, other)) // other if whole else np.trunc(elementwise.divide(self, other))


@method
def reciprocal(self: Any) -> Any:
    """1 / x"""
    return elementwise.divide(1.0, self)


@method
def square(self: Any) -> Any:
    """x^2"""
    return self * self


@method
def rsqrt(self: Any) -> Any:
    """1 / sqrt(x)"""
    return elementwise.divide(1.0, np.sqrt(self))


@method
def frac(self: Any) -> Any:
    """x without its whole part, with the sign of x."""
    return self - np.trunc(self)


@method
def round_method(self: Any, decimals: int = 0) -> Any:
    """To the nearest multiple of 10^-decimals, of two the even one."""
    if decimals == 0:
        return rounding.round(self)
    scale = 10.0 ** abs(decimals)
    return rounding.round(self * scale) / scale if decimals > 0 else rounding.round(self / scale) * scale


@method
def lerp(self: Any, end: Any, weight: Any) -> Any:
    """x + weight (end - x)"""
    return self + weight * (end - self)


@method
def clamp(self: Any, min: Any = None, max: Any = None) -> Any:
    """x held between min and max, numbers or tensors that broadcast; where they cross, max."""
    if min is None and max is None:
        raise ValueError("clamp: min, max or both are needed, got neither")
    return clip(self, min, max)


@method
def clamp_min(self: Any, min: Any) -> Any:
    """x, but not less than min."""
    return clip(self, min)


@method
def clamp_max(self: Any, max: Any) -> Any:
    """x, but not more than max."""
    return clip(self, None, max)


@method
def where_method(self: Any, condition: Any, other: Any) -> Any:
    """x where the condition holds, other elsewhere."""
    return elementwise.where(condition, self, other)


@method
def nan_to_num(self: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """NaN and the infinities replaced, by default by 0 and by the largest numbers of the element type; no gradient there."""
    if self.dtype.kind != "f":
        return self
    largest = float(np.finfo(self.dtype).max)
    values = raw(self)
    y = elementwise.where(np.isnan(values), nan, self)
    y = elementwise.where(values == np.inf, largest if posinf is None else posinf, y)
    return elementwise.where(values == -np.inf, -largest if neginf is None else neginf, y)


@method
def isclose(self: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Whether |x - other| <= atol + rtol |other|, element by element."""
    a, b = np.asarray(raw(self)), np.asarray(raw(other))
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        near = (abs(a - b) <= atol + rtol * abs(b)) & np.isfinite(b)
    return wrapped(near | (a == b) | (equal_nan & np.isnan(a) & np.isnan(b)), self, other)


@method
def allclose(self: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether all elements are close, see isclose."""
    return bool(np.all(raw(isclose(self, other, rtol, atol, equal_nan))))


METHODS |= {"clip": clamp, "fmax": fmax, "fmin": fmin, "subtract": sub, "divide": div, "multiply": METHODS["mul"]}
METHODS |= {"absolute": METHODS["abs"], "negative": METHODS["neg"]}
