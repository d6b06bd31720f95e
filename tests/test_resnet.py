"""ResNet's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision import functional as F
from minivision.models.resnet import BasicBlock, Bottleneck, ResNetConfig


def block(kind, inputs, width, stride, **options):
    """One block with its state by rule."""
    return fill(kind(inputs, width, stride, ResNetConfig("basic", (1,), (width,), **options)).to(np.float64))


@pytest.mark.parametrize(
    ("kind", "inputs", "stride"), [(BasicBlock, 8, 1), (Bottleneck, 32, 1), (BasicBlock, 6, 2), (Bottleneck, 6, 2)]
)
def test_a_branch_that_ends_in_zeros_leaves_the_shortcut(kind, inputs, stride):
    """With the last norm's scale and shift at 0 a block is ReLU(shortcut), whatever its other weights are."""
    made = block(kind, inputs, 8, stride)
    last = made.bn2 if kind is BasicBlock else made.bn3
    mv.nn.init.zeros_(last.weight)
    mv.nn.init.zeros_(last.bias)
    x = mv.tensor(noise("x", (2, inputs, 6, 6)).astype(np.float64))
    np.testing.assert_array_equal(made(x).numpy(), F.relu(made.downsample(x)).numpy())
    assert np.abs(made.branch(x).numpy()).max() == 0.0


def test_the_gradient_reaches_a_block_unchanged():
    """d<y, c>/dx of x + F(x) is c + (dF/dx)^T c: without the ReLU after the sum, as in the identity mappings of 1603.05027."""
    made = block(BasicBlock, 8, 8, 1)
    x = mv.tensor(noise("x", (2, 8, 6, 6)).astype(np.float64), requires_grad=True)
    c = mv.tensor(noise("c", (2, 8, 6, 6)).astype(np.float64))
    (whole,), (branch,) = mv.grad(x + made.branch(x), [x], c), mv.grad(made.branch(x), [x], c)
    np.testing.assert_allclose((whole - branch).numpy(), c.numpy(), atol=1e-12)


def test_option_a_has_no_parameters_and_keeps_every_second_pixel():
    made = block(BasicBlock, 4, 8, 2, stem="cifar")
    x = noise("x", (2, 4, 6, 6))
    y = made.downsample(mv.tensor(x)).numpy()
    np.testing.assert_array_equal(y, np.concatenate([x[:, :, ::2, ::2], np.zeros((2, 4, 3, 3), np.float32)], axis=1))
    assert list(made.downsample.parameters()) == []


def test_a_plain_network_is_the_residual_one_without_its_shortcuts():
    """Same entries for CIFAR, and of a block the branch alone."""
    plain, residual = (mv.create_model("resnet20", residual=each) for each in (False, True))
    assert list(plain.state_dict()) == list(residual.state_dict())
    made = block(BasicBlock, 8, 8, 1, residual=False)
    x = mv.tensor(noise("x", (2, 8, 6, 6)).astype(np.float64))
    np.testing.assert_array_equal(made(x).numpy(), F.relu(made.branch(x)).numpy())


def test_section_4_2_has_the_sizes_of_table_6():
    """0.27 and 0.85 million parameters for 20 and 56 layers."""
    counts = [sum(math.prod(p.shape) for p in mv.create_model(name).parameters()) for name in ("resnet20", "resnet56")]
    assert [round(count / 1e6, 2) for count in counts] == [0.27, 0.85]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"block": "wide"}, "block is one of basic, bottleneck, got 'wide'"),
        ({"stem": "x"}, "stem is one of"),
        ({"depths": (1,)}, "as many as"),
    ],
)
def test_a_configuration_that_makes_no_network_is_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        mv.create_model("resnet18", **wrong)


def test_maps_come_by_index_and_load_the_whole_model_s_checkpoint():
    whole = fill(mv.create_model("resnet20"))
    maps = mv.create_model("resnet20", features_only=True, out_indices=(1, -1))
    maps.load_state_dict(whole.state_dict())
    assert [(each.module, each.channels, each.stride) for each in maps.feature_info] == [("layer1", 16, 1), ("layer3", 64, 4)]
    x = mv.tensor(noise("input", (1, 3, 32, 32)))
    with mv.no_grad():
        np.testing.assert_array_equal(maps.eval()(x)[-1].numpy(), whole.eval().forward_features(x).numpy())


@pytest.mark.parametrize("wrong", [(5,), (-6,), ()])
def test_maps_that_are_not_there_are_refused_with_those_that_are(wrong):
    with pytest.raises(ValueError, match=r"some of ResNet's maps \{0: bn1 \(stride 2\), 1: layer1"):
        mv.create_model("resnet18", features_only=True, out_indices=wrong)


def test_what_has_no_maps_says_so():
    with pytest.raises(TypeError, match="VisionTransformer has no maps"):
        mv.create_model("vit_digits", features_only=True)
    with pytest.raises(TypeError, match="goes with features_only=True"):
        mv.create_model("resnet18", out_indices=(1,))
