"""ShuffleNet v2's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision import functional as F
from minivision.models.shufflenet_v2 import DownUnit, Unit


def unit(made, shape, seed="x"):
    """A unit with its state by rule in evaluation, and an input that takes a gradient."""
    return fill(made.double()).eval(), mv.tensor(noise(seed, shape).astype(np.float64), requires_grad=True)


@pytest.mark.parametrize(("channels", "groups"), [(12, 2), (12, 3), (12, 4), (12, 12), (7, 1), (464, 2)])
def test_a_shuffle_is_a_permutation_and_the_other_shuffle_its_inverse(channels, groups):
    x = np.arange(channels, dtype=np.float64).reshape(1, channels, 1, 1)
    shuffled = F.channel_shuffle(x, groups)
    assert sorted(shuffled.ravel()) == list(range(channels))
    np.testing.assert_array_equal(F.channel_shuffle(shuffled, channels // groups), x)


def test_half_of_the_channels_pass_a_unit_of_stride_1_untouched():
    """They are the even ones of what comes out."""
    made, x = unit(Unit(8), (2, 8, 5, 5))
    np.testing.assert_array_equal(made(x).numpy()[:, ::2], x.numpy()[:, :4])


def crossing(shuffle):
    """Which of the 8 inputs reach each of the 8 outputs of two units, one after the other."""
    (first, x), (second, _) = (unit(Unit(8, shuffle), (1, 8, 3, 3)) for _ in range(2))
    y = second(first(x))
    rows = [mv.grad(y[:, i].sum(), [x], retain_graph=True)[0].numpy() for i in range(8)]
    return np.abs(rows).sum((1, 3, 4)) > 0  # (8, 8)


def test_without_the_shuffle_no_gradient_goes_from_one_half_to_the_other():
    np.testing.assert_array_equal(crossing(False)[:4], np.eye(8, dtype=bool)[:4])
    assert not crossing(False)[4:, :4].any()
    assert crossing(True)[1::2, 2:].all()  # the second unit works on all of the half that was worked on, and half of the other


def test_a_unit_of_stride_2_halves_the_side_and_uses_all_channels():
    made, x = unit(DownUnit(6, 10), (2, 6, 7, 8))
    y = made(x)
    assert y.shape == (2, 10, 4, 4)
    (dx,) = mv.grad(y[:, ::2].sum(), [x])
    assert (np.abs(dx.numpy()).sum((0, 2, 3)) > 0).all()


def test_the_depthwise_convolution_has_no_activation_behind_it():
    kinds = [type(layer).__name__ for layer in Unit(8).branch2]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "Conv2d", "BatchNorm2d", "ReLU"]


def test_other_channels_sizes_and_no_head():
    model = mv.create_model("shufflenet_v2_digits", in_chans=3, num_classes=0, img_size=9).eval()
    assert model(mv.zeros((2, 3, 9, 9))).shape == (2, model.feature_info[-1].channels)
    assert [each.stride for each in model.feature_info] == [1, 2, 4]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"stem": "x"}, "stem is one of imagenet, small, got 'x'"),
        ({"depths": (1, 1)}, "each stage of depths"),
        ({"widths": (8, 9, 8, 8, 8)}, "an even number"),
    ],
)
def test_a_configuration_that_makes_no_network_is_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        replace(mv.models.entry("shufflenet_v2_x1_0").config, **wrong)
