"""Swin v2's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision.models.swin_v2 import Block, PatchMerging, SwinV2Config, WindowAttention, log_spaced

ONE = SwinV2Config(8, (2,), (2,), window_size=4, patch_size=1, img_size=8, in_chans=1)


def filled(module):
    """In float64, its state by rule."""
    return fill(module).to(np.float64)


def windows(*shape):
    """Patches of windows (B nW, N, C)."""
    return mv.tensor(noise("map", shape).astype(np.float64))


def scaled_rows(attention, part, by):
    """The layer with its queries (part 0) or keys (1) `by` times as long."""
    state = attention.state_dict()
    width = len(state["q_bias"])
    state["qkv.weight"][part * width : (part + 1) * width] *= by
    state["q_bias"] *= by if part == 0 else 1.0
    attention.load_state_dict(state)


@pytest.mark.parametrize("part", [0, 1])
def test_attention_does_not_change_with_the_length_of_queries_or_keys(part):
    attention, x = filled(WindowAttention(ONE, 0, (4, 4))), windows(3, 16, 8)
    before = attention(x).numpy()
    scaled_rows(attention, part, 7.3)
    np.testing.assert_allclose(attention(x).numpy(), before, rtol=0, atol=1e-14)
    scaled_rows(attention, part, -1.0)
    assert np.abs(attention(x).numpy() - before).max() > 0.01


def test_scores_are_cosines_over_tau_and_tau_is_above_one_hundredth():
    attention = filled(WindowAttention(ONE, 0, (4, 4)))
    q, k = (noise(name, (1, 1, 2, 16, 4)).astype(np.float64) for name in "qk")
    tau = (0.5, 1e-6)
    attention.logit_scale.assign(-np.log(np.array(tau)).reshape(2, 1, 1))
    a, b = attention.scaled(mv.tensor(q), mv.tensor(k))
    found = (a @ b.transpose(-2, -1)).numpy()
    cos = np.einsum("...id,...jd->...ij", q, k) / (
        np.linalg.norm(q, axis=-1)[..., None] * np.linalg.norm(k, axis=-1)[..., None, :]
    )
    np.testing.assert_allclose(found, cos / np.maximum(tau, 0.01).reshape(2, 1, 1), rtol=1e-12)
    attention(windows(1, 16, 8)).sum().backward()
    assert (attention.logit_scale.grad.numpy().ravel() != 0.0).tolist() == [True, False]


def test_keys_have_no_bias():
    bias = filled(WindowAttention(ONE, 0, (4, 4))).qkv_bias().numpy()
    assert not bias[8:16].any()
    assert bias[:8].all()
    assert bias[16:].all()
    assert WindowAttention(SwinV2Config(8, (2,), (2,), qkv_bias=False), 0, (4, 4)).qkv_bias() is None


# ------------------------------------------------------------------------------------------------- continuous bias


def test_displacements_are_spaced_by_their_logarithm():
    d = log_spaced((3, 5), (3, 5)).reshape(5, 9, 2)
    np.testing.assert_array_equal(d, -d[::-1, ::-1])
    np.testing.assert_allclose(
        d[:, 0, 0], np.array([-1, -np.log2(5) / np.log2(9), 0, np.log2(5) / np.log2(9), 1]) * np.log2(9) / 3
    )
    np.testing.assert_allclose(d[0, -1], np.array([-1, 1]) * np.log2(9) / 3)
    assert not d[2, 4].any()


@pytest.mark.parametrize("window", [(1, 1), (2, 3), (4, 4), (16, 16)])
def test_the_bias_is_defined_for_every_window(window):
    """By the same weights, between 0 and 16; at a displacement that both windows have, it is the same."""
    small = filled(WindowAttention(ONE, 0, (4, 4)))
    other = WindowAttention(SwinV2Config(8, (2,), (2,), pretrained_window_sizes=(4,)), 0, window).to(np.float64)
    other.load_state_dict(small.state_dict())
    N, bias = math.prod(window), other.bias().numpy()
    assert bias.shape == (2, N, N)
    assert 0.0 < bias.min() <= bias.max() < 16.0
    a = small.bias().numpy().reshape(2, 4, 4, 4, 4)
    b = bias.reshape(2, *window, *window)
    h, w = (min(4, n) for n in window)
    np.testing.assert_allclose(b[:, :h, :w, :h, :w], a[:, :h, :w, :h, :w], rtol=0, atol=1e-13)


def test_a_model_works_with_another_window():
    model, larger = filled(mv.create_model("swinv2_digits")), mv.create_model("swinv2_digits", window_size=8).double()
    larger.load_state_dict(model.state_dict())
    x = mv.tensor(noise("input", (2, 1, 8, 8)).astype(np.float64))
    assert larger.layers[0].blocks[0].window == (8, 8)
    assert 0.0 < np.abs(larger(x).numpy() - model(x).numpy()).max() < np.inf


# ------------------------------------------------------------------------------------------- normalised after a branch


def test_a_block_begins_as_the_identity():
    model = mv.create_model("swinv2_digits").double()
    x = mv.tensor(noise("map", (2, 8, 8, 32)).astype(np.float64))
    np.testing.assert_array_equal(model.layers[0].blocks(x).numpy(), x.numpy())
    assert not model.layers[0].blocks[1].norm1.weight.numpy().any()
    assert model.layers[1].downsample.norm.weight.numpy().all()


def test_what_a_block_adds_does_not_grow_with_its_branches():
    """A thousand times the weights at the end of both branches: the same block, but for the eps of its norms."""
    block = filled(Block(ONE, 0, True, 0.0))
    x = mv.tensor(noise("map", (2, 8, 8, 8)).astype(np.float64))
    found = []
    for _ in range(2):
        state = block.state_dict()
        block.load_state_dict(
            {key: value * 1e3 if key.startswith(("attn.proj", "mlp.fc2")) else value for key, value in state.items()}
        )
        found.append(block(x).numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-9)


def test_merging_normalises_last():
    merging = filled(PatchMerging(4))
    merging.norm.weight.assign(np.ones(8))
    merging.norm.bias.assign(np.zeros(8))
    y = merging(mv.tensor(noise("map", (2, 4, 4, 4)).astype(np.float64))).numpy()
    np.testing.assert_allclose(y.mean(-1), 0.0, atol=1e-14)
    np.testing.assert_allclose(y.var(-1), 1.0, atol=1e-3)


def test_the_last_stage_is_one_window_without_a_shift():
    model = mv.create_model("swinv2_tiny_window8_256")
    shifts = [[block.shift for block in stage.blocks] for stage in model.layers]
    assert shifts == [[(0, 0), (4, 4)] * n for n in (1, 1, 3)] + [[(0, 0), (0, 0)]]


def test_initial_values():
    state = mv.create_model("swinv2_digits").state_dict()
    np.testing.assert_allclose(state["layers.0.blocks.0.attn.logit_scale"], math.log(10.0), rtol=1e-7)
    assert state["layers.0.blocks.0.attn.cpb_mlp.0.weight"].std() == pytest.approx(0.02, rel=0.1)
    assert not state["layers.0.blocks.0.attn.cpb_mlp.0.bias"].any()


@pytest.mark.parametrize("sizes", [(4,), (4, -1)])
def test_a_configuration_that_cannot_be_built(sizes):
    with pytest.raises(ValueError, match="pretrained_window_sizes has a window for each of 2 stages, or 0, got"):
        mv.create_model("swinv2_digits", pretrained_window_sizes=sizes)
