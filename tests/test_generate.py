"""Drawing the next token, and texts that go on: cached as recomputed, the same by seed, ties and shares by definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from miniatures import fill

import minivision as mv
from minivision.generate import generate, probabilities


def tiny(**overrides):
    return fill(mv.create_model("gpt2_tiny", n_positions=16, vocab_size=40, **overrides).double()).eval()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_probabilities_are_softmax_without_settings(rng):
    logits = rng.standard_normal(30)
    np.testing.assert_allclose(probabilities(logits), np.exp(logits) / np.exp(logits).sum(), rtol=1e-12)
    np.testing.assert_allclose(probabilities(logits, temperature=0.5), np.exp(2 * logits) / np.exp(2 * logits).sum(), rtol=1e-12)


def test_top_k_keeps_ties_with_the_kth():
    p = probabilities(np.log([4.0, 2.0, 2.0, 1.0]), top_k=2)
    np.testing.assert_allclose(p, [0.5, 0.25, 0.25, 0.0], rtol=1e-12)
    np.testing.assert_allclose(probabilities(np.log([4.0, 2.0, 2.0, 1.0]), top_k=1), [1, 0, 0, 0])
    np.testing.assert_allclose(probabilities(np.log([1.0, 3.0]), top_k=9), [0.25, 0.75], rtol=1e-12)


@pytest.mark.parametrize(("share", "kept"), [(0.4, 1), (0.5, 1), (0.51, 2), (0.8, 2), (0.81, 3), (0.95, 3), (0.951, 4), (1.0, 4)])
def test_top_p_keeps_the_token_that_crosses_the_share(share, kept):
    p = np.array([0.05, 0.5, 0.15, 0.3])
    found = probabilities(np.log(p), top_p=share - 1e-9)
    order = np.argsort(-p)
    wanted = np.zeros(4)
    wanted[order[:kept]] = p[order[:kept]] / p[order[:kept]].sum()
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


@pytest.mark.parametrize(("share", "kept"), [(0.4, 1), (0.51, 1), (0.79, 1), (0.81, 2), (0.949, 2), (0.951, 3), (0.999, 3)])
def test_the_other_convention_drops_the_token_that_crosses_the_share(share, kept):
    p = np.array([0.05, 0.5, 0.15, 0.3])
    found = probabilities(np.log(p), top_p=share, crossing=False)
    stays = np.argsort(-p)[:kept]
    np.testing.assert_allclose(found[stays], p[stays] / p[stays].sum(), rtol=1e-9)
    assert np.count_nonzero(found) == kept


def test_the_other_convention_keeps_ties_with_the_last():
    p = np.array([0.4, 0.2, 0.2, 0.2])
    np.testing.assert_allclose(probabilities(np.log(p), top_p=0.61, crossing=False), p, rtol=1e-9)
    np.testing.assert_allclose(probabilities(np.log(p), top_p=0.61), [0.5, 0.25, 0.25, 0.0], rtol=1e-9)


def test_temperature_zero_is_the_largest_of_equals_the_first():
    np.testing.assert_array_equal(probabilities(np.array([1.0, 3.0, 3.0]), temperature=0.0), [0, 1, 0])


@pytest.mark.parametrize(
    "settings", [{"temperature": -1.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.1}, {"temperature": np.nan}]
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match="temperature and top_k are at least 0"):
        probabilities(np.zeros(3), **settings)


@pytest.mark.parametrize("parts", [[1] * 12, [5, 1, 1, 5], [12], [3, 9]])
def test_a_memory_equals_recomputing(rng, parts):
    model, tokens = tiny(), rng.integers(40, size=(2, 12))
    whole, memory, at = model(tokens).numpy(), model.memory(2), 0
    for length in parts:
        logits = model(tokens[:, at : at + length], memory).numpy()
        np.testing.assert_allclose(logits, whole[:, at : at + length], rtol=0, atol=1e-12)
        at += length
    assert memory.length == 12
    np.testing.assert_allclose(model(tokens, last=True).numpy()[:, 0], whole[:, -1], rtol=0, atol=1e-12)


def test_greedy_text_is_what_recomputing_gives():
    model, text = tiny(), [3, 1, 4]
    found = list(generate(model, text, 10, temperature=0.0))
    for token in found:
        assert token == model(np.array([text])).numpy()[0, -1].argmax()
        text.append(token)


def test_longer_than_the_room_reads_the_later_half_anew():
    model, text = tiny(), [3, 1, 4]
    found = list(generate(model, text, 20, temperature=0.0))
    assert len(found) == 20
    known = text + found[:13]  # 16 tokens: the next one needs another reading
    assert found[13] == model(np.array([known[-16:]])).numpy()[0, -1].argmax()
    known = text + found[:14]
    assert found[14] == model(np.array([known[-8:]])).numpy()[0, -1].argmax()


def test_the_seed_decides_and_tokens_come_one_by_one():
    model = tiny()
    first, again, other = (list(generate(model, [1], 12, top_k=30, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert list(itertools.islice(generate(model, [1], 10**9, seed=1, top_k=30), 12)) == first
    end = first[4]
    assert list(generate(model, [1], 12, top_k=30, seed=1, end=end)) == first[: first.index(end) + 1]
    with pytest.raises(ValueError, match="begins with a token"):
        next(generate(model, [], 1))


def test_draws_follow_the_probabilities():
    """Of 4,000 tokens drawn at one place, every token's share is within 5 deviations of its probability."""
    model = tiny()
    p = probabilities(model(np.array([[7]])).numpy()[0, -1], temperature=1.5, top_k=8)
    drawn = [next(generate(model, [7], 1, temperature=1.5, top_k=8, seed=seed)) for seed in range(1000)]
    shares = np.bincount(drawn, minlength=40) / 1000
    assert np.all(np.abs(shares - p) <= 5 * np.sqrt(p * (1 - p) / 1000) + 1e-12)
    assert (shares > 0).sum() > 3


def test_a_text_that_is_too_long_is_told():
    model = tiny()
    with pytest.raises(mv.ShapeError, match=r"T up to 16, got \(1, 17\)"):
        model(np.zeros((1, 17), np.int64))
    memory = model.memory()
    model(np.zeros((1, 10), np.int64), memory)
    with pytest.raises(mv.ShapeError, match=r"T up to 6, got \(1, 7\)"):
        model(np.zeros((1, 7), np.int64), memory)
