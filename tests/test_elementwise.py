"""torch's names for arithmetic, rounding, selection and comparison: their meaning in numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minivision as mv
from minivision.errors import DtypeError
from minivision.ops.error_function import FAR, NEAR, erf, erfc
from minivision.tape import METHODS
from minivision.tensors import elementwise

INF, NAN = math.inf, math.nan


def leaf(*values: float) -> mv.Tensor:
    return mv.Tensor(np.array(values), requires_grad=True)


def same(came: object, *expected: object) -> None:
    """Equal to the last bit, NaN to NaN."""
    np.testing.assert_array_equal(getattr(came, "data", came), np.array(expected))


def slopes(function, *values: float) -> np.ndarray:
    """The derivative of a function of one tensor."""
    x = leaf(*values)
    function(x).sum().backward()
    return x.grad.data


# ------------------------------------------------------------------------------------------------------ one meaning

CALLS = {
    "add": (2.0,), "sub": (2.0,), "subtract": (2.0,), "mul": (2.0,), "multiply": (2.0,), "div": (2.0,), "divide": (2.0,),
    "pow": (2.0,), "floor_divide": (2.0,), "remainder": (2.0,), "fmod": (2.0,), "lerp": (2.0, 0.5), "clamp": (0.3, 0.6),
    "clip": (0.3, 0.6), "clamp_min": (0.3,), "clamp_max": (0.6,), "round": (1,), "isclose": (0.5,), "allclose": (0.5,),
    "atan2": (2.0,), "hypot": (2.0,), "maximum": (0.5,), "minimum": (0.5,), "fmax": (0.5,), "fmin": (0.5,), "eq": (0.5,),
    "ne": (0.5,), "lt": (0.5,), "le": (0.5,), "gt": (0.5,), "ge": (0.5,), "logical_and": (0.5,), "logical_or": (0.5,),
    "logical_xor": (0.5,),
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [name for name in elementwise.__all__ if name in METHODS and "bitwise" not in name and name != "where"]
)
def test_a_method_a_function_and_a_plain_array_agree(name):
    x, more = np.array([0.25, 0.5, 0.75]), CALLS.get(name, ())
    by_method, by_function = getattr(mv.Tensor(x), name)(*more), getattr(mv, name)(mv.Tensor(x), *more)
    of_array = getattr(mv, name)(x, *more)
    kinds = [type(y) for y in (by_method, by_function, of_array)]
    assert kinds == ([bool] * 3 if name == "allclose" else [mv.Tensor, mv.Tensor, np.ndarray])
    for y in (by_method, by_function):
        np.testing.assert_array_equal(getattr(y, "data", y), of_array)


# ------------------------------------------------------------------------------------------------------- arithmetic


def test_alpha_scales_the_second_argument():
    a, b = leaf(1.0, 2.0), leaf(10.0, 20.0)
    same(mv.add(a, b, alpha=0.5), 6.0, 12.0)
    same(a.sub(b, alpha=2), -19.0, -38.0)
    mv.sub(a, b, alpha=2).sum().backward()
    same(b.grad, -2.0, -2.0)
    same(mv.add(a, 1, alpha=3), 4.0, 5.0)


def test_numbers_stand_on_either_side():
    x = leaf(2.0, 4.0)
    same(1 + x, 3.0, 5.0)
    same(1 - x, -1.0, -3.0)
    same(1 / x, 0.5, 0.25)
    same(2**x, 4.0, 16.0)
    same(x**-1, 0.5, 0.25)
    same(7 // x, 3.0, 1.0)
    same(7 % x, 1.0, 3.0)
    same(mv.pow(2.0, x), 4.0, 16.0)
    same(slopes(lambda x: 2.0**x, 3.0), 8.0 * math.log(2.0))


def test_division_with_rounding():
    a, b = np.array([7.0, -7.0, 7.0, -7.0]), np.array([2.0, 2.0, -2.0, -2.0])
    same(mv.div(a, b), 3.5, -3.5, -3.5, 3.5)
    same(mv.div(a, b, rounding_mode="trunc"), 3.0, -3.0, -3.0, 3.0)
    same(mv.div(a, b, rounding_mode="floor"), 3.0, -4.0, -4.0, 3.0)
    with pytest.raises(ValueError, match='"floor" or "trunc", got \'up\''):
        mv.div(a, b, rounding_mode="up")


def test_whole_numbers_divide_to_whole_numbers_however_large():
    large = 2**62 + 1  # more digits than a float has
    a, b = np.array([large, -large, 7]), np.array([3, 3, -2])
    for mode, expected in {"floor": [large // 3, -large // 3, -4], "trunc": [large // 3, -(large // 3), -3]}.items():
        y = mv.div(mv.Tensor(a), mv.Tensor(b), rounding_mode=mode)
        assert y.dtype == np.int64
        assert y.data.tolist() == expected


def test_remainders_have_the_sign_of_the_divisor_or_of_the_dividend():
    a, b = np.array([7.0, -7.0, 7.0, -7.0]), np.array([3.0, 3.0, -3.0, -3.0])
    same(mv.remainder(a, b), 1.0, 2.0, -2.0, -1.0)
    same(mv.fmod(a, b), 1.0, -1.0, 1.0, -1.0)


def test_rounding_takes_halves_to_even_and_decimals():
    same(mv.round(np.array([0.5, 1.5, -0.5, -2.5, 2.6])), 0.0, 2.0, -0.0, -2.0, 3.0)
    same(mv.round(np.array([1.25, -0.375]), decimals=1), 1.2, -0.4)
    same(mv.round(np.array([149.0, 250.0, 351.0]), decimals=-2), 100.0, 200.0, 400.0)


def test_the_parts_of_a_number():
    x = np.array([-1.75, -0.0, 2.5])
    same(mv.floor(x), -2.0, -0.0, 2.0)
    same(mv.ceil(x), -1.0, -0.0, 3.0)
    same(mv.trunc(x), -1.0, -0.0, 2.0)
    same(mv.frac(x), -0.75, 0.0, 0.5)
    same(mv.sign(x), -1.0, 0.0, 1.0)


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "round", "sign"])
def test_steps_are_flat_even_under_an_infinite_cotangent(name):
    x = leaf(0.3, -1.7)
    getattr(x, name)().backward(np.array([INF, NAN]))
    same(x.grad, 0.0, 0.0)


def test_lerp_square_roots_and_reciprocals():
    x = leaf(4.0, 0.25)
    same(x.lerp(mv.Tensor(np.array([8.0, 1.25])), 0.25), 5.0, 0.5)
    same(x.rsqrt(), 0.5, 2.0)
    same(x.reciprocal(), 0.25, 4.0)
    same(x.square(), 16.0, 0.0625)
    same(np.square(x), 16.0, 0.0625)
    same(np.reciprocal(x), 0.25, 4.0)
    same(slopes(mv.rsqrt, 4.0), -0.0625)


def test_the_angle_at_the_origin_has_no_slope():
    """The limit does not exist; torch answers 0."""
    a, b = leaf(0.0, 0.0), leaf(0.0, -2.0)
    mv.atan2(a, b).sum().backward()
    same(a.grad, 0.0, -0.5)
    same(b.grad, 0.0, -0.0)


def test_hypot_does_not_overflow():
    same(mv.hypot(np.array([3e300]), np.array([4e300])), 5e300)


# -------------------------------------------------------------------------------------------------------- selection


def test_extremes_and_nan():
    a, b = np.array([1.0, NAN, 3.0, NAN]), np.array([2.0, 2.0, NAN, NAN])
    same(mv.maximum(a, b), 2.0, NAN, NAN, NAN)
    same(mv.minimum(a, b), 1.0, NAN, NAN, NAN)
    same(mv.fmax(a, b), 2.0, 2.0, 3.0, NAN)
    same(mv.fmin(a, b), 1.0, 2.0, 3.0, NAN)


def test_ties_share_the_gradient_between_maximum_s_arguments_and_fmax_gives_it_to_the_first():
    for function, expected in ((mv.maximum, (0.5, 0.5)), (mv.minimum, (0.5, 0.5)), (mv.fmax, (1.0, 0.0)), (mv.fmin, (1.0, 0.0))):
        a, b = leaf(2.0), leaf(2.0)
        function(a, b).sum().backward()
        assert (a.grad.item(), b.grad.item()) == expected


def test_clamp_passes_the_gradient_at_its_bounds():
    same(mv.clamp(leaf(-2.0, -1.0, 0.0, 1.0, 2.0), -1, 1), -1.0, -1.0, 0.0, 1.0, 1.0)
    same(slopes(lambda x: x.clamp(-1, 1), -2.0, -1.0, 0.0, 1.0, 2.0), 0.0, 1.0, 1.0, 1.0, 0.0)
    same(mv.clamp(leaf(5.0), min=2, max=1), 1.0)  # where the bounds cross, max
    with pytest.raises(ValueError, match="min, max or both"):
        mv.clamp(leaf(5.0))


def test_clamp_between_tensors_gives_the_gradient_to_whom_it_chose():
    x, low, high = leaf(-2.0, 0.0, 2.0, 5.0, NAN), leaf(-1.0, -1.0, -1.0, 2.0, 0.0), leaf(1.0, 1.0, 1.0, 1.0, 1.0)
    y = mv.clamp(x, low, high)
    same(y, -1.0, 0.0, 1.0, 1.0, NAN)
    y.sum().backward()
    same(x.grad, 0.0, 1.0, 0.0, 0.0, 1.0)
    same(low.grad, 1.0, 0.0, 0.0, 0.0, 0.0)
    same(high.grad, 0.0, 0.0, 1.0, 1.0, 0.0)
    same(mv.clamp(np.array([1.0, 1.0]), min=np.array([NAN, 2.0])), NAN, 2.0)


def test_where_by_condition_alone_names_the_places():
    rows, columns = mv.where(mv.Tensor(np.array([[0, 3], [4, 0]])))
    same(rows, 0, 1)
    same(columns, 1, 0)
    with pytest.raises(ValueError, match="both input and other"):
        mv.where(np.array([True]), np.array([1.0]))


def test_nan_to_num():
    x = np.array([NAN, INF, -INF, 1.5], np.float32)
    largest = np.finfo(np.float32).max
    same(mv.nan_to_num(x), 0.0, largest, -largest, 1.5)
    same(mv.nan_to_num(x, nan=7.0, posinf=8.0, neginf=9.0), 7.0, 8.0, 9.0, 1.5)
    assert mv.nan_to_num(x).dtype == np.float32
    same(slopes(mv.nan_to_num, NAN, INF, -INF, 1.5), 0.0, 0.0, 0.0, 1.0)
    same(mv.nan_to_num(np.array([3])), 3)


# ------------------------------------------------------------------------------------------------------ comparisons


def test_comparisons_and_logic():
    a, b = mv.Tensor(np.array([1.0, 2.0, NAN])), mv.Tensor(np.array([1.0, 3.0, NAN]))
    table = {"eq": "100", "ne": "011", "lt": "010", "le": "110", "gt": "000", "ge": "100", "logical_xor": "000"}
    for name, expected in table.items():
        same(getattr(a, name)(b), *(digit == "1" for digit in expected))
    same(a == b, True, False, False)
    same(mv.logical_not(np.array([0.0, 2.0])), True, False)
    same(mv.isnan(a), False, False, True)
    same(mv.isinf(np.array([INF, -INF, 0.0])), True, True, False)
    same(mv.isfinite(np.array([INF, NAN, 0.0])), False, False, True)
    same(mv.signbit(np.array([-0.0, 0.0])), True, False)


def test_bits():
    a, b = mv.Tensor(np.array([12, 10])), mv.Tensor(np.array([10, 3]))
    same(a & b, 8, 2)
    same(a | b, 14, 11)
    same(a ^ b, 6, 9)
    same(~a, -13, -11)
    same(a << 2, 48, 40)
    same(mv.bitwise_right_shift(a, b), 0, 1)
    assert (mv.Tensor(np.array([True])) & mv.Tensor(np.array([False]))).dtype == bool


def test_closeness():
    a, b = np.array([1.0, INF, INF, NAN, 1e-9]), np.array([1.0 + 9e-6, INF, -INF, NAN, 0.0])
    same(mv.isclose(a, b), True, True, False, False, True)
    same(mv.isclose(a, b, equal_nan=True), True, True, False, True, True)
    same(mv.isclose(a, b, rtol=1e-6, atol=0.0), False, True, False, False, False)
    assert mv.allclose(mv.Tensor(a[:2]), b[:2])
    assert not mv.allclose(a, b)


def test_what_does_not_fit_says_so():
    a, b = mv.Tensor(np.ones((2, 3))), mv.Tensor(np.ones((2, 4)))
    for function in (mv.add, mv.lt, mv.maximum, mv.remainder, mv.atan2):
        with pytest.raises(mv.ShapeError, match=r"axis -1 has 3 and 4"):
            function(a, b)
    with pytest.raises(DtypeError, match="element types must agree"):
        mv.hypot(a, a.float())
    assert not mv.lt(a, a).requires_grad


# --------------------------------------------------------------------------------------------------- error function


def test_the_error_function_is_as_good_as_the_c_library_s():
    """Within 1e-15, absolute and relative, over the line, where the parts meet, and down to subnormal numbers."""
    x = np.concatenate([np.linspace(-7.0, 7.0, 4001), np.geomspace(1e-320, 7.0, 500)])
    ends = [v * (1.0 + k * 2.0**-52) for v in (NEAR, FAR) for k in range(-3, 4)]
    x = np.concatenate([x, ends, np.negative(ends)])
    right = np.array([math.erf(v) for v in x])
    off = np.abs(erf(x) - right)
    assert off.max() < 1e-15
    assert (off <= 1e-15 * np.abs(right) + 5e-324).all()


def test_the_complement_keeps_its_digits_where_it_is_small():
    x = np.linspace(-7.0, 26.5, 4001)
    right = np.array([math.erfc(v) for v in x])
    assert (np.abs(erfc(x) - right) <= 1.5e-15 * right).all()
    same(erfc(np.array([28.0, 1e10, INF, -INF])), 0.0, 0.0, 0.0, 2.0)


def test_error_functions_of_float32_and_of_whole_numbers():
    x = np.array([-0.3, 1.0, 2.5], np.float32)
    np.testing.assert_allclose(erf(x), [math.erf(float(v)) for v in x], rtol=2.0**-24)
    assert erf(x).dtype == np.float32
    np.testing.assert_allclose(erf(np.array([1])), [math.erf(1.0)], rtol=1e-15)
