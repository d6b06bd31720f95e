"""The exact properties of the Transformer: places that turn, masks, the loss, the search for the likeliest sentence."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from golden.weights import noise, numbers
from miniatures import fill

import minivision as mv
from minivision import functional as F
from minivision import models
from minivision.errors import ShapeError
from minivision.models._search import beam_search, greedy_search
from minivision.models.transformer import rotation, sinusoids

GOLDEN = dict(np.load(Path(__file__).parent / "golden" / "transformer.npz", allow_pickle=False))
TORCH = {"attention_bias": True, "final_norm": True}


def tiny(**overrides):
    return fill(mv.create_model("transformer_tiny", **overrides).double()).eval()


def batch():
    """Sources (3, 9) and targets (3, 5) of sixteen tokens; what of the sources is no padding."""
    return numbers("source", (3, 9), 16), numbers("target", (3, 5), 16), np.arange(9) < np.array([[9], [4], [6]])


@pytest.mark.parametrize(("name", "biases_and_norms"), [("transformer_base", 44_140_544), ("transformer_big", 176_361_472)])
def test_parameters_are_the_formula_s_and_torch_s(name, biases_and_norms):
    config = models.entry(name).config
    L, d, ff, V = config.num_encoder_layers, config.d_model, config.dim_feedforward, config.vocab_size
    encoder, decoder = 4 * d * d + 2 * d * ff + ff + d + 4 * d, 8 * d * d + 2 * d * ff + ff + d + 6 * d
    assert models.entry(name).params == L * (encoder + decoder) + V * d
    assert mv.count_parameters(mv.create_model(name, **TORCH)) - V * d == biases_and_norms


# --------------------------------------------------------------------------------------------------- places


def test_places_are_sines_and_cosines_in_turn():
    wanted = [[(math.cos if c % 2 else math.sin)(p / 10000 ** (2 * (c // 2) / 6)) for c in range(6)] for p in range(3, 8)]
    np.testing.assert_allclose(sinusoids(5, 6, start=3), wanted, rtol=0, atol=1e-15)


@pytest.mark.parametrize("k", [0, 1, 7, 100, -5])
def test_a_step_of_k_places_turns_the_sinusoids(k):
    turn, places = rotation(k, 32), sinusoids(300, 32, start=10)
    np.testing.assert_allclose(places @ turn.T, sinusoids(300, 32, start=10 + k), rtol=0, atol=1e-12)
    np.testing.assert_allclose(turn @ turn.T, np.eye(32), rtol=0, atol=1e-15)
    np.testing.assert_allclose(turn @ rotation(2 - k, 32), rotation(2, 32), rtol=0, atol=1e-13)


# ---------------------------------------------------------------------------------------------------- masks


@pytest.mark.parametrize(("label", "overrides"), [("paper", {}), ("torch", TORCH)])
def test_ragged_sources_give_what_torch_gives(label, overrides):
    model, (source, target, seen) = tiny(**overrides), batch()
    logits = model(source, target, seen)
    (logits * noise("cotangent", logits.shape).astype(np.float64)).sum().backward()
    np.testing.assert_allclose(logits.numpy(), GOLDEN[f"ragged/{label}/logits"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(model.embedding.weight.grad.numpy(), GOLDEN[f"ragged/{label}/gradient"], rtol=0, atol=1e-10)


def test_a_target_s_token_says_nothing_of_those_before_it():
    model, (source, target, _) = tiny(), batch()
    changed = target.copy()
    changed[:, 3:] = (changed[:, 3:] + 5) % 16
    before, after = model(source, target).numpy(), model(source, changed).numpy()
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert (np.abs(before[:, 3] - after[:, 3]).max(-1) > 1e-3).all()


def test_every_token_of_the_source_counts():
    model, (source, target, _) = tiny(), batch()
    changed = source.copy()
    changed[:, -1] = (changed[:, -1] + 5) % 16
    assert (np.abs(model(source, target).numpy() - model(changed, target).numpy()).max(-1) > 1e-4).all()


def test_a_source_s_padding_changes_nothing():
    model, (source, target, seen) = tiny(), batch()
    other = np.where(seen, source, (source + 5) % 16)
    wanted = model(source, target, seen).numpy()
    np.testing.assert_array_equal(model(mv.tensor(source), mv.tensor(target), mv.tensor(seen)).numpy(), wanted)
    np.testing.assert_array_equal(model(other, target, seen).numpy(), wanted)
    for row, length in enumerate(seen.sum(1)):
        alone = model(source[row : row + 1, :length], target[row : row + 1]).numpy()
        np.testing.assert_allclose(wanted[row], alone[0], rtol=0, atol=1e-12)


def test_a_source_of_padding_alone_is_as_if_its_heads_said_0():
    model, (source, target, seen) = tiny(), batch()
    seen[1] = False
    found = model(source, target, seen).numpy()
    for layer in model.decoder.layers:
        layer.multihead_attn.out_proj.weight.data[...] = 0.0
    np.testing.assert_allclose(found[1], model(source, target).numpy()[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.array([1, 2]),), r"source \(B, N\)"),
        ((np.array([[1, 2]]), None, np.ones((1, 3), bool)), r"got \(1, 2\) and \(1, 3\)"),
        ((np.array([[1, 2]]), np.array([1, 2])), r"a target \(B, M\) for every source"),
        ((np.array([[1, 2]]), np.array([[1], [2]])), r"target \(2, 1\), memory \(1, 2, 32\)"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ShapeError, match=message):
        tiny()(*arguments)


# ----------------------------------------------------------------------------------------------------- loss


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_over_what_is_no_padding(smoothing):
    model, source = tiny(), np.array([[5, 6, 7, 2], [8, 9, 2, 0]])
    target = np.array([[7, 6, 5, 2], [9, 2, 0, 0]])
    read = np.array([[1, 7, 6, 5], [1, 9, 2, 0]])
    np.testing.assert_array_equal(model.shifted(target), read)
    log_p = F.log_softmax(model(source, read, source != 0), -1).numpy()
    wanted = [
        -(1 - smoothing) * log_p[b, t, target[b, t]] - smoothing * log_p[b, t].mean()
        for b, t in itertools.product(range(2), range(4))
        if target[b, t]
    ]
    assert len(wanted) == 6
    for kind in (np.array, mv.tensor, np.ndarray.tolist):
        assert model.loss(kind(source), kind(target), smoothing).item() == pytest.approx(np.mean(wanted), rel=1e-12)


def test_a_small_one_learns_to_turn_sentences_around():
    mv.manual_seed(0)
    model, rng = mv.create_model("transformer_tiny"), np.random.default_rng(0)
    optimizer = mv.optim.Adam(model.parameters(), lr=3e-3, betas=(0.9, 0.98), eps=1e-9)
    scheduler = mv.schedule.Scheduler(optimizer, mv.schedule.inverse_sqrt(40))

    def sentences(count):
        words = rng.integers(3, 16, (count, 4))
        return np.pad(words, ((0, 0), (0, 1)), constant_values=2), np.pad(words[:, ::-1], ((0, 0), (0, 1)), constant_values=2)

    for _ in range(200):
        loss = model.loss(*sentences(64))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    sources, targets = sentences(20)
    for beam in (1, 4):
        found = [model.translate(source, 8, beam) for source in sources]
        assert found == targets.tolist()


# --------------------------------------------------------------------------------------------------- search


def table(vocabulary, seed):
    """log p of the next token that depends on the whole beginning, by rule."""

    def log_p(starts):
        logits = np.stack([1.5 * noise(f"{seed} {row.tolist()}", (vocabulary,)) for row in starts]).astype(np.float64)
        return logits - np.log(np.exp(logits).sum(1, keepdims=True))

    return log_p


def score(log_p, tokens, alpha):
    """log P / ((5 + n) / 6)^alpha of a sentence, token by token."""
    total = sum(log_p(np.array([[1, *tokens[:t]]]))[0, token] for t, token in enumerate(tokens))
    return total / ((5 + len(tokens)) / 6) ** alpha


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_finds_the_best_of_all_sentences(seed, alpha):
    log_p, longest = table(4, seed), 4
    every = [(*words, 2) for n in range(longest) for words in itertools.product([0, 1, 3], repeat=n)]
    scores = {tokens: score(log_p, tokens, alpha) for tokens in every}
    best = max(scores, key=scores.get)
    tokens, found = beam_search(log_p, 1, 2, longest, 3**3, alpha)
    assert tuple(tokens) == best
    assert found == pytest.approx(scores[best], rel=1e-12)
    for beam in (1, 2, 4):
        tokens, found = beam_search(log_p, 1, 2, longest, beam, alpha)
        assert found == pytest.approx(scores[tuple(tokens)], rel=1e-12)
        assert found <= scores[best] + 1e-12


def test_a_beam_of_two_sees_what_one_misses():
    """The likeliest first token has no likely second one: 0.6 x 0.5 is less than 0.4 x 1."""
    chances = {(1,): [0.6, 0.0, 0.0, 0.4], (1, 0): [0.25, 0.0, 0.5, 0.25], (1, 3): [0.0, 0.0, 1.0, 0.0]}

    def log_p(starts):
        with np.errstate(divide="ignore"):
            return np.log(np.array([chances.get(tuple(row.tolist()), [0.0, 0.0, 1.0, 0.0]) for row in starts]))

    assert greedy_search(log_p, 1, 2, 5) == [0, 2]
    assert beam_search(log_p, 1, 2, 5, beam=1, alpha=0.0) == ([0, 2], pytest.approx(math.log(0.3)))
    assert beam_search(log_p, 1, 2, 5, beam=2, alpha=0.0) == ([3, 2], pytest.approx(math.log(0.4)))


def test_greedy_takes_the_likeliest_and_stops():
    log_p = table(6, 0)
    tokens = greedy_search(log_p, 1, 2, 12)
    for t, token in enumerate(tokens):
        assert token == log_p(np.array([[1, *tokens[:t]]]))[0].argmax()
    assert 2 not in tokens[:-1]
    assert tokens[-1] == 2 or len(tokens) == 12
    assert greedy_search(lambda starts: np.eye(4)[[3]], 1, 2, 5) == [3] * 5
    assert greedy_search(lambda starts: np.eye(4)[[2]], 2, 2, 5) == [2]  # a start that is the end's token


@pytest.mark.parametrize("beam", [1, 3])
def test_translating_is_searching_with_the_decoder(beam, monkeypatch):
    model, source, encoded = tiny(), numbers("source", (7,), 16), []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda *a: encoded.append(a) or encode(*a))
    found = model.translate(source, 6, beam)
    assert len(encoded) == 1
    assert model.translate(mv.tensor(source), 6, beam) == found

    def log_p(starts):
        return np.stack([F.log_softmax(model(source[None], row[None]), -1).numpy()[0, -1] for row in starts])

    wanted = greedy_search(log_p, 1, 2, 6) if beam == 1 else beam_search(log_p, 1, 2, 6, beam)[0]
    assert found == wanted


@pytest.mark.parametrize("settings", [{"longest": 0}, {"beam": 0}, {"alpha": -0.1}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match="longest and beam are at least 1"):
        beam_search(table(4, 0), 1, 2, **{"longest": 3, **settings})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"d_model": 34}, "d_model 34 must be a multiple of nhead 4"),
        ({"d_model": 33, "nhead": 3}, "and even"),
        ({"vocab_size": 2}, r"three tokens below vocab_size 2, got \(0, 1, 2\)"),
        ({"end": 1}, r"got \(0, 1, 1\)"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        mv.create_model("transformer_tiny", **overrides)
