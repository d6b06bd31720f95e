"""Arithmetic, elementary functions, rounding, selection and comparison, element by element."""

from __future__ import annotations

from typing import Any

from ..ops.activation import sigmoid
from ..ops.comparison import COMPARISONS
from ..ops.elementary import exp, exp2, expm1, log, log1p, log2, log10, sqrt
from ..ops.elementwise import absolute, multiply, negative, power
from ..ops.elementwise import where as _where
from ..ops.error_function import erf, erfc
from ..ops.methods.elementwise import (
    add,
    allclose,
    clamp,
    clamp_max,
    clamp_min,
    div,
    frac,
    isclose,
    lerp,
    nan_to_num,
    reciprocal,
    rsqrt,
    square,
    sub,
)
from ..ops.methods.elementwise import round_method as round
from ..ops.methods.indexing import nonzero
from ..ops.piecewise import relu
from ..ops.rounding import ceil, floor, floor_divide, fmod, remainder, sign, trunc
from ..ops.selection import fmax, fmin, maximum, minimum
from ..ops.trigonometric import arccos, arcsin, arctan, arctan2, cos, cosh, hypot, sin, sinh, tan, tanh

__all__ = [
    "abs", "absolute", "acos", "add", "allclose", "arccos", "arcsin", "arctan", "arctan2", "asin", "atan", "atan2",
    "bitwise_and", "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "ceil", "clamp",
    "clamp_max", "clamp_min", "clip", "cos", "cosh", "div", "divide", "eq", "erf", "erfc", "exp", "exp2", "expm1", "floor",
    "floor_divide", "fmax", "fmin", "fmod", "frac", "ge", "gt", "hypot", "isclose", "isfinite", "isinf", "isnan", "le", "lerp",
    "log", "log1p", "log2", "log10", "logical_and", "logical_not", "logical_or", "logical_xor", "lt", "maximum", "minimum",
    "mul", "multiply", "nan_to_num", "ne", "neg", "negative", "pow", "reciprocal", "relu", "remainder", "round", "rsqrt",
    "sigmoid", "sign", "signbit", "sin", "sinh", "sqrt", "square", "sub", "subtract", "tan", "tanh", "trunc", "where",
]  # fmt: skip

abs, mul, neg, pow, divide, subtract, clip = absolute, multiply, negative, power, div, sub, clamp
asin, acos, atan, atan2 = arcsin, arccos, arctan, arctan2
eq, ne, lt, le, gt, ge = (COMPARISONS[name] for name in ("eq", "ne", "lt", "le", "gt", "ge"))
logical_and, logical_or, logical_xor, logical_not = (COMPARISONS[f"logical_{name}"] for name in ("and", "or", "xor", "not"))
bitwise_and, bitwise_or, bitwise_xor, bitwise_not = (COMPARISONS[f"bitwise_{name}"] for name in ("and", "or", "xor", "not"))
bitwise_left_shift, bitwise_right_shift = (COMPARISONS[f"bitwise_{side}_shift"] for side in ("left", "right"))
isnan, isfinite, isinf, signbit = (COMPARISONS[name] for name in ("isnan", "isfinite", "isinf", "signbit"))


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """input where the condition holds, other elsewhere; with the condition alone the indices where it holds, one axis each."""
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if input is None or other is None:
        raise ValueError("where: give both input and other, or neither")
    return _where(condition, input, other)
