"""Attention as convolution: the exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision import functional as F
from minivision.models.attention_cnn import QuadraticAttention, convolution_as_attention

EPSILON = np.finfo(np.float64).eps


def numbers(name, *shape):
    """By rule, in float64."""
    return noise(name, shape).astype(np.float64)


def attended(x, weight, bias, alpha):
    """The heads of theorem 1 on images (B, C, H, W), which bring their zeros along, and what comes out inside."""
    around = weight.shape[2] // 2
    padded = np.pad(x, ((0, 0), (0, 0), (around, around), (around, around))).transpose(0, 2, 3, 1)
    y = convolution_as_attention(weight, bias, alpha)(mv.tensor(padded)).numpy()
    return y[:, around : y.shape[1] - around, around : y.shape[2] - around].transpose(0, 3, 1, 2)


def convolved(x, weight, bias):
    """The convolution itself."""
    return F.conv2d(mv.tensor(x), mv.tensor(weight), mv.tensor(bias), padding=weight.shape[2] // 2).numpy()


@pytest.mark.parametrize(("alpha", "least", "most"), [(1, 1, 100), (5, 0.05, 5), (20, 1e-8, 1e-6), (50, 0, 1e-13)])
def test_theorem_1_as_heads_sharpen(alpha, least, most):
    """3 x 3 on 7 x 7: the largest error falls with exp(-alpha), from the size of the result to rounding."""
    x, weight, bias = numbers("x", 2, 5, 7, 7), numbers("w", 6, 5, 3, 3), numbers("b", 6)
    error = np.abs(attended(x, weight, bias, alpha) - convolved(x, weight, bias)).max()
    outside = 9 * 2 * np.abs(weight).max() * 5 * np.abs(x).max() * 5 * np.exp(-alpha)  # 9 taps, 5 channels, 5 exp(-alpha) lost
    assert least <= error <= most
    assert error <= outside + 1000 * EPSILON or alpha < 3


@pytest.mark.parametrize("alpha", [10, 20])
def test_what_theorem_1_leaves_out_is_the_four_neighbours(alpha):
    """To first order in exp(-alpha) each tap reads its pixel and exp(-alpha) times the sum of (neighbour - pixel)."""
    x, weight = numbers("x", 1, 3, 7, 7), numbers("w", 4, 3, 3, 3)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    blurred = np.zeros_like(padded)
    for axis in (2, 3):  # outside of the zeros around the image there is no pixel to look at
        difference = np.moveaxis(np.diff(padded, axis=axis), axis, 0)
        np.moveaxis(blurred, axis, 0)[:-1] += difference
        np.moveaxis(blurred, axis, 0)[1:] -= difference
    wanted = np.exp(-alpha) * F.conv2d(mv.tensor(blurred), mv.tensor(weight)).numpy()
    found = attended(x, weight, None, alpha) - convolved(x, weight, np.zeros(4))
    assert np.abs(found - wanted).max() <= 10 * np.exp(-alpha) * np.abs(wanted).max() + 100 * EPSILON


@pytest.mark.parametrize("k", [1, 3, 5])
def test_any_filter_is_expressed(k):
    x, weight, bias = numbers("x", 2, 3, 6, 8), numbers("w", 4, 3, k, k), numbers("b", 4)
    np.testing.assert_allclose(attended(x, weight, bias, 60.0), convolved(x, weight, bias), rtol=0, atol=1e-13)


def test_what_is_no_such_filter_is_refused():
    with pytest.raises(ValueError, match=r"odd K, got \(2, 3, 4, 4\); pad the filter with zeros first"):
        convolution_as_attention(numbers("w", 2, 3, 4, 4))
    with pytest.raises(ValueError, match="alpha says how sharply a head looks and is above 0, got 0"):
        convolution_as_attention(numbers("w", 2, 3, 3, 3), alpha=0)
    with pytest.raises(ValueError, match="img_size is a positive multiple of patch_size 2, got 7"):
        mv.create_model("attention_cnn_digits", img_size=7)


@pytest.mark.parametrize("isotropic", [True, False])
def test_the_weights_are_a_gaussian_of_the_relative_position(isotropic):
    made = fill(QuadraticAttention(4, 4, 3, isotropic).to(np.float64))
    centers, spreads = made.attention_centers.numpy(), made.attention_spreads.numpy()
    inverse = [s * s * np.eye(2) if isotropic else s @ s.T for s in spreads]
    places = np.array([(y, x) for y in range(4) for x in range(5)], np.float64)
    away = places[None, None] - places[None, :, None] - centers[:, None, None]  # (heads, queries, keys, 2)
    p = np.exp(-0.5 * np.einsum("hqki,hij,hqkj->hqk", away, inverse, away))
    np.testing.assert_allclose(made.weights(4, 5).numpy(), p / p.sum(-1, keepdims=True), rtol=1e-12)


def test_away_from_the_border_it_is_translation_equivariant():
    """Heads of theorem 1 see three pixels far: the image moved by one pixel moves what comes out."""
    weight = numbers("w", 4, 3, 3, 3)
    layer, x = convolution_as_attention(weight), numbers("x", 1, 9, 9, 3)
    first, moved = layer(mv.tensor(x)).numpy(), layer(mv.tensor(np.roll(x, (1, 1), (1, 2)))).numpy()
    np.testing.assert_allclose(moved[:, 2:-2, 2:-2], first[:, 1:-3, 1:-3], atol=1e-12)


def test_the_repository_s_buffers_are_left_out():
    model = fill(mv.create_model("attention_cnn_digits"))
    state = {key: np.asarray(array) for key, array in model.state_dict().items()}
    buffers = {"attention_mask": np.ones(()), "encoder.layer.0.attention.self.R": np.zeros((2, 2, 2, 2, 5))}
    other = mv.create_model("attention_cnn_digits")
    mv.load_weights(other, {**state, **buffers})
    for key, array in other.state_dict().items():
        np.testing.assert_array_equal(array, state[key])


def test_dropout_acts_in_training_alone():
    model, x = mv.create_model("attention_cnn_digits", drop_rate=0.5), mv.tensor(numbers("x", 2, 1, 8, 8).astype(np.float32))
    assert np.abs(model.train()(x).numpy() - model(x).numpy()).max() > 0
    np.testing.assert_array_equal(model.eval()(x).numpy(), model(x).numpy())
