"""Sums, products, variances, norms, counts: what torch's names mean, what they do at the edge, what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minivision as mv
import minivision.functional as F
from minivision.errors import DtypeError
from minivision.tape import Tensor

INF, NAN = math.inf, math.nan


def leaf(values):
    return mv.tensor(np.array(values, np.float64), requires_grad=True)


def gradient(y, x):
    """d(sum of y's elements, each with a weight of its own) / dx."""
    return mv.grad(y, x, mv.tensor(1.0 + np.arange(float(y.data.size)).reshape(y.shape))).numpy()


def normal(*shape):
    return np.random.default_rng(3).standard_normal(shape)


# ------------------------------------------------------------------------------------------------ axes and names


@pytest.mark.parametrize("name", ["sum", "mean", "var", "std", "amax", "amin", "logsumexp", "norm"])
def test_axes_from_either_end_several_of_them_and_numpys_names(name):
    x = normal(2, 3, 4)
    f = getattr(mv, name)
    right = np.stack([np.stack([f(x[i, :, j]) for j in range(4)]) for i in range(2)])
    np.testing.assert_allclose(f(x, dim=1), right, rtol=1e-12)
    np.testing.assert_allclose(f(Tensor(x), dim=-2, keepdim=True).data, right[:, None], rtol=1e-12)
    np.testing.assert_allclose(getattr(Tensor(x), name)(axis=1, keepdims=True).data, right[:, None], rtol=1e-12)
    both = np.stack([f(x[:, i]) for i in range(3)])
    np.testing.assert_allclose(f(x, dim=(0, -1)), both, rtol=1e-12)
    np.testing.assert_allclose(f(x, dim=[2, 0], keepdim=True), both[None, :, None], rtol=1e-12)
    np.testing.assert_allclose([f(x, dim=()), f(x, dim=(0, 1, 2))], f(x), rtol=1e-12)
    with np.errstate(invalid="ignore"):  # one number has no variance
        assert f(Tensor(np.array(2.0)), dim=-1).shape == ()


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "var", "amax", "any", "cumsum", "logsumexp", "norm", "count_nonzero"])
def test_an_axis_that_is_not_there(name):
    with pytest.raises(ValueError, match=r"axis 2 should lie between -2 and 1, as the shape is \(2, 3\)"):
        getattr(mv, name)(Tensor(normal(2, 3)), dim=2)


def test_an_axis_twice():
    with pytest.raises(ValueError, match="sum: an axis is named twice"):
        mv.tensor(normal(2, 3)).sum((0, -2))


def test_arrays_give_arrays_and_tensors_give_tensors():
    x = normal(2, 3)
    for name in ("sum", "prod", "std", "amax", "norm", "any", "count_nonzero", "argmax", "median"):
        assert isinstance(getattr(mv, name)(x), (np.ndarray, np.generic)), name
        assert isinstance(getattr(mv, name)(Tensor(x)), Tensor), name


def test_element_types():
    whole = mv.tensor(np.array([[1, 2], [3, 4]], np.int32))
    assert whole.sum().dtype == whole.prod().dtype == whole.cumsum(0).dtype == np.int64
    assert mv.tensor([True, True]).sum().data == 2
    assert whole.sum(dtype=np.float32).dtype == whole.mean(dtype=np.float32).dtype == np.float32
    assert whole.count_nonzero().dtype == whole.argmax().dtype == np.int64
    for name in ("mean", "var", "std", "logsumexp", "norm"):
        with pytest.raises(DtypeError, match=r"floating-point elements are needed, got int32; convert with \.float\(\)"):
            getattr(whole, name)()


# ------------------------------------------------------------------------------------------------------- variance


def test_corrections():
    x = mv.tensor(np.array([1.0, 2.0, 4.0, 9.0]))  # mean 4, squares 9 + 4 + 0 + 25 = 38
    assert x.var().item() == pytest.approx(38 / 3)
    assert x.var(unbiased=False).item() == x.var(correction=0).item() == x.var(False).item() == pytest.approx(38 / 4)
    assert x.var(0, True).item() == x.var(correction=1).item() == pytest.approx(38 / 3)
    assert x.std(correction=0.5).item() == pytest.approx(math.sqrt(38 / 3.5))
    assert [v.item() for v in mv.var_mean(x)] == pytest.approx([38 / 3, 4])
    assert [v.item() for v in mv.std_mean(x, 0, correction=2)] == pytest.approx([math.sqrt(19), 4])
    with pytest.raises(ValueError, match="unbiased and correction say the same"):
        x.var(unbiased=True, correction=1)


def test_no_degrees_of_freedom():
    with np.errstate(all="ignore"):
        assert math.isnan(mv.tensor([3.0]).var().item())
        assert mv.tensor([1.0, 2.0]).var(correction=2).item() == mv.tensor([1.0, 2.0]).var(correction=5).item() == INF


def test_far_from_zero_nothing_cancels():
    x = 1e8 + np.array([0.0, 1.0, 2.0])
    assert mv.tensor(x).var().item() == 1.0


def test_the_deviation_of_equal_numbers_has_gradient_zero():
    x = leaf([[2.0, 2.0, 2.0], [1.0, 2.0, 3.0]])
    np.testing.assert_allclose(gradient(x.std(1), x), [[0, 0, 0], [-1, 0, 1]], atol=1e-15)  # 2 (x - m) / ((3 - 1) 1)


# ------------------------------------------------------------------------------------------------- products, zeros


def test_products_with_zeros():
    x = leaf([[2.0, 0.0, 5.0], [0.0, 3.0, 0.0]])
    np.testing.assert_array_equal(x.prod(1).data, [0.0, 0.0])
    np.testing.assert_array_equal(mv.grad(x.prod(1), x, np.ones(2)).data, [[0, 10, 0], [0, 0, 0]])
    assert mv.prod(x).item() == 0.0
    np.testing.assert_array_equal(mv.prod(np.zeros((2, 0)), 1, True), [[1.0], [1.0]])


def test_the_second_derivative_of_a_product_with_zeros():
    x = leaf([0.0, 3.0, 0.0, 2.0])
    first = mv.grad(x.prod(), x, create_graph=True)
    np.testing.assert_array_equal(mv.grad(first[0], x).data, [0, 0, 6, 0])  # d2 / dx0 dx2 = x1 x3


# -------------------------------------------------------------------------------------------------- NaN, infinity


def test_extremes_have_numpys_rules_for_nan():
    x = leaf([1.0, NAN, 5.0, NAN])
    for name in ("max", "amax", "min", "amin"):
        y = getattr(mv, name)(x)
        assert math.isnan(y.item())
        np.testing.assert_array_equal(mv.grad(y, x).data, [0, 0.5, 0, 0.5])


def test_ties_share_the_gradient():
    x = leaf([[4.0, 4.0, 1.0], [2.0, 2.0, 2.0]])
    np.testing.assert_allclose(gradient(x.amax(1), x), [[0.5, 0.5, 0], [2 / 3, 2 / 3, 2 / 3]], rtol=1e-15)


def test_log_sum_exp_at_the_edge():
    x = leaf([[-INF, -INF], [-INF, 1.0], [1000.0, 1000.0], [-2000.0, -2000.0]])
    y = x.logsumexp(1)  # of size 1000, and so rounded by 1e-13: that much the gradient exp(x - y) is off
    np.testing.assert_allclose(y.data, [-INF, 1.0, 1000 + math.log(2), -2000 + math.log(2)], rtol=1e-15)
    np.testing.assert_allclose(mv.grad(y, x, np.ones(4)).data, [[0, 0], [0, 1], [0.5, 0.5], [0.5, 0.5]], rtol=1e-12)
    np.testing.assert_array_equal(mv.logsumexp(np.zeros((2, 0)), 1), [-INF, -INF])
    with np.errstate(invalid="ignore"):
        assert mv.logsumexp(np.array([INF, 1.0])) == INF


def test_an_extreme_of_nothing():
    for name in ("amax", "amin", "max", "min", "argmax"):
        with pytest.raises(ValueError, match=rf"{name}: there is no element to choose along axis 1 in shape \(2, 0\)"):
            getattr(mv, name)(Tensor(np.zeros((2, 0))), 1)
    assert mv.amax(np.zeros((2, 0)), 0).shape == (0,)


# ----------------------------------------------------------------------------------------------------------- norms


@pytest.mark.parametrize(
    ("p", "value", "slope"),
    [
        (0, 2, [0, 0, 0]),
        (1, 7, [1, 0, -1]),
        (2, 5, [0.6, 0, -0.8]),
        ("fro", 5, [0.6, 0, -0.8]),
        (3, 91 ** (1 / 3), [9 / 91 ** (2 / 3), 0, -16 / 91 ** (2 / 3)]),
        (0.5, 7 + 4 * math.sqrt(3), [1 + 2 / math.sqrt(3), 0, -1 - math.sqrt(3) / 2]),
        (INF, 4, [0, 0, -1]),
        (-INF, 0, [0, 0, 0]),
        (-1, 0, [0, 0, 0]),
    ],
)
def test_norms_of_a_vector(p, value, slope):
    x = leaf([3.0, 0.0, -4.0])
    with np.errstate(divide="ignore"):  # 1 / 0, of which the norm of order -1 is the inverse
        y = x.norm(p)
    assert y.item() == pytest.approx(value)
    np.testing.assert_allclose(gradient(y, x), slope, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("p", [0.5, 1, 1.5, 2, 3, INF])
def test_the_norm_of_zeros_has_gradient_zero(p):
    x = leaf([[0.0, 0.0], [3.0, 4.0]])
    y = mv.linalg.vector_norm(x, p, 1)
    assert y.data[0] == 0.0
    np.testing.assert_array_equal(gradient(y, x)[0], [0.0, 0.0])


MATRIX = np.array([[1.0, -2.0, 3.0], [4.0, 0.0, -6.0]])
MATRIX_NORMS = {"fro": math.sqrt(66), 1: 9, -1: 2, INF: 10, -INF: 6}  # columns' sums 5, 2, 9; rows' 6, 10


@pytest.mark.parametrize("order", MATRIX_NORMS)
def test_norms_of_matrices(order):
    y = mv.linalg.matrix_norm(MATRIX, order)
    assert y == pytest.approx(MATRIX_NORMS[order])
    assert mv.linalg.norm(Tensor(MATRIX), order).item() == pytest.approx(MATRIX_NORMS[order])
    stack = np.stack([MATRIX, 2 * MATRIX], -1)
    np.testing.assert_allclose(mv.linalg.matrix_norm(stack, order, (0, 1), True)[0, 0], [y, 2 * y])
    np.testing.assert_allclose(mv.linalg.norm(stack, order, dim=(0, 1)), [y, 2 * y])


def test_norms_by_singular_values():
    a = leaf([[3.0, 0.0], [0.0, -4.0]])
    for order, value in {"nuc": 7, 2: 4, -2: 3}.items():
        assert mv.linalg.norm(a, order).item() == pytest.approx(value)
    assert a.norm("nuc").item() == pytest.approx(7)
    np.testing.assert_allclose(gradient(mv.linalg.norm(a, 2), a), [[0, 0], [0, -1]], atol=1e-15)


def test_norms_that_there_are_not():
    x = Tensor(normal(2, 3, 4))
    with pytest.raises(ValueError, match="the order of a norm of vectors is a number, inf or -inf, got 'max'"):
        x.norm("max")
    with pytest.raises(ValueError, match='ord is "fro", "nuc", 1, -1, 2, -2, inf or -inf, got 3'):
        mv.linalg.matrix_norm(x, 3)
    with pytest.raises(ValueError, match="a vector or a matrix is needed"):
        mv.linalg.norm(x, 1)
    with pytest.raises(ValueError, match="two axes are needed"):
        mv.linalg.matrix_norm(x, dim=(0, 1, 2))
    with pytest.raises(ValueError, match=r"vector_norm: there is no element to choose along axis 0 in shape \(0, 2\)"):
        mv.linalg.vector_norm(np.zeros((0, 2)), INF, 0)


def test_normalize():
    x = leaf([[3.0, 4.0], [0.0, 0.0], [0.3, 0.4]])
    np.testing.assert_allclose(F.normalize(x).data, [[0.6, 0.8], [0, 0], [0.6, 0.8]], rtol=1e-15)
    np.testing.assert_allclose(F.normalize(x, dim=0, p=1).data[:, 0], [3 / 3.3, 0, 0.3 / 3.3], rtol=1e-15)
    y = F.normalize(x, eps=1.0)
    np.testing.assert_allclose(y.data, [[0.6, 0.8], [0, 0], [0.3, 0.4]], rtol=1e-15)
    weights = np.array([[1.0, 0.0]] * 3)  # d(x0 / |x|) = (x1^2, -x0 x1) / |x|^3; below eps x is divided by a constant
    np.testing.assert_allclose(mv.grad(y, x, weights).data, [[16 / 125, -12 / 125], [1, 0], [1, 0]], rtol=1e-14)
    assert mv.gradcheck(lambda v: F.normalize(v, p=3, dim=-1), leaf(normal(2, 3)), second_order=True)


# ----------------------------------------------------------------------------------------------------------- counts


def test_counts_and_questions():
    x = mv.tensor([[0, 2, 0], [3, 0, 0]])
    assert (x.count_nonzero().item(), x.count_nonzero(0).tolist(), x.count_nonzero((0, 1)).item()) == (2, [1, 1, 0], 2)
    assert (x.any().item(), x.any(0).tolist(), x.any(1, True).tolist()) == (True, [True, True, False], [[True], [True]])
    assert (x.all().item(), (x < 3).all(1).tolist(), mv.all(np.ones((0,)))) == (False, [True, False], True)


def test_bincount():
    x = mv.tensor([1, 4, 1, 0])
    assert x.bincount().tolist() == [1, 2, 0, 0, 1]
    assert x.bincount(minlength=7).tolist() == [1, 2, 0, 0, 1, 0, 0]
    weighted = x.bincount(mv.tensor([0.5, 1.0, 0.25, 2.0]))
    assert (weighted.tolist(), weighted.dtype) == ([2.0, 0.75, 0.0, 0.0, 1.0], np.float32)
    assert mv.bincount(np.zeros(0, np.int64)).tolist() == []
    for wrong in ([-1, 2], [0.5], [[1]]):
        with pytest.raises(ValueError, match="a vector of whole numbers from 0 is needed"):
            mv.tensor(wrong).bincount()
    with pytest.raises(ValueError, match="minlength is at least 0 and weights have the input's shape"):
        x.bincount(mv.tensor([1.0]))
    for huge in (lambda: x.bincount(minlength=2**63), lambda: mv.tensor([2**63 - 1]).bincount()):
        with pytest.raises(MemoryError, match=rf"bincount: {2**63} counts take {2**66} bytes"):
            huge()
