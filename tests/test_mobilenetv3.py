"""MobileNetV3's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision import functional as F
from minivision.models.mobilenetv2 import make_divisible
from minivision.models.mobilenetv3 import Block, Row, SqueezeExcitation


def test_h_swish_is_farthest_from_swish_at_3_on_either_side():
    """|h-swish - swish| <= 3 (1 - sigmoid(3)), reached at -3 and 3 alone."""
    x = np.linspace(-12.0, 12.0, 24001)
    gap = np.abs(F.hardswish(x) - F.silu(x))
    bound = 3.0 / (1.0 + math.exp(3.0))
    assert round(bound, 5) == 0.14228
    np.testing.assert_allclose(gap.max(), bound, rtol=1e-12)
    np.testing.assert_allclose(np.sort(np.abs(x[np.argsort(gap)[-2:]])), [3.0, 3.0])


def test_h_swish_is_nothing_below_minus_3_and_the_identity_above_3():
    low, high = np.linspace(-20.0, -3.0, 99), np.linspace(3.0, 20.0, 99)
    np.testing.assert_array_equal(F.hardswish(low), 0.0 * low)
    np.testing.assert_allclose(F.hardswish(high), high, rtol=4e-16)


def test_squeeze_and_excitation_narrows_to_a_quarter_in_multiples_of_8():
    for name in ("mobilenet_v3_large", "mobilenet_v3_small"):
        found = [each for _, each in mv.create_model(name).named_modules() if isinstance(each, SqueezeExcitation)]
        assert len(found) == (8 if name.endswith("large") else 9)
        assert all(each.fc1.out_channels == make_divisible(each.fc1.in_channels / 4) for each in found)
    assert (SqueezeExcitation(72).fc1.out_channels, SqueezeExcitation(16).fc1.out_channels) == (24, 8)


def test_gates_lie_between_0_and_1_and_multiply_whole_channels():
    made = fill(SqueezeExcitation(16)).to(np.float64)
    x = mv.tensor(4.0 * noise("x", (2, 16, 5, 5)).astype(np.float64))
    gates = made.gates(x).numpy()
    assert gates.shape == (2, 16, 1, 1)
    assert gates.min() >= 0.0
    assert gates.max() <= 1.0
    np.testing.assert_array_equal(made(x).numpy(), x.numpy() * gates)


def test_squeeze_and_excitation_stands_behind_the_depthwise_activation():
    block = Block(8, Row(5, 24, 8, True, "hardswish", 1))
    assert [type(each).__name__ for each in block.block] == ["ConvNorm", "ConvNorm", "SqueezeExcitation", "ConvNorm"]
    assert [each.activation for each in block.block if not isinstance(each, SqueezeExcitation)] == ["hardswish", "hardswish", ""]
    assert block.block[1][0].kernel_size == (5, 5)


def test_the_tail_computes_for_one_pixel_what_was_computed_for_49():
    """Section 5.1: the layer to 1280 channels, before pooling and after it."""
    rows = {row.path: row for row in mv.profile(mv.create_model("mobilenet_v3_large"), (3, 224, 224)).rows}
    assert rows["features.16"].output[-2:] == (7, 7)
    before = mv.profile(mv.nn.Conv2d(960, 1280, 1), (960, 7, 7)).macs
    assert before == 49 * rows["classifier.0"].macs


def test_the_stem_has_16_filters_and_the_norms_their_own_constants():
    model = mv.create_model("mobilenet_v3_large")
    assert model.features[0][0].out_channels == 16
    assert {(each.eps, each.momentum) for _, each in model.named_modules() if isinstance(each, mv.nn.BatchNorm2d)} == {
        (1e-3, 0.01)
    }


def test_a_width_that_makes_no_network_is_refused():
    with pytest.raises(ValueError, match=r"width multiplies the channels and is above 0, got 0"):
        mv.create_model("mobilenet_v3_small", width=0)
