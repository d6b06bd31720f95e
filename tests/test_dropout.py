"""Dropout: what shares one draw, how often, what is kept of mean and variance, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minivision as mv
import minivision.functional as F
from minivision import nn


def dropped(function, shape: tuple[int, ...], p: float = 0.4) -> np.ndarray:
    """Where ones became zeros, after holding the others to 1 / (1 - p)."""
    mv.manual_seed(0)
    y = function(mv.Tensor(np.ones(shape)), p, True).data
    np.testing.assert_allclose(y[y != 0], 1.0 / (1.0 - p), rtol=1e-15)
    return y == 0


@pytest.mark.parametrize(
    ("function", "shape", "lead"),
    [
        (F.dropout, (60, 50), 2),
        (F.dropout1d, (60, 50, 3), 2),
        (F.dropout1d, (3000, 3), 1),
        (F.dropout2d, (60, 50, 2, 3), 2),
        (F.dropout2d, (60, 50, 3), 2),
        (F.dropout3d, (60, 50, 2, 1, 2), 2),
        (F.dropout3d, (3000, 2, 1, 2), 1),
        (F.drop_path, (3000, 2, 2), 1),
    ],
)
def test_what_shares_a_draw_and_how_often(function, shape, lead):
    """All behind the first `lead` axes falls together; before that each falls alone, with probability p."""
    zero = dropped(function, shape, 0.4)
    groups = zero.reshape(math.prod(shape[:lead]), -1)
    assert (groups.all(axis=1) == groups.any(axis=1)).all()
    n = len(groups)
    assert abs(groups[:, 0].mean() - 0.4) < 4.0 * math.sqrt(0.24 / n)
    alone = groups[:, 0].reshape(shape[:lead])
    assert 0 < alone[0].sum() < alone[0].size or lead == 1


def test_the_gradient_goes_where_the_value_went():
    x = mv.Tensor(np.random.default_rng(1).standard_normal((4, 6, 3)), requires_grad=True)
    y = F.dropout1d(x, 0.5)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.data, y.data / x.data)


def test_alpha_dropout_keeps_mean_and_variance():
    """Klambauer et al. 2017, section 3: dropped elements go to selu's floor, then mean 0 and variance 1 are restored."""
    mv.manual_seed(0)
    n, p = 400_000, 0.3
    x = np.random.default_rng(2).standard_normal(n)
    y = F.alpha_dropout(x, p, training=True)
    assert abs(y.mean()) < 4.0 / math.sqrt(n)
    assert abs(y.var() - 1.0) < 0.01
    values, counts = np.unique(y, return_counts=True)
    assert abs(counts.max() / n - p) < 4.0 * math.sqrt(p * (1.0 - p) / n)
    assert values[counts.argmax()] < -1.0
    assert F.alpha_dropout(x, p) is x
    assert not F.alpha_dropout(x, 1.0, training=True).any()


def test_drop_path_without_scaling():
    mv.manual_seed(0)
    y = F.drop_path(np.ones((100, 2)), 0.5, True, scale_by_keep=False)
    assert set(np.unique(y)) == {0.0, 1.0}


@pytest.mark.parametrize("function", [F.dropout, F.alpha_dropout, F.drop_path])
@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_a_probability_lies_between_0_and_1(function, p):
    with pytest.raises(ValueError, match=r"lies in \[0, 1\]"):
        function(np.ones((2, 2)), p, True)


@pytest.mark.parametrize(
    ("function", "axes"),
    [(F.dropout1d, 1), (F.dropout1d, 4), (F.dropout2d, 2), (F.dropout2d, 5), (F.dropout3d, 3), (F.dropout3d, 6)],
)
def test_channels_need_the_right_number_of_axes(function, axes):
    with pytest.raises(ValueError, match=f"{function.__name__}: the input should have"):
        function(np.ones((2,) * axes), 0.5)


LAYERS = [
    (nn.Dropout(0.2), "Dropout(p=0.2, inplace=False)", (8, 8)),
    (nn.Dropout1d(), "Dropout1d(p=0.5, inplace=False)", (8, 8, 3)),
    (nn.Dropout2d(0.3), "Dropout2d(p=0.3, inplace=False)", (8, 8, 2, 2)),
    (nn.Dropout3d(inplace=True), "Dropout3d(p=0.5, inplace=True)", (8, 8, 2, 2, 2)),
    (nn.AlphaDropout(0.1), "AlphaDropout(p=0.1, inplace=False)", (8, 8)),
    (nn.DropPath(0.1), "DropPath(drop_prob=0.100)", (64, 2)),
    (nn.DropPath(0.1, scale_by_keep=False), "DropPath(drop_prob=0.100)", (64, 2)),
]


@pytest.mark.parametrize(("layer", "text", "shape"), LAYERS, ids=[text for _, text, _ in LAYERS])
def test_layers_drop_in_training_alone(layer, text, shape):
    x = mv.Tensor(np.ones(shape, np.float32))
    mv.manual_seed(0)
    assert layer.eval()(x) is x
    y = layer.train()(x)
    assert (y.data != x.data).any()
    assert y.dtype == np.float32
    assert repr(layer) == text
    mv.manual_seed(0)
    np.testing.assert_array_equal(layer(x).data, y.data)
