"""The exact properties of the Music Transformer."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from golden.weights import noise, numbers
from miniatures import fill

import minivision as mv
from minivision.errors import ShapeError
from minivision.generate import generate
from minivision.models.music_transformer import skew
from minivision.text import midi


def tiny(**overrides):
    return fill(
        mv.create_model("music_transformer_tiny", **{"num_hidden_layers": 2, "vocab_size": 50, **overrides}).double()
    ).eval()


def attention(**overrides):
    return tiny(**overrides).layers[0].self_attention


@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (1, 5), (6, 6), (3, 8)])
@pytest.mark.parametrize("shared", [True, False])
def test_skewing_takes_each_pair_s_vector(queries, keys, shared):
    """Below the diagonal S_ij = q_i e_(i-j), e_(i-j) = E[N - 1 - (i-j)]: what an array of all pairs' vectors gives."""
    own = attention(heads_share_relative_embedding=shared, max_relative_position=8)
    q = noise("queries", (2, 4, queries, 16)).astype(np.float64)
    found, E = own.relative_logits(mv.tensor(q), keys).numpy(), own.relative_embeddings(keys).numpy()
    E = np.broadcast_to(E, (4, keys, 16))
    np.testing.assert_array_equal(E[:, -1], np.broadcast_to(own.key_relative_embeddings.numpy()[..., -1, :], (4, 16)))
    for i in range(queries):
        for j in range(keys - queries + i + 1):
            wanted = np.einsum("bhd,hd->bh", q[:, :, i], E[:, keys - 1 - (keys - queries + i - j)])
            np.testing.assert_allclose(found[:, :, i, j], wanted, rtol=1e-12, atol=1e-14)


def test_the_skew_s_three_steps():
    x = np.arange(1, 10).reshape(3, 3)
    assert skew(mv.tensor(x)).numpy().tolist() == [[3, 0, 4], [5, 6, 0], [7, 8, 9]]


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_beyond_the_largest_distance_the_farthest_vector_counts(clip, shared):
    own = attention(clip=clip, heads_share_relative_embedding=shared, max_relative_position=3)
    table = own.key_relative_embeddings.numpy()
    for length in (1, 2, 3):
        np.testing.assert_array_equal(own.relative_embeddings(length).numpy(), table[..., 3 - length :, :])
    longer = own.relative_embeddings(7).numpy()
    np.testing.assert_array_equal(longer[..., 4:, :], table)
    np.testing.assert_array_equal(longer[..., :4, :], np.broadcast_to(table[..., :1, :] * clip, longer[..., :4, :].shape))


def test_no_vector_for_each_pair_is_ever_in_memory():
    """O(L^2 + L D) numbers for a head, where vectors for all pairs are L^2 D."""
    L, D = 256, 64
    own = attention(hidden_size=D, num_heads=1, max_relative_position=L)
    q = mv.tensor(noise("queries", (1, 1, L, D)).astype(np.float64))
    assert own.relative_embeddings(L).shape == (1, L, D)
    own.relative_logits(q, L)
    tracemalloc.start()
    try:
        assert own.relative_logits(q, L).shape == (1, 1, L, L)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 8 * L * L <= peak < 8 * (4 * L * L + 4 * L * D) < 8 * L * L * D / 10


def test_an_event_says_nothing_of_those_before_it():
    model, tokens = tiny(), numbers("input", (2, 12), 50)
    changed = tokens.copy()
    changed[:, 7:] = (changed[:, 7:] + 3) % 50
    before, after = model(tokens).numpy(), model(changed).numpy()
    np.testing.assert_array_equal(before[:, :7], after[:, :7])
    assert (np.abs(before[:, 7] - after[:, 7]).max(-1) > 1e-3).all()


def test_what_a_distance_adds_is_the_same_all_along():
    """With the same query everywhere, S_(i+1)(j+1) = S_ij: a motif is met wherever it stands."""
    own = attention(max_relative_position=5)
    q = np.broadcast_to(noise("query", (1, 4, 1, 16)).astype(np.float64), (1, 4, 9, 16))
    s = np.where(np.tri(9, dtype=bool), own.relative_logits(mv.tensor(q), 9).numpy(), 0.0)
    np.testing.assert_allclose(s[..., 1:, 1:], s[..., :-1, :-1], rtol=1e-13)


def test_the_loss_is_the_mean_over_all_but_the_first_event():
    model, tokens = tiny(), numbers("input", (2, 6), 50)
    logits = model(tokens).numpy()
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    wanted = -np.mean([log_p[b, t - 1, tokens[b, t]] for b in range(2) for t in range(1, 6)])
    for given in (tokens, mv.tensor(tokens)):
        assert model.loss(given).item() == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("settings", [{}, {"max_relative_position": 4}, {"heads_share_relative_embedding": True}])
def test_with_a_memory_each_event_is_read_once(settings):
    model, tokens = tiny(**settings), numbers("input", (2, 9), 50)
    whole, memory = model(tokens).numpy(), model.memory(2)
    parts = [model(tokens[:, a:b], memory).numpy() for a, b in ((0, 4), (4, 5), (5, 9))]
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, rtol=1e-10, atol=1e-12)
    assert memory.length == 9


def test_it_writes_as_it_would_reading_all_anew():
    model, known = tiny(n_positions=64), [3, 1, 4]
    for token in generate(model, list(known), 8, temperature=0):
        assert token == model(np.array([known])).numpy()[0, -1].argmax()
        known.append(token)


def test_what_does_not_fit_is_refused():
    model = tiny()
    with pytest.raises(ShapeError, match=r"reads events \(B, L\), and a memory of as many pieces, got tokens \(4,\)\n"):
        model(np.arange(4))
    with pytest.raises(ShapeError, match=r"got tokens \(2, 3\), memory of 1 pieces"):
        model(np.ones((2, 3), int), model.memory())
    with pytest.raises(ValueError, match="hidden_size 66 must be a multiple of num_heads 4"):
        tiny(hidden_size=66)
    with pytest.raises(ValueError, match="it must be 1 or more, got 0"):
        tiny(max_relative_position=0)


# ------------------------------------------------------------------------------------------------ events


def test_every_event_has_a_number():
    events = midi.decode(range(midi.EVENTS))
    assert len(set(events)) == midi.EVENTS == 128 + 128 + 100 + 32
    np.testing.assert_array_equal(midi.encode(events), np.arange(388))
    assert events[60] == ("note_on", 60)
    assert [events[i] for i in (127, 128, 255, 256, 355, 356, 387)] == [
        ("note_on", 127), ("note_off", 0), ("note_off", 127), ("time_shift", 1), ("time_shift", 100), ("velocity", 1),
        ("velocity", 32),
    ]  # fmt: skip
    for wrong in (("note_on", 128), ("time_shift", 0), ("velocity", 33), ("pedal", 1)):
        with pytest.raises(ValueError, match="is no event; there are note_on 0 to 127, note_off 0 to 127, time_shift 1 to 100"):
            midi.encode([wrong])
    for number in (-1, 388):
        with pytest.raises(ValueError, match=f"numbers 0 to 387, got {number}"):
            midi.decode([3, number])


def test_two_notes_as_events():
    """A chord of two keys, the second held on for 1.3 s after the first went up."""
    notes = [(0.5, 1.0, 60, 80), (0.5, 2.3, 64, 80)]
    assert midi.to_events(notes) == [
        ("time_shift", 50), ("velocity", 20), ("note_on", 60), ("note_on", 64), ("time_shift", 50), ("note_off", 60),
        ("time_shift", 100), ("time_shift", 30), ("note_off", 64),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="velocity is from 1 to 127, got 0"):
        midi.to_events([(0, 1, 60, 0)])


def test_notes_come_back_as_they_were():
    """Times to half a step, velocities to their bin; a key that is struck again as it goes up, and one that is hardly touched."""
    starts, lengths, loud = (
        numbers("starts", (40,), 3000) / 100,
        numbers("lengths", (40,), 150) / 100,
        numbers("loud", (40,), 127),
    )
    notes = [(starts[i], starts[i] + lengths[i], 30 + i, 1 + loud[i]) for i in range(40)]
    notes += [(1.004, 2.0, 20, 64), (2.0, 2.001, 20, 64)]
    found = midi.to_notes(midi.decode(midi.encode(midi.to_events(notes))))
    assert found == sorted(found)
    by_key = (sorted(each, key=lambda note: (note[2], note[0])) for each in (found, notes))
    for note, (start, end, pitch, velocity) in zip(*by_key, strict=True):
        assert note.pitch == pitch
        assert abs(note.start - start) < 0.0051
        assert abs(note.end - max(end, start + 0.01)) < 0.0051
        assert note.velocity <= velocity < note.velocity + 4


def test_any_sequence_of_events_can_be_played():
    assert midi.to_notes([("note_off", 60), ("time_shift", 10), ("note_on", 60), ("time_shift", 10)]) == [(0.1, 0.2, 60, 65)]
    struck_twice = [("velocity", 2), ("note_on", 60), ("time_shift", 10), ("note_on", 60), ("time_shift", 10), ("note_off", 60)]
    assert midi.to_notes(struck_twice) == [(0.0, 0.1, 60, 5), (0.1, 0.2, 60, 5)]
    midi.to_notes(midi.decode(numbers("events", (2000,), 388)))
