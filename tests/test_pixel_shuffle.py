"""Channels into pixels and back, channels in another order: by their formulas, and as each other's inverse."""

from __future__ import annotations

import numpy as np
import pytest

import minivision as mv
import minivision.functional as F
from minivision import nn


def numbered(*shape):
    return np.arange(float(np.prod(shape))).reshape(shape)


@pytest.mark.parametrize("r", [1, 2, 3])
@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_pixel_shuffle(r, lead):
    x = numbered(*lead, 2 * r * r, 3, 4)
    expected = np.empty((*lead, 2, 3 * r, 4 * r))
    for c, h, w, i, j in np.ndindex(2, 3, 4, r, r):
        expected[..., c, h * r + i, w * r + j] = x[..., c * r * r + i * r + j, h, w]
    np.testing.assert_array_equal(F.pixel_shuffle(x, r), expected)
    np.testing.assert_array_equal(F.pixel_unshuffle(expected, r), x)


@pytest.mark.parametrize("sizes", [(), (5,), (2, 3), (2, 1, 2)])
def test_channel_shuffle(sizes):
    groups, each = 3, 2
    x = numbered(2, groups * each, *sizes)
    if not sizes:
        with pytest.raises(mv.ShapeError, match="at least 3 axes"):
            F.channel_shuffle(x, groups)
        return
    expected = np.stack([x[:, g * each + i] for i in range(each) for g in range(groups)], 1)
    np.testing.assert_array_equal(F.channel_shuffle(x, groups), expected)
    np.testing.assert_array_equal(F.channel_shuffle(expected, each), x)


@pytest.mark.parametrize("function", [F.pixel_shuffle, F.pixel_unshuffle, F.channel_shuffle])
def test_gradients_go_back_where_the_elements_came_from(function):
    x = mv.Tensor(numbered(2, 4, 2, 4), requires_grad=True)
    y = function(x, 2)
    y.backward(y.data)  # each element's cotangent is the element itself
    np.testing.assert_array_equal(x.grad.data, x.data)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: F.pixel_shuffle(x, 3), "pixel_shuffle: 8 channels cannot be split by upscale_factor 3"),
        (lambda x: F.pixel_shuffle(x, 0), "pixel_shuffle: upscale_factor must be at least 1, got 0"),
        (lambda x: F.pixel_shuffle(x[0, 0], 1), "pixel_shuffle: input should have at least 3 axes"),
        (lambda x: F.pixel_unshuffle(x, 2), "pixel_unshuffle: 3 rows cannot be split by downscale_factor 2"),
        (lambda x: F.pixel_unshuffle(x, 3), "pixel_unshuffle: 4 columns cannot be split by downscale_factor 3"),
        (lambda x: F.pixel_unshuffle(x, 2**62), "pixel_unshuffle: 3 rows cannot be split"),
        (lambda x: F.channel_shuffle(x, 3), "channel_shuffle: 8 channels cannot be split by groups 3"),
        (lambda x: F.channel_shuffle(x, -1), "channel_shuffle: groups must be at least 1, got -1"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((1, 8, 3, 4)))


def test_a_factor_is_a_whole_number():
    with pytest.raises(TypeError):
        F.pixel_shuffle(np.ones((1, 4, 1, 1)), 2.0)


@pytest.mark.parametrize(
    ("layer", "function", "text"),
    [
        (nn.PixelShuffle(2), F.pixel_shuffle, "PixelShuffle(upscale_factor=2)"),
        (nn.PixelUnshuffle(2), F.pixel_unshuffle, "PixelUnshuffle(downscale_factor=2)"),
        (nn.ChannelShuffle(2), F.channel_shuffle, "ChannelShuffle(groups=2)"),
    ],
)
def test_layers(layer, function, text):
    x = numbered(2, 4, 2, 6)
    np.testing.assert_array_equal(layer(mv.Tensor(x)).data, function(x, 2))
    assert repr(layer) == text
    assert not layer.state_dict()
