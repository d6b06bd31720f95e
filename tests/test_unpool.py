"""p-norms of windows, and max pooling undone: values, gradients, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minivision as mv
import minivision.functional as F
from minivision import nn


def normal(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def gradient(y, t):
    """dx and the random dy that it is made from."""
    dy = np.random.default_rng(1).standard_normal(y.shape)
    return mv.grad(y, t, mv.Tensor(dy)).data, dy


# ------------------------------------------------------------------------------------------------------------- p-norms


@pytest.mark.parametrize("p", [1, 2, 3.0, 5])
def test_lp_pooling(p):
    x = np.abs(normal(2, 3, 4, 6))
    expected = np.empty((2, 3, 2, 2))
    for n, c, i, j in np.ndindex(*expected.shape):
        window = x[n, c, 2 * i : 2 * i + 2, 3 * j : 3 * j + 3].ravel()
        expected[n, c, i, j] = math.fsum(v**p for v in window) ** (1 / p)
    np.testing.assert_allclose(F.lp_pool2d(x, p, (2, 3)), expected, rtol=1e-13)
    np.testing.assert_allclose(
        F.lp_pool1d(x[:, :, 0], p, 3), np.sum(x[:, :, 0].reshape(2, 3, 2, 3) ** p, -1) ** (1 / p), rtol=1e-13
    )
    np.testing.assert_allclose(F.lp_pool3d(x, p, (3, 4, 6))[:, 0, 0, 0], np.sum(x**p, (1, 2, 3)) ** (1 / p), rtol=1e-13)


def test_the_limits_of_lp_pooling_are_the_largest_and_the_smallest():
    x = normal(2, 3, 4, 6)
    windows = np.abs(x).reshape(2, 3, 2, 2, 3, 2)
    np.testing.assert_array_equal(F.lp_pool2d(x, math.inf, 2), windows.max((3, 5)))
    np.testing.assert_array_equal(F.lp_pool2d(x, -math.inf, 2), -F.max_pool2d(-np.abs(x), 2))


def test_a_window_of_zeros_has_norm_0_and_gradient_0():
    x = normal(1, 1, 2, 4)
    x[..., :2] = 0.0
    t = mv.Tensor(x, requires_grad=True)
    y = F.lp_pool2d(t, 2, 2)
    dx, dy = gradient(y, t)
    np.testing.assert_array_equal(dx[..., :2], 0.0)
    np.testing.assert_allclose(dx[..., 2:], dy[..., 1] * x[..., 2:] / y.data[..., 1], rtol=1e-12)


def test_odd_powers_keep_signs():
    """(-1)^3 + (-1)^3 is negative, and its cube root is not a real power: NaN, as in torch."""
    assert F.lp_pool1d(np.full((1, 1, 2), -1.0), 1, 2).item() == -2.0
    with np.errstate(invalid="ignore"):
        assert np.isnan(F.lp_pool1d(np.full((1, 1, 2), -1.0), 3, 2)).all()


# ---------------------------------------------------------------------------------------------------------- unpooling


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("batch", [(2,), ()])
def test_unpooling_puts_each_value_back(axes, batch):
    x = mv.Tensor(normal(*batch, 3, *(6, 4, 8)[:axes]), requires_grad=True)
    pool, unpool = getattr(F, f"max_pool{axes}d"), getattr(F, f"max_unpool{axes}d")
    y, indices = pool(x, 2, return_indices=True)
    back = unpool(y, indices, 2)
    largest = np.zeros(x.shape)
    flat, numbers = largest.reshape(*largest.shape[:-axes], -1), indices.data.reshape(*y.shape[:-axes], -1)
    np.put_along_axis(flat, numbers, 1.0, axis=-1)
    np.testing.assert_array_equal(back.data, largest * x.data)
    dx, dy = gradient(back, x)
    np.testing.assert_array_equal(dx, dy * largest)


def test_unpooled_sizes():
    y, indices = F.max_pool2d(normal(2, 3, 5, 9), 2, return_indices=True)
    assert F.max_unpool2d(y, indices, 2, output_size=(5, 9)).shape == (2, 3, 5, 9)
    assert F.max_unpool2d(y, indices, 2, output_size=[2, 3, 5, 9]).shape == (2, 3, 5, 9)
    small = np.zeros((1, 1, 2, 2), np.int64)
    assert F.max_unpool2d(np.ones((1, 1, 2, 2)), small, (3, 2), (2, 1), (1, 0)).shape == (1, 1, 3, 3)


def test_of_several_values_in_one_place_the_last_stays():
    y = mv.Tensor(np.array([[[1.0, 2.0, 3.0]]]), requires_grad=True)
    back = F.max_unpool1d(y, np.array([[[1, 1, 4]]]), 3, 1)
    np.testing.assert_array_equal(back.data, [[[0, 2, 0, 0, 3]]])
    np.testing.assert_array_equal(mv.grad(back.sum(), y).data, [[[0, 1, 1]]])


def test_nothing_to_unpool():
    assert F.max_unpool2d(np.empty((0, 3, 2, 2)), np.empty((0, 3, 2, 2), np.int64), 2).shape == (0, 3, 4, 4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda y, i: F.max_unpool2d(y, i, 2, output_size=(6, 4)), ValueError, "differ from .4, 4. by less than the stride"),
        (lambda y, i: F.max_unpool2d(y, i, 2, output_size=(4,)), ValueError, "should differ from .4, 4."),
        (lambda y, i: F.max_unpool2d(y, i, 2, padding=3), ValueError, r"the result would have size \(-2, -2\)"),
        (lambda y, i: F.max_unpool2d(y, i + 13, 2), ValueError, "indices should lie between 0 and 15, for a result of size"),
        (lambda y, i: F.max_unpool2d(y, i - 9, 2), ValueError, "indices should lie between 0 and 15"),
        (lambda y, i: F.max_unpool2d(y, i[:, :, :1], 2), mv.ShapeError, "input and indices should have the same shape"),
        (lambda y, i: F.max_unpool2d(y, i * 1.0, 2), mv.DtypeError, "indices should be integers"),
        (lambda y, i: F.max_unpool3d(y[0, 0], i[0, 0], 2), mv.ShapeError, r"max_unpool3d: input should be \(N, C, D, H, W\)"),
        (lambda y, i: F.max_unpool2d(y, i, 2, 2**62), MemoryError, r"takes \d+ bytes"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    y, indices = F.max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2, return_indices=True)
    with pytest.raises(error, match=message):
        call(y, indices)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_layers(axes):
    x = normal(2, 3, *(6, 4, 8)[:axes])
    pool, unpool = getattr(nn, f"MaxPool{axes}d")(2, return_indices=True), getattr(nn, f"MaxUnpool{axes}d")(2)
    twos, zeros = (2,) * axes, (0,) * axes
    assert repr(unpool) == f"MaxUnpool{axes}d(kernel_size={twos}, stride={twos}, padding={zeros})"
    y, indices = pool(x)
    np.testing.assert_array_equal(unpool(y, indices, x.shape), getattr(F, f"max_unpool{axes}d")(y, indices, 2))
