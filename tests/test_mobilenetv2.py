"""MobileNetV2's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision import functional as F
from minivision.models.mobilenetv2 import ConvNorm, InvertedResidual, has_shortcut, make_divisible


def test_a_shortcut_stands_at_stride_1_and_equal_channels_alone():
    assert [has_shortcut(8, 8, 1), has_shortcut(8, 8, 2), has_shortcut(8, 16, 1), has_shortcut(8, 16, 2)] == [True] + [False] * 3
    model = mv.create_model("mobilenet_v2")
    blocks = [each for each in model.features if isinstance(each, InvertedResidual)]
    assert sum(each.shortcut for each in blocks) == 10  # of 17: the first of each of 7 stages changes the shape
    assert len(blocks) == 17


def test_a_block_expands_by_6_and_projects_linearly():
    """A projection doubled doubles the block's branch, sign and all: nothing follows it."""
    block = fill(InvertedResidual(4, 6, 1, 6)).to(np.float64).eval()
    expand, depthwise, project, norm = block.conv
    assert (expand[0].out_channels, depthwise[0].groups, project.in_channels) == (24, 24, 24)
    x = mv.tensor(noise("x", (2, 4, 5, 5)).astype(np.float64))
    hidden = depthwise(expand(x))
    assert (hidden.numpy().min(), hidden.numpy().max() <= 6.0) == (0.0, True)
    np.testing.assert_array_equal(block(x).numpy(), norm(project(hidden)).numpy())
    assert block(x).numpy().min() < 0.0


def test_the_shortcut_adds_the_input():
    block = fill(InvertedResidual(4, 4, 1, 6)).to(np.float64).eval()
    x = mv.tensor(noise("x", (2, 4, 5, 5)).astype(np.float64))
    with_it = block(x).numpy()
    block.shortcut = False
    np.testing.assert_allclose(with_it - block(x).numpy(), x.numpy(), atol=1e-13)


def test_the_cost_is_that_of_section_3():
    """h w d' t (d' + k^2 + d'')."""
    counted = mv.profile(InvertedResidual(8, 12, 1, 6), (8, 7, 7)).macs
    assert counted == 7 * 7 * 8 * 6 * (8 + 9 + 12)


@pytest.mark.parametrize(
    ("channels", "divisor", "wanted"),
    [(1, 8, 8), (12, 8, 16), (11.9, 8, 16), (20, 8, 24), (18, 8, 24), (33, 8, 32), (36, 8, 40), (84, 8, 88), (100, 10, 100)],
)
def test_channels_are_rounded_to_multiples_that_lose_less_than_a_tenth(channels, divisor, wanted):
    found = make_divisible(channels, divisor)
    assert found == wanted
    assert found % divisor == 0
    assert found >= 0.9 * channels


@pytest.mark.parametrize("activation", ["", "relu", "relu6", "hardswish"])
def test_a_convolution_with_its_norm_is_the_three_one_after_the_other(activation):
    """The fused pass computes what the parts do."""
    made = fill(ConvNorm(4, 6, 3, 2, activation=activation)).to(np.float64).train()
    x = mv.tensor(noise("x", (2, 4, 5, 5)).astype(np.float64))
    y = F.batch_norm(F.conv2d(x, made[0].weight, stride=2, padding=1), None, None, made[1].weight, made[1].bias, training=True)
    wanted = getattr(F, activation)(y) if activation else y
    np.testing.assert_allclose(made(x).numpy(), wanted.numpy(), atol=1e-13)


def test_a_width_that_makes_no_network_is_refused():
    with pytest.raises(ValueError, match=r"width multiplies the channels and is above 0, got 0"):
        mv.create_model("mobilenet_v2", width=0)
