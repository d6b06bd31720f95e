"""Inception-ResNet-v2's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision import functional as F
from minivision.models.inception_resnet_v2 import block8, block17, block35
from minivision.models.inception_v4 import Layers

BLOCKS = pytest.mark.parametrize(("block", "width"), [(block35, 20), (block17, 68), (block8, 130)])


def made_with(block, width, scale):
    """A block of the paper's maps over 16 and an input for it, in float64."""
    return fill(block(Layers(16), scale)).to(np.float64).eval(), mv.tensor(noise("x", (2, width, 5, 4)).astype(np.float64))


@BLOCKS
def test_the_scale_folds_into_the_last_convolution(block, width):
    """s (W h + b) = (s W) h + s b: the scaled block is the plain one with another weight and bias."""
    scaled, x = made_with(block, width, 0.17)
    plain, _ = made_with(block, width, 1.0)
    for name in ("weight", "bias"):
        getattr(plain.conv2d, name).assign(0.17 * getattr(scaled.conv2d, name).numpy())
    np.testing.assert_allclose(plain(x).numpy(), scaled(x).numpy(), rtol=0, atol=1e-13)


@BLOCKS
def test_a_scale_of_zero_leaves_the_input(block, width):
    made, x = made_with(block, width, 0.0)
    np.testing.assert_array_equal(made(x).numpy(), F.relu(x).numpy())
    made.last = True
    np.testing.assert_array_equal(made(x).numpy(), x.numpy())


def test_forty_convolutions_have_a_bias_and_no_norm():
    """One in each residual module; all others are followed by a norm."""
    model = mv.create_model("inception_resnet_v2")
    biased = [name for name, module in model.named_modules() if isinstance(module, mv.nn.Conv2d) and module.bias is not None]
    assert len(biased) == sum(model.config.depths) + 1 == 40
    assert all(name.endswith(".conv2d") for name in biased)


def test_the_last_module_alone_is_unscaled_and_signed():
    model = mv.create_model("inception_resnet_v2")
    scales = [(each[0].scale, {module.scale for module in each}) for each in (model.repeat, model.repeat_1, model.repeat_2)]
    assert scales == [(0.17, {0.17}), (0.10, {0.10}), (0.20, {0.20})]
    assert (model.block8.scale, model.block8.last, model.repeat_2[-1].last) == (1.0, True, False)


def test_the_maps_of_the_paper_s_image_have_the_paper_s_sides():
    """299 to 35, 17 and 8 (figure 15)."""
    model = mv.create_model("inception_resnet_v2", features_only=True, narrow=16, depths=(1, 1, 1)).eval()
    with mv.no_grad():
        maps = model(mv.tensor(noise("x", (1, 3, 299, 299))))
    assert [y.shape[2] for y in maps] == [147, 71, 35, 17, 8]
    assert [16 * y.shape[1] for y in maps] == [64, 192, 320, 1088, 1536]
