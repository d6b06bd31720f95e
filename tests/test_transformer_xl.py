"""The exact properties of Transformer-XL and of the adaptive softmax."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from golden.weights import noise, numbers
from miniatures import fill

import minivision as mv
from minivision import models
from minivision.errors import CheckpointError, ShapeError
from minivision.generate import generate
from minivision.models.adaptive_softmax import AdaptiveEmbedding, AdaptiveSoftmax, Clusters
from minivision.models.transformer_xl import distances, rel_shift

SMALL = {"d_model": 16, "n_layer": 2, "n_head": 2, "d_head": 6, "d_inner": 20, "vocab_size": 30, "cutoffs": (8, 20)}


def small(**overrides):
    return fill(mv.create_model("transformer_xl_tiny", **{**SMALL, **overrides}).double()).eval()


def in_segments(model, tokens, length):
    """The log-probabilities (B, T, V) of a text that is read segment by segment."""
    memory = model.memory(len(tokens))
    with mv.no_grad():
        return np.concatenate([model(tokens[:, i : i + length], memory).numpy() for i in range(0, tokens.shape[1], length)], 1)


@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (1, 5), (4, 4), (3, 8)])
def test_the_shift_is_a_choice_by_distance(queries, keys):
    x = noise("scores", (2, queries, keys))
    shifted = rel_shift(mv.tensor(x)).numpy()
    for i in range(queries):
        for j in range(keys - queries + i + 1):
            distance = keys - queries + i - j
            np.testing.assert_array_equal(shifted[:, i, j], x[:, i, keys - 1 - distance])


def test_a_distance_is_told_by_sines_then_cosines():
    table = distances(6, 4, clamp=2)
    assert table.shape == (4, 6)
    for row, distance in zip(table, (2, 2, 1, 0), strict=True):
        angles = [distance / 10000 ** (2 * i / 6) for i in range(3)]
        np.testing.assert_allclose(row, [*np.sin(angles), *np.cos(angles)], rtol=1e-15)


@pytest.mark.parametrize(
    ("label", "settings"),
    [
        ("memory", {"mem_len": 7}),
        ("shorter", {"mem_len": 3, "clamp_len": 4, "div_val": 2}),
        ("same", {"mem_len": 6, "same_length": True}),
    ],
)
def test_segments_give_what_the_reference_gives(label, settings):
    """Log-probabilities of four segments; of the last one's loss every gradient, none of which goes through the memory."""
    arrays = np.load(Path(__file__).parent / "golden" / "transformer_xl.npz")
    model, tokens = small(**settings), numbers("stream", (2, 21), 30)
    wanted = arrays[f"{label} outputs"]
    np.testing.assert_allclose(in_segments(model, tokens[:, :20], 5), np.concatenate(wanted, 1), rtol=1e-12, atol=1e-13)
    if label == "memory":
        memory = model.memory(2)
        for i in range(3):
            model(tokens[:, 5 * i : 5 * i + 5], memory)
        model.loss(tokens[:, 15:], memory).backward()
        found = np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])
        np.testing.assert_allclose(found, arrays["memory gradients"], rtol=1e-9, atol=1e-13)


def test_one_layer_with_a_memory_is_a_window():
    """Behind a memory of M tokens, a segment of T has what the last T of M + T have, read at once; two layers see further."""
    tokens = numbers("stream", (2, 20), 30)
    for layers in (1, 2):
        model = small(n_layer=layers, mem_len=6)
        last = in_segments(model, tokens, 4)[:, -4:]
        window = model(tokens[:, -10:]).numpy()[:, -4:]
        assert (np.abs(last - window).max() < 1e-12) == (layers == 1)


def test_the_loss_is_the_mean_over_all_but_the_first_token():
    tokens = numbers("stream", (2, 21), 30)
    for settings in ({}, {"cutoffs": ()}, {"div_val": 2}):
        model = small(**settings)
        log_p = model(tokens[:, :-1]).numpy()
        wanted = -np.mean([log_p[b, t, tokens[b, t + 1]] for b in range(2) for t in range(20)])
        for given in (tokens, mv.tensor(tokens)):
            assert model.loss(given).item() == pytest.approx(wanted, rel=1e-12)


def test_segments_are_the_whole_text_where_the_memory_holds_it():
    model, tokens = small(mem_len=20), numbers("stream", (2, 20), 30)
    whole = model(tokens).numpy()
    for length in (1, 7, 20):
        np.testing.assert_allclose(in_segments(model, tokens, length), whole, rtol=1e-12)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_layers_reach_as_many_memories_back(layers):
    """Section 3.2: with segments and a memory of L tokens, a segment's first depends on the N L before it, and no further."""
    L, segments = 3, 6
    model, tokens = small(n_layer=layers, mem_len=L), numbers("stream", (1, L * segments), 30)
    start = L * (segments - 1)
    before = in_segments(model, tokens, L)[0, start]
    reached = []
    for distance in range(1, start + 1):
        changed = tokens.copy()
        changed[0, start - distance] = (changed[0, start - distance] + 1) % 30
        if (in_segments(model, changed, L)[0, start] != before).any():
            reached.append(distance)
    assert reached == list(range(1, layers * L + 1))


def test_the_memory_is_of_arrays_and_of_the_last_tokens():
    model, tokens = small(mem_len=7), numbers("stream", (2, 10), 30)
    memory = model.memory(2)
    model(tokens[:, :5], memory)
    assert memory.length == 5
    model(tokens[:, 5:], memory)
    assert memory.length == 7
    assert all(type(each) is np.ndarray and each.shape == (2, 7, 16) for each in memory.hidden)
    np.testing.assert_array_equal(memory.hidden[0], model.word_emb(tokens[:, 3:]).numpy())
    nothing = small(mem_len=0)
    np.testing.assert_allclose(in_segments(nothing, tokens, 5)[:, 5:], nothing(tokens[:, 5:]).numpy(), rtol=1e-12)


def test_with_the_same_length_every_token_sees_as_many():
    model = small(mem_len=6, same_length=True)
    assert set(model.sees(4, 10).sum(1)) == {6}
    assert list(model.sees(4, 4).sum(1)) == [1, 2, 3, 4]
    assert list(small(mem_len=6).sees(4, 10).sum(1)) == [7, 8, 9, 10]


def test_it_writes_as_it_would_reading_all_anew():
    model, start = small(mem_len=30), [3, 1, 4]
    text = list(generate(model, start, 8, temperature=0))
    known = list(start)
    for token in text:
        assert token == model(np.array([known])).numpy()[0, -1].argmax()
        known.append(token)


def test_parameters_are_the_formula_s():
    for name in ("transformer_xl_wt103", "transformer_xl_enwik8", "transformer_xl_enwik8_large"):
        c = models.entry(name).config
        inner, K = c.n_head * c.d_head, len(c.cutoffs)
        layer = 5 * c.d_model * inner + 2 * c.d_model * c.d_inner + c.d_inner + c.d_model + 4 * c.d_model
        words = c.vocab_size * (c.d_model + 1) + K * (c.d_model + 1)
        assert models.entry(name).params == c.n_layer * layer + words + 2 * inner
    assert models.entry("transformer_xl_wt103").params == 151_107_538


# ------------------------------------------------------------------------------------------------ adaptive softmax


@pytest.mark.parametrize(("cutoffs", "div_val"), [((), 1), ((4,), 1), ((4, 9), 1), ((4, 9), 2), ((1, 2, 11), 2)])
def test_probabilities_are_of_a_stretch_times_within_it(cutoffs, div_val):
    softmax = fill(AdaptiveSoftmax(Clusters(12, cutoffs), 16, div_val).double())
    hidden = mv.tensor(noise("hidden", (30, 16)).astype(np.float64), requires_grad=True)
    tokens = numbers("tokens", (30,), 12)
    log_p = softmax.log_prob(hidden)
    np.testing.assert_allclose(np.exp(log_p.numpy()).sum(1), 1.0, rtol=1e-13)
    losses = softmax(hidden, tokens)
    np.testing.assert_allclose(losses.numpy(), -log_p.numpy()[np.arange(30), tokens], rtol=1e-13)
    one, other = (mv.grad(y.sum(), [hidden])[0].numpy() for y in (losses, -log_p[np.arange(30), tokens]))
    np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)
    for i, (first, end) in enumerate(Clusters(12, cutoffs).stretches[1:], 1):  # the first softmax's i-th entry from its end
        together = np.exp(log_p.numpy()[:, first:end]).sum(1)
        np.testing.assert_allclose(together, np.exp(softmax.within(hidden, 0).numpy()[:, -i]), rtol=1e-12)


def test_rarer_words_have_shorter_vectors():
    embedding = fill(AdaptiveEmbedding(Clusters(12, (4, 9)), 16, 2).double())
    assert [table.weight.shape for table in embedding.emb_layers] == [(4, 16), (5, 8), (3, 4)]
    found = embedding(np.arange(12).reshape(3, 4)).numpy().reshape(12, 16)
    tables = [table.weight.numpy() @ embedding.emb_projs[i].numpy().T for i, table in enumerate(embedding.emb_layers)]
    np.testing.assert_allclose(found, 4.0 * np.concatenate(tables), rtol=1e-13)


def test_words_at_the_output_are_those_at_the_input():
    model = small(div_val=2)
    for i in range(3):
        assert model.crit.out_layers[i].weight is model.word_emb.emb_layers[i].weight
        assert (model.crit.out_projs[i] is model.word_emb.emb_projs[i]) == (i > 0)


# ------------------------------------------------------------------------------------------------ files and errors


def test_a_published_file_loads_without_its_sines():
    model, other = small(), mv.create_model("transformer_xl_tiny", **SMALL).double()
    state = model.state_dict()
    assert mv.load_weights(other, {**state, "pos_emb.inv_freq": np.ones(8)}) == ([], [])
    tokens = numbers("stream", (1, 6), 30)
    np.testing.assert_array_equal(other(tokens).numpy(), model(tokens).numpy())
    with pytest.raises(CheckpointError, match=r"crit.out_layers.0.weight is not word_emb.emb_layers.0.weight: this model"):
        mv.load_weights(other, {**state, "crit.out_layers.0.weight": noise("other", (30, 16))})
    narrow = small(div_val=2)
    state = {**narrow.state_dict(), "crit.out_projs.0": noise("other", (16, 16))}
    assert mv.load_weights(narrow, state) == ([], [])
    with pytest.raises(CheckpointError, match=r"crit.out_projs.2 is not word_emb.emb_projs.2"):
        mv.load_weights(narrow, {**state, "crit.out_projs.2": noise("other", (16, 4))})


def test_what_does_not_fit_is_refused():
    model = small()
    with pytest.raises(ShapeError, match=r"reads tokens \(B, T\)"):
        model(np.arange(4))
    with pytest.raises(ShapeError, match=r"got tokens \(2, 3\), memory of 1 texts"):
        model(np.ones((2, 3), int), model.memory())
    for number in (-1, 30):
        for div_val in (1, 2):
            with pytest.raises(ShapeError):
                small(div_val=div_val)(np.array([[1, number]]))
        with pytest.raises(ShapeError, match="tokens are from 0 to 29"):
            model.crit(mv.tensor(noise("h", (1, 16)).astype(float)), np.array([number]))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"d_model": 15}, "d_model 15 must be even"),
        ({"cutoffs": (20, 8)}, "cutoffs must rise"),
        ({"cutoffs": (8, 30)}, "cutoffs must rise"),
        ({"mem_len": 0, "same_length": True}, "with same_length 1 or more"),
        ({"div_val": 8}, "div_val 8 leaves the rarest words nothing"),
    ],
)
def test_impossible_settings_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        mv.create_model("transformer_xl_tiny", **{**SMALL, **settings})
