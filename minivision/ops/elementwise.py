"""Arithmetic, powers and choice, element by element with NumPy's broadcasting."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels
from ..op import op
from ..tape import NUMPY, Tensor

# --------------------------------------------------------------------------------------------------- broadcasting


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of an array, a Tensor or a number."""
    return getattr(x, "shape", ())


def raw(x: Any) -> Any:
    """The array inside a Tensor, anything else as it is: for comparisons, which have no gradient."""
    return x.data if isinstance(x, Tensor) else x


def unbroadcast(dy: Any, shape: tuple[int, ...]) -> Any:
    """Sums dy over the axes along which `shape` was broadcast to dy.shape: the VJP of broadcasting."""
    if dy.shape == shape:
        return dy
    extra = dy.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(i + extra for i, n in enumerate(shape) if n == 1 and dy.shape[i + extra] != 1)
    return np.reshape(np.sum(dy, axis=axes), shape)


# ----------------------------------------------------------------------------------------------------- arithmetic


def _add(a, b):
    """y = a + b

    shapes: a, b broadcast -> y;  keeps: shapes
    """
    return np.add(a, b), (shape_of(a), shape_of(b))


def _add_vjp(dy, kept):
    """da = dy,  db = dy"""
    a, b = kept
    return unbroadcast(dy, a), unbroadcast(dy, b)


def _subtract(a, b):
    """y = a - b

    shapes: a, b broadcast -> y;  keeps: shapes
    """
    return np.subtract(a, b), (shape_of(a), shape_of(b))


def _subtract_vjp(dy, kept):
    """da = dy,  db = -dy"""
    a, b = kept
    return unbroadcast(dy, a), unbroadcast(-dy, b)


def _multiply(a, b):
    """y = a b

    shapes: a, b broadcast -> y;  keeps: a, b
    """
    return np.multiply(a, b), (a, b)


def _multiply_vjp(dy, kept, *, needs):
    """da = dy b,  db = dy a"""
    a, b = kept
    return unbroadcast(dy * b, shape_of(a)) if needs[0] else None, unbroadcast(dy * a, shape_of(b)) if needs[1] else None


def _divide(a, b):
    """y = a / b

    shapes: a, b broadcast -> y;  keeps: a, b
    """
    return np.true_divide(a, b), (a, b)


def _divide_vjp(dy, kept, *, needs):
    """da = dy / b,  db = -dy a / b^2"""
    a, b = kept
    da = unbroadcast(dy / b, shape_of(a)) if needs[0] else None
    return da, unbroadcast(-dy * a / (b * b), shape_of(b)) if needs[1] else None


def _power(a, b):
    """y = a^b

    shapes: a, b broadcast -> y;  keeps: a, b
    """
    return np.power(a, b), (a, b)


def _power_vjp(dy, kept, *, needs):
    """da = dy b a^(b - 1),  db = dy a^b log a   (both 0 where the factor in front is 0)"""
    a, b = kept
    base = np.where((raw(a) == 0) & (raw(b) == 0), 1.0, a)
    da = unbroadcast(dy * b * np.power(base, b - 1.0), shape_of(a)) if needs[0] else None
    if not needs[1]:
        return da, None
    logarithm = np.log(np.where(raw(a) == 0, 1.0, a).astype(dy.dtype))
    return da, unbroadcast(dy * np.power(a, b) * logarithm, shape_of(b))


def _negative(x):
    """y = -x

    shapes: x -> y;  keeps: nothing
    """
    return np.negative(x), ()


def _negative_vjp(dy, kept):
    """dx = -dy"""
    return -dy


def _absolute(x):
    """y = |x|

    shapes: x -> y;  keeps: x
    """
    return np.absolute(x), (x,)


def _absolute_vjp(dy, kept):
    """dx = dy sign(x)"""
    return dy * np.sign(kept[0])


# ------------------------------------------------------------------------------------------------------ selection


def _where(condition, a, b):
    """y = a where the condition holds, b elsewhere

    shapes: condition, a, b broadcast -> y;  keeps: condition, shapes
    """
    return np.where(condition, a, b), (condition, shape_of(a), shape_of(b))


def _where_vjp(dy, kept):
    """da = dy where the condition holds, db = dy elsewhere"""
    condition, a, b = kept
    return None, unbroadcast(np.where(condition, dy, 0.0), a), unbroadcast(np.where(condition, 0.0, dy), b)


def _cast(x, *, dtype):
    """y = x in another element type

    shapes: x -> y;  keeps: dtype
    """
    return x.astype(dtype), (x.dtype,)


def _cast_vjp(dy, kept, *, dtype):
    """dx = dy in x's element type"""
    return dy.astype(kept[0])


add = op("add", _add, _add_vjp, numpy=np.add)
subtract = op("subtract", _subtract, _subtract_vjp, numpy=np.subtract)
multiply = op("multiply", _multiply, _multiply_vjp, kernel=kernels.multiply, numpy=np.multiply, method="mul")
divide = op("divide", _divide, _divide_vjp, numpy=np.true_divide)
power = op("power", _power, _power_vjp, numpy=np.power, method="pow")
negative = op("negative", _negative, _negative_vjp, numpy=np.negative, method="neg")
absolute = op("absolute", _absolute, _absolute_vjp, numpy=np.absolute, method="abs")
where = op("where", _where, _where_vjp, numpy=np.where)
cast = op("cast", _cast, _cast_vjp)

NUMPY[np.square] = lambda x: x * x
NUMPY[np.reciprocal] = lambda x: 1.0 / x
NUMPY[np.positive] = lambda x: x
