"""The exact properties of XLNet: who sees whom along an order, both streams, memory, segments, and what orders are drawn."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from golden.compare import differences
from golden.weights import noise, numbers
from miniatures import fill

import minivision as mv
from minivision import functional as F
from minivision import models, optim
from minivision.errors import CheckpointError, ShapeError
from minivision.models import permutation
from minivision.models.permutation import as_places, draw_orders, orders, ranks
from minivision.models.xlnet_attention import by_key, distances

ARRAYS = dict(np.load(Path(__file__).parent / "golden" / "xlnet.npz", allow_pickle=False))
ORDER = np.array([[3, 0, 5, 1, 7, 4, 2, 6], [6, 5, 4, 7, 0, 1, 2, 3]])  # as in golden/make_xlnet.py, and the next two
PLACES = np.array([[4, 2, 6], [1, 2, 3]])
SEGMENTS = np.array([[0, 0, 0, 1, 1, 1, 1, 2], [1, 1, 0, 0, 0, 0, 0, 2]])
REMEMBERED = 5
EVERY = np.arange(8)[None].repeat(2, 0)  # both texts' places


def tiny(**overrides):
    return fill(mv.create_model("xlnet_tiny", **{"n_layer": 2, "vocab_size": 50, **overrides}).double()).eval()


def text(T=8, below=50):
    return numbers("input", (2, T), below)


# ------------------------------------------------------------------------------------------------ sizes, files


@pytest.mark.parametrize("name", ["xlnet_base_cased", "xlnet_large_cased", "xlnet_tiny"])
def test_parameters_are_the_formula_s(name):
    config = models.entry(name).config
    L, d, ff, V = config.n_layer, config.d_model, config.d_inner, config.vocab_size
    attention = 5 * d**2 + 3 * d + 2 * d  # q, k, v, o, r; three biases; two segments
    count = V * d + d + V + L * (attention + 2 * 2 * d + 2 * d * ff + ff + d)
    assert mv.count_parameters(mv.create_model(name)) == count
    assert models.entry(name).params in (count, None)


def test_files_load_with_the_logits_matrix_or_without():
    model = tiny()
    state = model.state_dict()
    for arrays in (state, {**state, "lm_loss.weight": state["transformer.word_embedding.weight"]}):
        other = mv.create_model("xlnet_tiny", n_layer=2, vocab_size=50).double()
        assert mv.load_weights(other, arrays) == ([], [])
        np.testing.assert_array_equal(other(text()).numpy(), model(text()).numpy())
    with pytest.raises(CheckpointError, match=r"lm_loss.weight is not transformer.word_embedding.weight"):
        mv.load_weights(tiny(), {**state, "lm_loss.weight": noise("other", (50, 64))})


# -------------------------------------------------------------------------------------------- the reference's


class Streams:
    """A model of which a call gives both streams' logits, as Streams in golden/make_xlnet.py."""

    def __init__(self, model):
        self.model, self.named_parameters, self.parameters = model, model.named_parameters, model.parameters

    def __call__(self, tokens):
        seen = np.ones((2, 8))
        seen[1, 6] = 0
        return [self.logits(tokens, target, seen) for target in (PLACES, None)]

    def logits(self, tokens, target, seen):
        model, dtype = self.model, next(self.parameters()).dtype
        memory = model.memory(REMEMBERED)
        memory.layers = [noise(f"memory {i}", (2, REMEMBERED, 64)).astype(dtype) for i in range(2)]
        return model(tokens, orders(ORDER), target, SEGMENTS, memory, seen)


@pytest.mark.parametrize(("dtype", "bounds"), [(np.float32, (1e-4, 1e-3)), (np.float64, (1e-10, 1e-8))])
def test_both_streams_are_the_reference_s(dtype, bounds):
    """With an order, targets, segments, padding and memory: logits of both streams, and all gradients."""
    arrays = {key.removeprefix("streams/"): value for key, value in ARRAYS.items() if key.startswith("streams/")}
    case = {"input": [8], "batch": 2, "tokens": 50, "gradients": True}
    for kind, entry, error in differences(Streams(tiny().to(dtype)), case, arrays):
        assert error <= bounds[kind == "gradient"], f"{kind} {entry}: off by {error:.1e}"


# ------------------------------------------------------------------------------------------------ who sees whom


def influence(logits, tokens):
    """(B, T, T): by how much the logits of place i move where the token at place j is another."""
    before, moved = logits(tokens), []
    for j in range(tokens.shape[1]):
        changed = tokens.copy()
        changed[:, j] = (changed[:, j] + 7) % 50
        moved.append(np.abs(logits(changed) - before).max(-1))
    return np.stack(moved, -1)


def queries(model):
    """tokens -> the query stream's logits of all places, along ORDER."""
    return lambda tokens: model(tokens, orders(ORDER), EVERY).numpy()


def test_dependence_is_strictly_triangular_in_rank():
    """Section 2.2: the logits of a place depend on the tokens of earlier turns, on each of them, and on nothing else."""
    found, rank = influence(queries(tiny()), text()), ranks(ORDER)
    earlier = rank[:, None, :] < rank[:, :, None]
    assert (found[earlier] > 1e-4).all()
    np.testing.assert_array_equal(found[~earlier], 0.0)  # the first turn too: its row is all zeros


def test_gradients_are_triangular_too():
    model, rank = tiny(), ranks(ORDER)
    tokens = np.arange(16).reshape(2, 8)  # all different: a row of the table for each place
    for i in range(8):
        model.zero_grad()
        _, g = model.transformer(tokens, orders(ORDER), np.full((2, 1), i), None, None, None)
        (g * mv.tensor(noise("cotangent", g.shape).astype(np.float64))).sum().backward()
        moved = np.abs(model.transformer.word_embedding.weight.grad.numpy()[:16]).max(-1).reshape(2, 8) > 0
        np.testing.assert_array_equal(moved, rank < rank[:, i : i + 1])


def test_content_sees_its_own_token_too():
    found = influence(lambda tokens: tiny()(tokens, orders(ORDER)).numpy(), text())
    np.testing.assert_array_equal(found > 0.0, ranks(ORDER)[:, None, :] <= ranks(ORDER)[:, :, None])


def test_minus_1e30_leaks_the_first_turn(monkeypatch):
    """Where all scores are -1e30 softmax is uniform: the first query sees every token, its own too. As in the reference."""
    tokens, first = text(), ORDER[:, :1]
    alone = tiny()(tokens, orders(ORDER), first).numpy()[:, 0]
    monkeypatch.setattr(permutation, "HIDDEN", -1e30)
    leaking = tiny()(tokens, orders(ORDER), first).numpy()[:, 0]
    np.testing.assert_allclose(leaking, ARRAYS["streams/leak"], rtol=0, atol=1e-10 * np.abs(leaking).max())
    assert np.abs(leaking - alone).max() > 1e-2
    found, rank = influence(queries(tiny()), tokens), ranks(ORDER)
    assert (found[rank == 0] > 1e-4).all()  # all of the row, the diagonal too
    later = (rank > 0)[:, :, None] & (rank[:, None, :] >= rank[:, :, None])
    np.testing.assert_array_equal(found[later], 0.0)  # other turns do not leak


@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[::2])
def test_along_any_order_it_is_a_distribution(order, monkeypatch):
    """Eq. 3: the products of p(x_(z_t) | x_(z_<t)) of all texts sum to 1; with the leak they do not."""
    texts = np.array(list(itertools.product(range(4), repeat=3)))  # (64, 3)
    mask, places = (np.stack([each] * 64) for each in (orders(order), np.arange(3)))

    def total():
        p = F.softmax(tiny(vocab_size=4)(texts, mask, places), -1).numpy()
        return np.take_along_axis(p, texts[..., None], -1).prod((1, 2)).sum()

    assert total() == pytest.approx(1.0, abs=1e-12)
    monkeypatch.setattr(permutation, "HIDDEN", -1e30)
    assert abs(total() - 1.0) > 1e-4


def test_from_left_to_right_it_is_autoregression():
    tokens, order = text(), np.arange(8)[None].repeat(2, 0)
    np.testing.assert_array_equal(orders(order)[0], ~np.tri(8, k=-1, dtype=bool))
    whole = tiny()(tokens, orders(order), EVERY).numpy()
    for t in range(1, 8):
        part = tiny()(tokens[:, : t + 1], orders(order[:, : t + 1]), order[:, t : t + 1]).numpy()[:, 0]
        np.testing.assert_allclose(whole[:, t], part, rtol=0, atol=1e-12)


# ------------------------------------------------------------------------------------------------ both streams


def test_the_content_stream_is_the_model_without_queries():
    model = tiny()
    alone, none = model.transformer(text(), orders(ORDER), None, SEGMENTS, None, None)
    both, g = model.transformer(text(), orders(ORDER), PLACES, SEGMENTS, None, None)
    assert none is None
    assert g.shape == (2, 3, 64)
    np.testing.assert_array_equal(alone.numpy(), both.numpy())


def test_a_query_does_not_know_which_others_are_asked():
    model, mask = tiny(), orders(ORDER)
    every = model(text(), mask, EVERY, SEGMENTS).numpy()
    np.testing.assert_allclose(
        model(text(), mask, PLACES, SEGMENTS).numpy(), np.take_along_axis(every, PLACES[..., None], 1), rtol=0, atol=1e-12
    )
    one_hot = np.eye(8)[PLACES]
    np.testing.assert_array_equal(model(text(), mask, one_hot).numpy(), model(text(), mask, PLACES).numpy())


def test_distances_are_those_of_places():
    """by_key against the definition, with keys that are remembered: row i, key j has the distance i + K - T - j."""
    T, K = 4, 7
    scores = noise("scores", (2, 3, T, K + T))
    far = list(range(K, -T, -1))
    np.testing.assert_array_equal(distances(T, K, 6)[:, 0], np.sin(far))
    np.testing.assert_array_equal(distances(T, K, 6)[:, 5], np.cos(np.array(far) / 10000 ** (4 / 6)))
    wanted = np.array([[scores[:, :, i, far.index(i + K - T - j)] for j in range(K)] for i in range(T)]).transpose(2, 3, 0, 1)
    np.testing.assert_array_equal(by_key(mv.tensor(scores), K).numpy(), wanted)
    places = np.array([[2, 0], [3, 3]])
    rows = np.stack([scores[b][:, places[b]] for b in range(2)])
    some = np.stack([wanted[b][:, places[b]] for b in range(2)])
    np.testing.assert_array_equal(by_key(mv.tensor(rows), K, places).numpy(), some)


# ------------------------------------------------------------------------------ memory, segments, padding


def test_memory_stands_for_the_tokens_before():
    """In one layer, whose inputs are the tokens': the second half with the first remembered is that of the whole."""
    model, tokens = tiny(n_layer=1), text(12)
    order = np.concatenate([np.arange(4), 4 + ORDER[0]])[None].repeat(2, 0)  # the first four are told before
    wanted = model(tokens, orders(order), 4 + EVERY).numpy()
    memory = model.memory(4)
    model(tokens[:, :4], memory=memory)
    assert memory.length == 4
    got = model(tokens[:, 4:], orders(ORDER[[0, 0]]), EVERY, memory=memory).numpy()
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-12)


def test_memory_keeps_the_last_tokens_of_what_is_reused():
    model, tokens = tiny(), text(6)
    memory, states = model.memory(7, reuse=4), model.transformer.word_embedding(tokens).numpy()
    for length in (4, 7, 7):
        model(tokens, memory=memory)
        assert memory.length == length
    np.testing.assert_array_equal(memory.layers[0], np.concatenate([states[:, 1:4], states[:, :4]], 1))
    empty = model.memory(0)
    np.testing.assert_array_equal(model(tokens, memory=empty).numpy(), model(tokens).numpy())
    assert empty.length == 0


def test_no_gradient_flows_into_memory():
    model, memory = tiny(n_layer=1), tiny(n_layer=1).memory(4)
    model(np.array([[7, 8, 9, 10]]), memory=memory)
    h, _ = model.transformer(np.array([[1, 2]]), None, None, None, memory, None)
    h.sum().backward()
    np.testing.assert_array_equal(model.transformer.word_embedding.weight.grad.numpy()[7:11], 0.0)


def test_only_whether_segments_are_equal_matters():
    model = tiny()
    named = model(text(), segments=SEGMENTS).numpy()
    np.testing.assert_array_equal(named, model(text(), segments=5 - 2 * SEGMENTS).numpy())
    assert np.abs(named - model(text(), segments=SEGMENTS * 0).numpy()).max() > 1e-3
    np.testing.assert_allclose(model(text(), segments=SEGMENTS * 0).numpy(), model(text()).numpy(), rtol=0, atol=1e-12)


def test_padding_changes_nothing():
    model, tokens, there = tiny(), text(), np.ones((2, 8))
    there[:, 6:] = 0
    wanted = model(tokens[:, :6]).numpy()
    np.testing.assert_allclose(model(tokens, attention_mask=there).numpy()[:, :6], wanted, rtol=0, atol=1e-12)
    tokens[:, 6:] = 1
    np.testing.assert_allclose(model(tokens, attention_mask=there).numpy()[:, :6], wanted, rtol=0, atol=1e-12)
    assert np.isfinite(model(tokens, attention_mask=np.zeros((2, 8))).numpy()).all()  # nothing but itself is there


# ------------------------------------------------------------------------------------------------ drawing orders


def drawn(K, seed=0, tokens=None, **options):
    tokens = numbers("input", (3, 24), 50) if tokens is None else tokens
    return tokens, draw_orders(tokens, K, rng=np.random.default_rng(seed), **options)


@pytest.mark.parametrize(("K", "block"), [(6, None), (3, 12), (4, 8), (1, None), (2, 4)])
def test_the_last_of_each_block_are_predicted(K, block):
    _, (rank, mask, places) = drawn(K, block=block)
    width, target = block or 24, np.zeros((3, 24), bool)
    np.put_along_axis(target, places, True, 1)
    np.testing.assert_array_equal(target.reshape(3, -1, width).sum(-1), width // K)
    np.testing.assert_array_equal(rank[~target], -1)
    turns = np.take_along_axis(rank, places, 1)
    assert (np.diff(turns) > 0).all()  # in the order of their turns, one block after another
    assert (turns % width >= width - width // K).all()  # the last ones
    np.testing.assert_array_equal(turns // width, places // width)
    wanted = np.where(target[:, :, None], rank[:, None, :] >= rank[:, :, None], target[:, None, :])
    np.testing.assert_array_equal(mask, wanted)  # who is no target is seen by all, and sees no target


def test_predicting_all_is_the_whole_order():
    _, (rank, mask, places) = drawn(1)
    np.testing.assert_array_equal(mask, orders(places))
    np.testing.assert_array_equal(rank, ranks(places))


def test_functional_tokens_are_no_targets_and_keep_their_turn():
    for seed in range(20):
        tokens, (rank, mask, places) = drawn(3, seed, functional=(3, 4, 5, 6, 7, 8))
        fixed = (tokens >= 3) & (tokens <= 8)
        assert fixed.any()
        assert not np.take_along_axis(fixed, places, 1).any()
        target = np.zeros_like(fixed)
        np.put_along_axis(target, places, True, 1)
        for b, i, j in itertools.product(range(3), range(24), range(24)):
            late = fixed[b, j] or target[b, j]
            seen = not late or rank[b, j] < rank[b, i] or (i == j and fixed[b, i])
            assert mask[b, i, j] == (not seen)


def test_every_place_is_predicted_equally_often():
    counts = np.zeros(8)
    rng = np.random.default_rng(0)
    for _ in range(100):
        counts += np.bincount(draw_orders(np.zeros((40, 8), int), 4, rng=rng).target_mapping.reshape(-1), minlength=8)
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000)  # 100 x 40 texts of 2 targets


def test_the_loss_is_the_mean_over_the_targets():
    model, tokens = tiny(), text(12)
    found = draw_orders(tokens, 3, rng=np.random.default_rng(0))
    logits = model(tokens, found.perm_mask, found.target_mapping).numpy()
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    wanted = -np.mean([log_p[b, m, tokens[b, place]] for b in range(2) for m, place in enumerate(found.target_mapping[b])])
    assert model.loss(tokens, found).item() == pytest.approx(wanted, rel=1e-12)


# ---------------------------------------------------------------------------------- what it learns, exactly known


def test_means_do_not_count():
    """Where all tokens are equal, so are all means of them: a query cannot know how many it sees, one or seven."""
    same = tiny()(np.full((2, 8), 7), orders(ORDER), ORDER).numpy()
    np.testing.assert_allclose(same[:, 1:], same[:, 1:2].repeat(7, 1), rtol=0, atol=1e-12)
    assert np.abs(same[:, 0] - same[:, 1]).max() > 1e-2  # but it knows whether it sees any
    np.testing.assert_array_equal(same[0, 0], same[1, 0])  # who sees none knows nothing, not even a place


TEXTS = np.array([(2, *tosses) for tosses in itertools.product((0, 1), repeat=6)])  # a token that says nothing, six tosses
HEADS = (TEXTS == 1).sum(1)
P = 1.0 / (7.0 * np.array([math.comb(6, n) for n in HEADS]))  # of a coin whose odds are drawn evenly: HEADS is even, too
LEAST = -(P * np.log(P)).sum() / 6  # nats a toss


def learned(first, lr):
    """Nats a toss after 80 steps in random orders, along two orders; first: all see the token that says nothing."""
    mv.manual_seed(0)
    model = mv.create_model("xlnet_tiny", n_layer=1, d_model=32, n_head=2, d_inner=64, vocab_size=3)
    optimizer, rng, texts = optim.AdamW(model.parameters()), np.random.default_rng(0), TEXTS[:, not first :]

    def loss(turns):
        order = np.concatenate([np.zeros((64, 1), int), 1 + turns], 1) if first else turns
        logits = model(texts, orders(order), order[:, -6:]).reshape(-1, 3)
        wanted = np.take_along_axis(texts, order[:, -6:], 1).reshape(-1)
        return (F.cross_entropy(logits, wanted, reduction="none") * (P.repeat(6) / 6).astype(np.float32)).sum()

    for step in range(80):
        optimizer.param_groups[0]["lr"] = lr * min(1.0, (step + 1) / 10) * (1.0 - step / 80)
        optimizer.zero_grad()
        loss(rng.permuted(np.arange(6)[None].repeat(64, 0), axis=1)).backward()
        optimizer.step()
    return [loss(np.array([turns] * 64)).item() for turns in ([0, 1, 2, 3, 4, 5], [3, 1, 5, 0, 2, 4])]


def test_in_any_order_it_learns_what_is_exchangeable_to_its_entropy():
    """Laplace's rule of succession, for which it has to count: so with a token that is always seen."""
    found = learned(first=True, lr=1e-2)
    assert LEAST < min(found) <= max(found) < 1.003 * LEAST
    assert max(found) == pytest.approx(min(found), rel=5e-4)


def test_without_a_token_that_all_see_it_learns_as_much_as_means_tell():
    counts = {}  # share of heads among the tosses seen: probabilities of that and tails next, of that and heads next
    for n in range(6):
        for k in range(n + 1):
            tails, heads = counts.get(share := k / n if n else None, (0.0, 0.0))
            counts[share] = tails + (n + 1 - k) / (n + 1) / (n + 2), heads + (k + 1) / (n + 1) / (n + 2)
    bound = -sum(p * math.log(p / sum(pair)) for pair in counts.values() for p in pair) / 6
    assert bound > 1.01 * LEAST
    found = learned(first=False, lr=1e-2)
    assert bound < min(found) <= max(found) < 1.003 * bound


def test_a_leak_shows_as_a_loss_below_the_entropy(monkeypatch):
    monkeypatch.setattr(permutation, "HIDDEN", -1e30)
    assert max(learned(first=False, lr=5e-3)) < 0.99 * LEAST


# -------------------------------------------------------------------------------------------------- refusals


def test_what_does_not_fit_is_refused():
    model, tokens = mv.create_model("xlnet_tiny"), text()
    with pytest.raises(ShapeError, match=r"reads tokens \(B, T\)"):
        model(tokens[0])
    with pytest.raises(ShapeError, match=r"perm_mask should be \(2, 8, 8\), got \(8, 8\)"):
        model(tokens, orders(ORDER[0]))
    memory = model.memory(4)
    model(tokens, memory=memory)
    with pytest.raises(ShapeError, match="the memory is of 2 texts"):
        model(tokens[:1], memory=memory)
    with pytest.raises(ValueError, match="target_mapping without perm_mask"):
        model(tokens, target_mapping=PLACES)
    for wrong in (PLACES + 5, PLACES[0], np.zeros((2, 3, 8)), PLACES * 1.0):
        with pytest.raises(ShapeError, match=r"places \(B, M\) below 8, or \(B, M, 8\)"):
            as_places(wrong, 2, 8)
    with pytest.raises(ValueError, match="d_model 66 must be even and a multiple of n_head 4"):
        mv.create_model("xlnet_tiny", d_model=66)
    for options in ({"block": 5}, {"K": 0}, {"K": 25}, {"block": 4, "K": 5}):
        with pytest.raises(ValueError, match="must divide a text of 24"):
            drawn(**{"K": 6, **options})
    with pytest.raises(ValueError, match="has fewer than 4 that may be targets"):
        drawn(6, tokens=np.zeros((1, 24), int), functional=(0,))
