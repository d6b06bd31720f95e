"""Softmax and its logarithm: sums, shifts, axes, legal and illegal infinities."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minivision as mv
import minivision.functional as F
from minivision import kernels, nn
from minivision.backend import backend

BACKENDS = [
    "numpy",
    pytest.param("c", marks=pytest.mark.skipif(not kernels.AVAILABLE, reason=f"no kernels here: {kernels.REASON}")),
]
INF = math.inf


@pytest.mark.parametrize("by", BACKENDS)
@pytest.mark.parametrize("shape", [(3, 5), (2, 40), (2, 3, 4), (4, 33, 3)])
def test_probabilities_add_up_along_any_axis(shape, by):
    x = np.random.default_rng(0).standard_normal(shape) * 5.0
    for axis in range(-len(shape), len(shape)):
        with backend(by):
            p, log_p = F.softmax(x, axis), F.log_softmax(x, axis)
        np.testing.assert_allclose(p.sum(axis=axis), 1.0, rtol=1e-14)
        np.testing.assert_allclose(np.exp(log_p), p, rtol=1e-13)
        assert np.array_equal(np.argmax(p, axis), np.argmax(x, axis))


@pytest.mark.parametrize("by", BACKENDS)
def test_a_constant_changes_nothing_however_large(by):
    x = np.arange(40.0).reshape(2, 20)
    with backend(by):
        np.testing.assert_allclose(F.softmax(x + 1e6), F.softmax(x), rtol=1e-12)
        np.testing.assert_allclose(F.log_softmax(x - 1e6), F.log_softmax(x), rtol=1e-12)


@pytest.mark.parametrize("by", BACKENDS)
@pytest.mark.parametrize("width", [3, 50])
def test_infinite_logits(width, by):
    """-inf has probability 0; a row of nothing else, or with +inf or NaN in it, is NaN throughout."""
    x = np.zeros((5, width))
    x[0, 0], x[1], x[2, 1], x[3, 2] = -INF, -INF, INF, np.nan
    with np.errstate(all="ignore"), backend(by):
        p, log_p = F.softmax(x), F.log_softmax(x)
    assert p[0, 0] == 0.0
    assert log_p[0, 0] == -INF
    np.testing.assert_allclose(p[0, 1:], 1 / (width - 1), rtol=1e-15)
    np.testing.assert_allclose(p[4], 1 / width, rtol=1e-15)
    assert np.isnan(p[1:4]).all()
    assert np.isnan(log_p[1]).all()
    assert np.isnan(log_p[2, 1])
    assert np.isnan(log_p[3]).all()


@pytest.mark.parametrize("by", BACKENDS)
def test_a_masked_class_gets_no_gradient(by):
    x = mv.tensor(np.array([[0.0, -INF, 1.0]]), requires_grad=True)
    with backend(by):
        F.softmax(x)[0, 2].backward()
    p = 1 / (1 + math.exp(-1.0))
    np.testing.assert_allclose(x.grad.data, [[-p * (1 - p), 0.0, p * (1 - p)]], rtol=1e-15)


def test_methods_layers_and_scalars():
    x = mv.tensor(np.array([[1.0, 2.0], [3.0, 5.0]]))
    np.testing.assert_array_equal(x.softmax(0).data, F.softmax(x, 0).data)
    np.testing.assert_array_equal(x.log_softmax(dim=1).data, F.log_softmax(x, 1).data)
    np.testing.assert_array_equal(nn.Softmax(dim=0)(x).data, F.softmax(x, 0).data)
    assert F.softmax(mv.tensor(3.0)).item() == 1.0
    assert F.log_softmax(mv.tensor(3.0)).item() == 0.0
    assert F.softmax(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("by", BACKENDS)
def test_an_axis_that_is_not_there_is_named(by):
    with backend(by), pytest.raises(mv.ShapeError, match=r"softmax(.|\n)*x \(2, 3\)"):
        F.softmax(mv.tensor(np.zeros((2, 3))), 2)
