"""The exact properties of GPT-3: what the band lets through, with and without a memory, and the sizes of Table 2.1."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from golden.weights import noise, numbers
from miniatures import fill

import minivision as mv
from minivision import functional as F
from minivision import models
from minivision.generate import generate
from minivision.models.gpt2 import Attention
from minivision.models.gpt3 import BandedAttention, band
from minivision.op import OPS

profile = sys.modules["minivision.profile"]  # mv.profile is its function


def tiny(**overrides):
    return fill(mv.create_model("gpt3_tiny", **{"n_layer": 2, "vocab_size": 50, "band": 4, **overrides}).double()).eval()


def attention(reach):
    return tiny(band=reach).transformer.h[1].attn


@pytest.mark.parametrize(("name", "millions"), [  # as Table D.1 of the paper prints them
    ("gpt3_125m", 125), ("gpt3_350m", 356), ("gpt3_760m", 760), ("gpt3_1_3b", 1320), ("gpt3_2_7b", 2650), ("gpt3_6_7b", 6660),
    ("gpt3_13b", 12850), ("gpt3_175b", 174600),
])  # fmt: skip
def test_parameters_are_the_formula_s_and_the_paper_s(name, millions):
    found, config = models.entry(name), models.entry(name).config
    L, d, V, n = config.n_layer, config.n_embd, config.vocab_size, config.n_positions
    assert found.params == 12 * L * d**2 + 13 * L * d + (V + n) * d + 2 * d
    assert found.params / 1e6 == pytest.approx(millions, rel=0.004)
    assert n == 2048


@pytest.mark.parametrize(
    ("queries", "keys", "reach"), [(7, 7, 1), (7, 7, 3), (7, 7, 7), (7, 7, 20), (3, 9, 4), (1, 5, 2), (0, 0, 1)]
)
def test_the_band_is_its_definition(queries, keys, reach):
    seen = band(queries, keys, reach)
    wanted = [[0 <= i + keys - queries - s < reach for s in range(keys)] for i in range(queries)]
    np.testing.assert_array_equal(seen, np.array(wanted, bool).reshape(queries, keys))
    if queries == keys >= reach:
        assert seen.sum() == keys * reach - reach * (reach - 1) // 2


@pytest.mark.parametrize("reach", [1, 2, 3, 5, 11, 12, 13, 40])
def test_blocks_give_what_the_mask_gives(reach):
    for length in (1, 3, 12, 13):
        q, k, v = (mv.tensor(noise(name, (2, 3, length, 4)).astype(np.float64), requires_grad=True) for name in "qkv")
        dy = noise("dy", q.shape).astype(np.float64)
        own = attention(reach).attend(q, k, v)
        wanted = F.scaled_dot_product_attention(q, k, v, band(length, length, reach))
        np.testing.assert_allclose(own.numpy(), wanted.numpy(), rtol=1e-12, atol=1e-14)
        for a, b in zip(mv.grad((own * dy).sum(), [q, k, v]), mv.grad((wanted * dy).sum(), [q, k, v]), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-11, atol=1e-13)


def test_a_banded_layer_sees_what_is_within_its_reach_and_nothing_else():
    layer, x = attention(4), noise("x", (1, 11, 64)).astype(np.float64)
    before = layer(mv.tensor(x)).numpy()
    for s in range(11):
        moved = x.copy()
        moved[:, s] += 1.0
        changed = np.abs(layer(mv.tensor(moved)).numpy() - before).max((0, 2)) > 0
        np.testing.assert_array_equal(changed, [0 <= t - s < 4 for t in range(11)])


def test_a_banded_layer_costs_what_the_length_does():
    def cost(n_layer, length):
        return mv.profile(mv.create_model("gpt3_tiny", n_layer=n_layer), (length,)).macs

    linear = 12 * 64**2  # of a token in the block's linear layers
    for length in (32, 64, 128):
        assert cost(2, length) - cost(1, length) == length * (linear + 2 * 64 * 2 * 16)  # each meets 2 x 16 keys


def test_layers_take_turns():
    kinds = [type(block.attn) for block in mv.create_model("gpt3_tiny").transformer.h]
    assert kinds == [Attention, BandedAttention, Attention, BandedAttention]
    assert all(block.attn.band == 256 for block in mv.create_model("gpt3_175b").transformer.h[1::2])


def test_with_a_band_as_long_as_the_text_it_is_gpt2():
    model, other = tiny(band=12), fill(mv.create_model("gpt2_tiny", n_layer=2, vocab_size=50).double()).eval()
    tokens = numbers("input", (2, 12), 50)
    np.testing.assert_array_equal(model(tokens).numpy(), other(tokens).numpy())
    assert np.abs(tiny(band=11)(tokens).numpy() - other(tokens).numpy())[:, -1].max() > 1e-4


@pytest.mark.parametrize("steps", [[1] * 15, [15], [4, 1, 6, 4], [9, 1, 5], [2, 13]])
def test_with_a_memory_it_says_what_it_says_without(steps):
    model, tokens = tiny(n_layer=4), numbers("input", (2, 15), 50)
    memory, parts, at = model.memory(2), [], 0
    for count in steps:
        parts.append(model(tokens[:, at : at + count], memory).numpy())
        at += count
    np.testing.assert_allclose(np.concatenate(parts, 1), model(tokens).numpy(), rtol=1e-11, atol=1e-12)


def test_it_writes_the_same_with_a_memory_and_without():
    model, text = tiny(n_positions=40), [3, 1, 4, 1, 5, 9]
    written = list(generate(model, text, 12, temperature=0.0))
    for token in written:
        assert model(np.array([text])).numpy()[0, -1].argmax() == token
        text = [*text, token]


def test_gpt2_s_files_load():
    state = fill(mv.create_model("gpt2_tiny", vocab_size=50).double()).state_dict()
    bare = {key.removeprefix("transformer."): value for key, value in state.items()}
    assert mv.load_weights(mv.create_model("gpt3_tiny", vocab_size=50).double(), bare) == ([], [])


def test_a_band_of_nothing_is_refused():
    with pytest.raises(ValueError, match="band is at least 1, the token itself, got 0"):
        mv.create_model("gpt3_tiny", band=0)
    with pytest.raises(ValueError, match="n_embd 66 must be a multiple of n_head 4"):
        mv.create_model("gpt3_tiny", n_embd=66)


def test_what_profile_does_not_compute_of_large_models_changes_no_count(monkeypatch):
    model = mv.create_model("gpt3_tiny")
    wanted = mv.profile(model, (128,))
    calls = []
    monkeypatch.setattr(profile, "LARGE", 1)
    told = profile._uncounted
    monkeypatch.setattr(profile, "_uncounted", lambda name, *rest: calls.append((name, told(name, *rest))) or calls[-1][1])
    assert mv.profile(model, (128,)).rows == wanted.rows
    assert {name for name, shape in calls if shape} == set(profile.UNCOUNTED)


@pytest.mark.parametrize(("call", "shape"), [
    (("add", (np.ones((2, 3)), np.ones((2, 3))), {}), (2, 3)),
    (("add", (np.ones((2, 3)), np.ones(3)), {}), None),
    (("add", (np.ones((2, 3), int), np.ones((2, 3), int)), {}), None),
    (("pad", (np.ones((2, 3)),), {"widths": ((0, 1), (2, 0))}), (3, 5)),
    (("pad", (np.ones((2, 3)),), {"widths": ((0, 1), (2, 0)), "value": 1.0}), None),
    (("concatenate", (np.ones((2, 3)), np.ones((2, 4))), {"axis": 1}), (2, 7)),
    (("concatenate", (np.ones((2, 3)), np.ones((3, 4))), {"axis": 1}), None),
    (("layer_norm", (np.ones((2, 3)), np.ones(3), np.ones(3)), {}), (2, 3)),
])  # fmt: skip
def test_shapes_that_are_told_are_those_of_the_operations(call, shape, monkeypatch):
    monkeypatch.setattr(profile, "LARGE", 1)
    assert profile._uncounted(*call) == shape
    if shape:
        assert OPS[call[0]].forward(*call[1:])[0].shape == shape
    monkeypatch.setattr(profile, "LARGE", 100)
    assert profile._uncounted(*call) is None
