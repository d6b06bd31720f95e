"""The exact properties of the Transformer-Decoder: who sees whom in each kind of layer, what that costs, the loss, going on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from golden.weights import noise, numbers
from miniatures import fill

import minivision as mv
from minivision import functional as F
from minivision import models
from minivision.errors import ShapeError
from minivision.models._search import beam_search, greedy_search
from minivision.models.transformer_decoder import visible


def tiny(**overrides):
    return fill(mv.create_model("transformer_decoder_tiny", **overrides).double()).eval()


def attention(kind, **overrides):
    """The attention of a tiny model's first layer, of that kind."""
    return tiny(layers=kind, **overrides).layers[0].self_attn


@pytest.mark.parametrize("name", ["transformer_decoder", "transformer_decoder_dmca"])
def test_parameters_are_the_formula_s(name):
    config = models.entry(name).config
    L, d, ff, V = len(config.layers), config.d_model, config.dim_feedforward, config.vocab_size
    convolutions = config.layers.count("M") * 2 * (config.compression * d * d + d)
    count = mv.count_parameters(mv.create_model(name))
    assert count == L * (4 * d * d + 2 * d * ff + ff + d + 4 * d) + convolutions + V * d


# ------------------------------------------------------------------------------------------------ who sees whom


def test_a_group_is_seen_once_all_its_tokens_have_passed():
    for length in range(1, 12):
        for c in (1, 2, 3, 5):
            groups = [range(c * j, c * j + c) for j in range(length // c)]
            wanted = [[True] + [all(s < t for s in group) for group in groups] for t in range(length)]
            np.testing.assert_array_equal(visible(length, c), wanted)
    assert visible(4, 3).tolist() == [[True, False], [True, False], [True, False], [True, True]]


RULES = {
    "F": lambda t, s: s <= t,
    "L": lambda t, s: s <= t and s // 4 == t // 4,
    "M": lambda t, s: s in (0, t) or 3 * (s // 3) + 2 < t,  # itself by its query, the first, and whole groups before it
}


@pytest.mark.parametrize("length", [1, 2, 3, 11, 12])
@pytest.mark.parametrize("kind", RULES)
def test_what_a_token_depends_on(kind, length):
    layer, x = attention(kind, block=4), noise("x", (1, length, 32)).astype(np.float64)
    before = layer(mv.tensor(x), causal=True).numpy()
    moved = np.zeros((length, length), bool)
    for s in range(length):
        other = x.copy()
        other[0, s] += noise("move", (32,))
        moved[:, s] = (layer(mv.tensor(other), causal=True).numpy() != before).any(-1)[0]
    alone = kind != "M" and np.array([[t == s for s in range(length)] for t in range(length)])
    wanted = np.array([[RULES[kind](t, s) for s in range(length)] for t in range(length)])
    if kind == "M":  # where the first token's is the only key, its value is the answer whatever the query is
        for t in range(1, min(3, length)):
            wanted[t, t] = False
    np.testing.assert_array_equal(moved, wanted | alone)


@pytest.mark.parametrize("compression", [1, 2, 3])
def test_compressed_attention_token_by_token(compression):
    layer, length = attention("M", compression=compression), 10
    x = noise("x", (length, 32)).astype(np.float64)
    q, k, v = np.split(x @ layer.in_proj_weight.numpy().T, 3, axis=1)  # 3 x (N, d)

    def grouped(convolution, rows, j):
        weight, bias = convolution.weight.numpy(), convolution.bias.numpy()
        return bias + sum(weight[:, :, i] @ rows[j * compression + i] for i in range(compression))

    wanted = np.zeros((length, 32))
    for t in range(length):
        past = [j for j in range(length // compression) if (j + 1) * compression <= t]
        keys = [k[0], *(grouped(layer.keys, k, j) for j in past)]
        values = [v[0], *(grouped(layer.values, v, j) for j in past)]
        for h in range(4):
            head = slice(8 * h, 8 * h + 8)
            p = np.exp([q[t, head] @ key[head] / math.sqrt(8) for key in keys])
            wanted[t, head] = sum(w * value[head] for w, value in zip(p / p.sum(), values, strict=True))
    found = layer(mv.tensor(x[None]), causal=True).numpy()[0]
    np.testing.assert_allclose(found, wanted @ layer.out_proj.weight.numpy().T, rtol=0, atol=1e-12)


def test_one_block_is_full_attention():
    full, tokens = tiny(layers="FF"), numbers("input", (2, 20), 16)
    local = tiny(layers="LL", block=20)
    np.testing.assert_array_equal(local(tokens).numpy(), full(tokens).numpy())
    assert np.abs(tiny(layers="LL", block=19)(tokens).numpy() - full(tokens).numpy())[:, -1].max() > 1e-3


@pytest.mark.parametrize("layers", ["LMLML", "FF", "MM"])
def test_a_token_says_nothing_of_those_before_it(layers):
    model, tokens = tiny(layers=layers), numbers("input", (2, 30), 16)
    before = model(tokens).numpy()
    for t in (1, 7, 8, 9, 26, 29):
        changed = tokens.copy()
        changed[:, t:] = (changed[:, t:] + 3) % 16
        after = model(changed).numpy()
        np.testing.assert_array_equal(before[:, :t], after[:, :t])
        assert (np.abs(before[:, t] - after[:, t]).max(-1) > 1e-3).all()


def test_compressed_layers_carry_what_is_far_away():
    tokens = numbers("input", (1, 30), 16)
    changed = tokens.copy()
    changed[:, 4] = (changed[:, 4] + 3) % 16
    for layers, reaches in (("LL", False), ("LML", True)):
        model = tiny(layers=layers)
        assert (model(tokens).numpy()[0, -1] != model(changed).numpy()[0, -1]).any() == reaches


# --------------------------------------------------------------------------------------------------------- cost


def test_local_attention_costs_as_the_length_and_compressed_a_third():
    d, ff, V, block = 512, 2048, 32000, 256

    def macs(layers, length):
        found = mv.profile(mv.create_model("transformer_decoder_dmca", layers=layers), (length,))
        return found.macs - length * V * d - length * len(layers) * (4 * d * d + 2 * d * ff)

    for length in (512, 1024):
        assert macs("F", length) == 2 * d * length**2
        assert macs("L", length) == 2 * d * length * block
        assert macs("M", length) == 2 * d * length * (1 + length // 3) + 2 * (length // 3) * 3 * d * d


# ------------------------------------------------------------------------------------------------- loss and search


def test_the_loss_is_of_source_and_target():
    model = tiny()
    rows = [model.joined([5, 6, 7], [8, 9]), model.joined([4], [3])]
    assert rows[0].tolist() == [5, 6, 7, 1, 8, 9, 2]
    tokens = np.array([rows[0], np.pad(rows[1], (0, 3))])
    log_p = F.log_softmax(model(tokens), -1).numpy()
    wanted = [-log_p[b, t - 1, tokens[b, t]] for b in range(2) for t in range(1, len(rows[b]))]
    assert len(wanted) == 6 + 3
    for kind in (np.array, mv.tensor, np.ndarray.tolist):
        assert model.loss(kind(tokens)).item() == pytest.approx(np.mean(wanted), rel=1e-12)


@pytest.mark.parametrize("beam", [1, 3])
def test_going_on_is_searching_behind_the_separator(beam):
    model, source = tiny(), numbers("source", (7,), 16)

    def log_p(starts):
        return np.stack([F.log_softmax(model(np.array([[*source, *row]])), -1).numpy()[0, -1] for row in starts])

    wanted = greedy_search(log_p, 1, 2, 6) if beam == 1 else beam_search(log_p, 1, 2, 6, beam)[0]
    assert model.summarise(source, 6, beam) == wanted


def test_a_small_one_learns_to_say_it_again_across_blocks():
    """Words by chance cost ln 13 each, whatever is learned; behind the separator all is known."""
    mv.manual_seed(0)
    model, rng = mv.create_model("transformer_decoder_tiny", block=4), np.random.default_rng(0)
    optimizer = mv.optim.Adam(model.parameters(), lr=3e-3, betas=(0.9, 0.98), eps=1e-9)
    scheduler = mv.schedule.Scheduler(optimizer, mv.schedule.inverse_sqrt(60))
    least = 3 * math.log(13) / 9  # of ten tokens nine are predicted, three of them by chance
    for _ in range(250):
        loss = model.loss(np.stack([model.joined(words, words) for words in rng.integers(3, 16, (64, 4))]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    assert -0.03 < loss.item() - least < 0.06
    for beam in (1, 4):
        for words in rng.integers(3, 16, (5, 4)).tolist():
            assert model.summarise(words, 8, beam) == [*words, 2]


# ------------------------------------------------------------------------------------------------------ refusals


def test_tokens_without_a_batch_are_refused():
    with pytest.raises(ShapeError, match=r"reads tokens \(B, N\), got \(3,\)"):
        tiny()(np.array([3, 4, 5]))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"d_model": 34}, "d_model 34 must be a multiple of nhead 4"),
        ({"layers": "LXL"}, "a word of the letters F, L, M, got 'LXL'"),
        ({"layers": ""}, "a word of the letters"),
        ({"block": 0}, "block and compression are at least 1"),
        ({"vocab_size": 2}, r"three tokens below vocab_size 2"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        mv.create_model("transformer_decoder_tiny", **overrides)
