"""Layers against their formulas, written once more in plain float64 NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minivision as mv
from minivision import nn


def normal(*shape):
    return np.random.default_rng(5).standard_normal(shape)


def run(layer, x):
    """The layer's output in float64."""
    return layer.double()(mv.Tensor(x)).data


def phi(x):
    return 0.5 * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))


POINTWISE = {
    "GELU": (nn.GELU(), lambda x: x * phi(x)),
    "GELU tanh": (nn.GELU(approximate="tanh"), lambda x: x / (1 + np.exp(-2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    "ReLU": (nn.ReLU(), lambda x: np.where(x > 0, x, 0)),
    "SiLU": (nn.SiLU(), lambda x: x / (1 + np.exp(-x))),
    "Sigmoid": (nn.Sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
    "Tanh": (nn.Tanh(), lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))),
    "Softmax": (nn.Softmax(dim=1), lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)),
    "Identity": (nn.Identity(3, unused=True), lambda x: x),
    "Flatten": (nn.Flatten(), lambda x: x.reshape(4, 30)),
    "Flatten 0 to 1": (nn.Flatten(0, 1), lambda x: x.reshape(20, 6)),
}  # fmt: skip


@pytest.mark.parametrize("name", POINTWISE)
def test_layers_without_parameters(name):
    layer, formula = POINTWISE[name]
    x = 2.0 * normal(4, 5, 6)
    np.testing.assert_allclose(run(layer, x), formula(x), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("bias", [True, False])
def test_linear(bias):
    layer, x = nn.Linear(6, 3, bias=bias), normal(2, 4, 6)
    y = run(layer, x)
    expected = np.einsum("...i,oi->...o", x, layer.weight.data) + (layer.bias.data if bias else 0.0)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-14)
    assert (layer.bias is None) == (not bias)


@pytest.mark.parametrize("shape", [6, (6,), (4, 6)])
def test_layer_norm(shape):
    layer, x = nn.LayerNorm(shape, eps=0.5), normal(2, 4, 6)
    layer.load_state_dict({"weight": normal(*layer.normalized_shape), "bias": normal(*layer.normalized_shape) + 1.0})
    y = run(layer, x)
    axes = tuple(range(3 - len(layer.normalized_shape), 3))
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 0.5) * layer.weight.data + layer.bias.data, rtol=1e-12, atol=1e-13)


def test_layer_norm_without_weight_or_bias():
    assert nn.LayerNorm(6, bias=False).bias is None
    layer = nn.LayerNorm(6, elementwise_affine=False)
    assert not list(layer.parameters())
    np.testing.assert_allclose(run(layer, normal(50, 6)).std(-1), np.ones(50), rtol=1e-3)


def test_embedding_takes_rows_and_adds_up_their_gradients():
    layer, index = nn.Embedding(5, 3), np.array([[1, 4], [1, 0]])
    y = layer(index)
    np.testing.assert_array_equal(y.data, layer.weight.data[index])
    np.testing.assert_array_equal(layer(mv.Tensor(index)).data, y.data)
    y.sum().backward()
    np.testing.assert_array_equal(layer.weight.grad.data, np.array([1, 2, 0, 0, 1])[:, None] * np.ones(3))
    with pytest.raises(mv.ShapeError, match="out of bounds"):
        layer(np.array([5]))


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    mv.manual_seed(0)
    n, p = 4000, 0.3
    x = normal(n, 3, 2).astype(np.float32)
    ratio = nn.DropPath(p)(mv.Tensor(x)).data / x
    kept = ratio[:, 0, 0] != 0
    np.testing.assert_allclose(ratio, np.broadcast_to(np.where(kept, 1 / (1 - p), 0.0)[:, None, None], ratio.shape), rtol=1e-6)
    assert abs(kept.mean() - (1 - p)) < 4 * math.sqrt(p * (1 - p) / n)
    assert ratio.dtype == np.float32


def test_dropout_drops_single_elements_and_keeps_the_mean():
    mv.manual_seed(0)
    n, p = 100, 0.25
    y = nn.Dropout(p)(mv.Tensor(np.ones((n, n)))).data
    assert set(np.unique(y)) == {0.0, 1.0 / (1.0 - p)}
    assert abs((y > 0).mean() - (1 - p)) < 4 * math.sqrt(p * (1 - p) / n**2)
    assert 0 < (y[0] > 0).sum() < n


@pytest.mark.parametrize("kind", [nn.Dropout, nn.DropPath])
def test_dropping_at_the_ends_and_in_evaluation(kind):
    x = mv.Tensor(normal(3, 4))
    assert kind(0.9).eval()(x) is x
    assert kind(0.0)(x) is x
    assert not kind(1.0)(x).data.any()
    with pytest.raises(ValueError, match=r"lies in \[0, 1\], got 1.5"):
        kind(1.5)


@pytest.mark.parametrize("kind", [nn.Dropout, nn.DropPath])
def test_dropping_repeats_with_the_seed(kind):
    def once(seed):
        mv.manual_seed(seed)
        return kind(0.5)(mv.Tensor(np.ones((64, 1)))).data

    assert (once(1) == once(1)).all()
    assert not (once(1) == once(2)).all()
