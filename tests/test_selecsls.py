"""SelecSLS's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision.models.selecsls import ConvNormReLU, SelecSLSBlock

NAMES = ["selecsls42b", "selecsls60", "selecsls60b", "selecsls_digits"]


@pytest.mark.parametrize("name", NAMES)
def test_the_long_skip_is_always_the_output_of_the_stage_s_first_block(name):
    """Seen where blocks are called: none for a stage's first, and for each later one the very same Tensor."""
    model, calls = fill(mv.create_model(name, num_classes=0)).eval(), []
    for block in model.features:
        block.register_forward_hook(lambda block, args, y: calls.append((args[1], y)))
    with mv.no_grad():
        model(mv.tensor(noise("x", (1, model.config.in_chans, 64, 64))))
    at = 0
    for _, widths in model.config.stages:
        skips, outputs = zip(*calls[at : at + len(widths)], strict=True)
        assert all(skip is outputs[0] for skip in skips[1:])
        at += len(widths)
    assert at == len(calls)
    assert [block.skip for block in model.features] == [w[0] * (i > 0) for _, w in model.config.stages for i in range(len(w))]


@pytest.mark.parametrize("name", NAMES)
def test_the_last_convolution_sees_twice_the_chain_and_the_skip(name):
    """2 middle (+ skip) channels, whatever comes in."""
    model = mv.create_model(name)
    middles = [middle for middle, widths in model.config.stages for _ in widths]
    for block, middle in zip(model.features, middles, strict=True):
        assert block.conv6[0].in_channels == 2 * middle + block.skip
        assert [c[0].out_channels for c in (block.conv1, block.conv3, block.conv5)] == [middle, middle // 2, middle // 2]


def test_a_block_joins_its_first_third_and_fifth_map_and_the_skip():
    block = fill(SelecSLSBlock(6, 5, 8, 7, 1).to(np.float64)).eval()
    x, skip = (mv.tensor(noise(name, (2, c, 6, 6)).astype(np.float64)) for name, c in (("x", 6), ("skip", 5)))
    first = block.conv1(x)
    third = block.conv3(block.conv2(first))
    fifth = block.conv5(block.conv4(third))
    parts = np.split(block.joined(x, skip).numpy(), np.cumsum([8, 4, 4]), axis=1)
    for part, wanted in zip(parts, (first, third, fifth, skip), strict=True):
        np.testing.assert_array_equal(part, wanted.numpy())


def test_the_1x1_of_what_is_joined_is_a_sum_over_what_is_joined():
    """W [a; b; ...] = W_a a + W_b b + ...: so a block whose columns for the skip are 0 is the block without it."""
    block = fill(SelecSLSBlock(6, 5, 8, 7, 2).to(np.float64)).eval()
    plain = SelecSLSBlock(6, 0, 8, 7, 2).to(np.float64).eval()
    state = block.state_dict()
    state["conv6.0.weight"] = state["conv6.0.weight"][:, :16]
    plain.load_state_dict(state)
    x, skip = (mv.tensor(noise(name, shape).astype(np.float64)) for name, shape in (("x", (2, 6, 6, 6)), ("s", (2, 5, 3, 3))))
    assert np.abs(block(x, skip).numpy() - plain(x).numpy()).max() > 1e-3
    block.load_state_dict(
        {**block.state_dict(), "conv6.0.weight": np.pad(state["conv6.0.weight"], ((0, 0), (0, 5), (0, 0), (0, 0)))}
    )
    np.testing.assert_allclose(block(x, skip).numpy(), plain(x).numpy(), rtol=0, atol=1e-13)


def test_the_long_skip_carries_the_gradient_past_a_chain_that_is_shut():
    """A later block whose chain gives zeros still passes a gradient back, through the skip alone."""
    first, later = fill(mv.create_model("selecsls_digits").to(np.float64)).eval().features[:2]
    mv.nn.init.zeros_(later.conv1[1].weight)
    mv.nn.init.zeros_(later.conv1[1].bias)
    x = mv.tensor(noise("x", (1, 32, 8, 8)).astype(np.float64), requires_grad=True)
    sizes = []
    for skip in (first(x), first(x).detach()):
        (dx,) = mv.grad(later(first(x), skip).sum(), [x])
        sizes.append(np.abs(dx.numpy()).max())
    assert sizes[0] > 1e-3
    assert sizes[1] == 0.0


@pytest.mark.parametrize(("side", "stride"), [(7, 1), (7, 2), (8, 2), (1, 2)])
def test_a_side_is_divided_and_rounded_up(side, stride):
    y = ConvNormReLU(3, 4, 3, stride)(mv.tensor(noise("x", (2, 3, side, side))))
    assert y.shape == (2, 4, -(-side // stride), -(-side // stride))


def test_maps_are_the_last_of_each_stride():
    info = mv.create_model("selecsls60", features_only=True).feature_info
    assert [tuple(each) for each in info] == [
        ("stem.2", 32, 2), ("features.1", 128, 4), ("features.4", 288, 8), ("features.8", 416, 16),
        ("head.1", 1024, 32), ("head.3", 1280, 64),
    ]  # fmt: skip


def test_the_official_layout_loads():
    """Its classifier is called classifier.0; nothing else differs."""
    model = fill(mv.create_model("selecsls_digits"))
    official = {key.replace("fc.", "classifier.0."): value for key, value in model.state_dict().items()}
    assert "classifier.0.weight" in official
    other = mv.create_model("selecsls_digits")
    mv.load_weights(other, official)
    x = mv.tensor(noise("x", (2, 1, 8, 8)))
    np.testing.assert_array_equal(other.eval()(x).numpy(), model.eval()(x).numpy())


def test_without_long_skips_only_the_last_convolutions_shrink():
    """By (outputs x skip) weights in each block that had one."""
    model, plain = (mv.create_model("selecsls60", long_skip=each) for each in (True, False))
    fewer = sum(block.skip * block.conv6[0].out_channels for block in model.features)
    assert not any(block.skip for block in plain.features)
    whole, rest = (sum(math.prod(p.shape) for p in each.parameters()) for each in (model, plain))
    assert whole - rest == fewer > 0


@pytest.mark.parametrize(
    ("wrong", "told"), [({"strides": (1,)}, "as many as the stages"), ({"stages": ((7, (8,)), (8, (8,)))}, r"even, got \[7\]")]
)
def test_a_configuration_that_makes_no_network_is_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        mv.create_model("selecsls_digits", **wrong)
