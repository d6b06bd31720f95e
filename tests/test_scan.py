"""Running sums, products and recurrences: meaning, zeros, gradients of gradients, speed of long lines."""

from __future__ import annotations

import numpy as np
import pytest

import minivision as mv
from minivision.op import OPS
from minivision.tape import Tensor


def leaf(values):
    return mv.tensor(np.array(values, np.float64), requires_grad=True)


def test_running_results():
    x = mv.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert x.cumsum(1).tolist() == [[1, 3, 6], [4, 9, 15]]
    assert mv.cumsum(x, dim=-2).tolist() == [[1, 2, 3], [5, 7, 9]]
    assert x.cumprod(axis=1).tolist() == [[1, 2, 6], [4, 20, 120]]
    assert mv.cumprod(x.data, 0).tolist() == [[1, 2, 3], [4, 10, 18]]
    assert mv.tensor([True, True]).cumsum(0).tolist() == [1, 2]
    assert mv.tensor([1, 2]).cumsum(0, dtype=np.float32).dtype == np.float32
    assert Tensor(np.array(3.0)).cumprod(-1).item() == 3.0
    assert mv.cumsum(np.zeros((2, 0)), 1).shape == (2, 0)


def test_running_products_with_zeros():
    x = leaf([2.0, 0.0, 3.0, 0.0, 5.0])
    y = x.cumprod(0)
    jacobian = [mv.grad(y, x, row, retain_graph=True).tolist() for row in np.eye(5)]
    assert jacobian == [[1, 0, 0, 0, 0], [0, 2, 0, 0, 0], [0, 6, 0, 0, 0], [0, 0, 0, 6 * 0, 0], [0, 0, 0, 0, 0]]
    z = leaf([2.0, 0.0, 3.0])
    first = mv.grad(z.cumprod(0)[2], z, create_graph=True)
    assert mv.grad(first[1], z).tolist() == [3, 0, 2]  # d(z0 z2) / dz


def test_a_recurrence_is_a_sum_where_a_is_one_and_forgets_where_it_is_zero():
    b = np.random.default_rng(0).standard_normal((3, 6))
    np.testing.assert_allclose(OPS["recurrence"](np.ones((3, 6)), b), np.cumsum(b, 1), rtol=1e-13, atol=1e-14)
    np.testing.assert_array_equal(OPS["recurrence"](np.zeros((3, 6)), b), b)
    a = np.full(4, 0.5)
    np.testing.assert_array_equal(OPS["recurrence"](a, np.array([8.0, 0.0, 0.0, 1.0])), [8, 4, 2, 2])


def test_a_recurrence_of_unequal_arrays():
    with pytest.raises(ValueError, match=r"b has leading axes \(3,\), but a has \(2,\)"):
        OPS["recurrence"](np.ones(2), np.ones(3))


def test_infinity_and_nan_stay_where_they_are_and_after():
    x = mv.tensor(np.array([1.0, np.nan, 2.0]))
    np.testing.assert_array_equal(x.cumsum(0).data, [1, np.nan, np.nan])
    np.testing.assert_array_equal(mv.tensor(np.array([2.0, np.inf, -1.0])).cumprod(0).data, [2, np.inf, -np.inf])
