"""The exact properties of BERT, how tokens are hidden, and its files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from golden.weights import noise, numbers, sketch
from miniatures import fill

import minivision as mv
from minivision import models, optim
from minivision.errors import CheckpointError, ShapeError
from minivision.models.bert import IGNORED, mask_tokens, masked_lm_loss, next_sentence_loss
from minivision.models.bert_encoder import BertModel

ARRAYS = dict(np.load(Path(__file__).parent / "golden" / "bert.npz", allow_pickle=False))
PUBLISHED = mv.list_models("bert_base*") + mv.list_models("bert_large*")
PAD, CLS, SEP, MASK = 0, 1, 2, 3


def tiny(**overrides):
    """bert_tiny in float64 with weights by rule, of sixty tokens."""
    return fill(mv.create_model("bert_tiny", **{"vocab_size": 60, **overrides}).double()).eval()


# ------------------------------------------------------------------------------------------------ sizes


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_formula_s(name):
    """Of what goes into tasks; the registered count has pre-training's heads too: d^2 + 3 d + V of tokens, 2 d + 2 of pairs."""
    config = models.entry(name).config
    L, d, V, T = config.num_hidden_layers, config.hidden_size, config.vocab_size, config.max_position_embeddings
    body = L * (12 * d**2 + 13 * d) + (V + T + 2) * d + 2 * d + d**2 + d
    known = {
        "bert_base_uncased": 109_482_240, "bert_large_uncased": 335_141_888,
        "bert_base_cased": 108_310_272, "bert_large_cased": 333_579_264,
    }  # fmt: skip
    assert mv.count_parameters(mv.create_model(name).bert) == mv.count_parameters(BertModel(config)) == body == known[name]
    assert models.entry(name).params == body + d**2 + 3 * d + V + 2 * d + 2


def test_the_shapes_are_the_paper_s():
    """12 layers, 768 wide, 12 heads and 110 million; 24, 1024, 16, and as printed 340 million; the wide layer is 4 H."""
    base, large = (models.entry(f"bert_{size}_uncased").config for size in ("base", "large"))
    assert [(c.num_hidden_layers, c.hidden_size, c.num_attention_heads) for c in (base, large)] == [(12, 768, 12), (24, 1024, 16)]
    assert (base.intermediate_size, large.intermediate_size) == (3072, 4096)
    assert round(mv.count_parameters(BertModel(base)) / 1e6, -1) == 110
    assert round(mv.count_parameters(BertModel(large)) / 1e6) == 335


# ------------------------------------------------------------------------------------------------ what sees what


def test_it_sees_in_both_directions():
    model, tokens = tiny(), numbers("input", (2, 12), 60)
    before = model(tokens).mlm.numpy()
    for place in (0, 5, 11):
        changed = tokens.copy()
        changed[:, place] = (changed[:, place] + 3) % 60
        after = model(changed).mlm.numpy()
        assert (np.abs(after - before).max(-1) > 1e-4).all(), f"all twelve see token {place}"


@pytest.mark.parametrize("where", ["behind", "in front of the second sentence"])
def test_padding_with_its_mask_changes_nothing(where):
    """Positions stay where they are: padding in the middle is put where a text's own position is not."""
    model, tokens = tiny(), numbers("input", (2, 12), 60)
    at = 12 if where == "behind" else 7
    seen = np.ones((2, 12 + 5), bool)
    seen[:, at : at + 5] = False
    padded, segments = np.full((2, 17), PAD), (np.arange(17) >= at).repeat(2).reshape(17, 2).T.astype(int)
    padded[seen] = tokens.reshape(-1)
    if where == "behind":
        wanted = model(tokens)
        found = model(padded, seen=seen)
        np.testing.assert_allclose(found.mlm.numpy()[:, :12], wanted.mlm.numpy(), rtol=0, atol=1e-13)
        np.testing.assert_allclose(found.nsp.numpy(), wanted.nsp.numpy(), rtol=0, atol=1e-13)
        assert np.abs(model(padded).mlm.numpy()[:, :12] - wanted.mlm.numpy()).max() > 1e-2, "without it, it changes"
    for other in (numbers("other", (2, 17), 60), padded[:, ::-1]):
        found = model(np.where(seen, padded, other), segments, seen)
        wanted = model(padded, segments, seen)
        np.testing.assert_array_equal(found.mlm.numpy()[seen], wanted.mlm.numpy()[seen])
        np.testing.assert_array_equal(found.nsp.numpy(), wanted.nsp.numpy())


def test_nothing_is_learnt_about_padding():
    """The row of [PAD] has a gradient as a possible answer, none as something read."""
    model, tokens = tiny(), np.maximum(numbers("input", (2, 12), 60), 1)
    tokens[:, 8:], seen = PAD, np.arange(12)[None].repeat(2, 0) < 8
    hidden, pooled = model.bert(tokens, None, seen)
    ((hidden[:, :8] ** 3).sum() + pooled.sum()).backward()
    gradient = model.table.grad.numpy()
    assert not gradient[PAD].any()
    assert gradient[tokens[0, 0]].any()


def test_a_text_of_padding_alone_gives_finite_numbers_and_leaves_others_alone():
    model, tokens = tiny(), numbers("input", (2, 9), 60)
    seen = np.array([[True] * 9, [False] * 9])
    y = model(tokens, seen=seen)
    assert np.isfinite(y.mlm.numpy()).all()
    np.testing.assert_allclose(y.mlm.numpy()[0], model(tokens[:1]).mlm.numpy()[0], rtol=0, atol=1e-13)
    (y.mlm**2).sum().backward()
    assert all(np.isfinite(p.grad.numpy()).all() for p in model.parameters() if p.grad is not None)


def test_pairs_of_sentences_and_their_padding_are_transformers_own():
    """Segments and mask: outputs and gradients of what is no padding, golden/make_bert.py's `padded`."""
    model, places = tiny(), np.arange(20)
    tokens, segments = numbers("pairs", (3, 20), 60), (places >= np.array([[8], [5], [11]])).astype(int)
    seen = places < np.array([[20], [13], [17]])
    found = model(tokens, segments, seen)
    ys = found.mlm * seen[:, :, None].astype(float), found.nsp
    for y, name in zip(ys, ("mlm", "nsp"), strict=True):
        np.testing.assert_allclose(y.numpy(), ARRAYS[f"pairs/{name}"], rtol=0, atol=1e-12)
    sum((y * noise(f"cotangent{i}", y.shape).astype(float)).sum() for i, y in enumerate(ys)).backward()
    sketches = np.concatenate([sketch(name, p.grad.numpy()) for name, p in model.named_parameters()])
    assert np.linalg.norm(sketches - ARRAYS["pairs/sketches"]) <= 1e-11 * np.linalg.norm(ARRAYS["pairs/norms"])


# ------------------------------------------------------------------------------------------------ hiding tokens


def texts(count=2000, length=40):
    """[CLS] words [SEP] words [SEP], then padding; words are from 4 to 59."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(4, 60, (count, length))
    tokens[:, 0] = CLS
    ends = rng.integers(20, length, count)
    tokens[np.arange(length) >= ends[:, None]] = PAD
    tokens[np.arange(count), ends - 1] = tokens[np.arange(count), ends // 2] = SEP
    return tokens


def test_tokens_are_hidden_as_the_paper_says():
    """15 % of each text's, of these 80 % as [MASK], 10 % at random, 10 % as they are, within four standard deviations."""
    tokens = texts()
    read, labels = mask_tokens(tokens, np.random.default_rng(1), MASK, 60, (PAD, CLS, SEP))
    chosen, ordinary = labels != IGNORED, tokens > MASK
    np.testing.assert_array_equal(read[~chosen], tokens[~chosen])
    np.testing.assert_array_equal(labels[chosen], tokens[chosen])
    assert not chosen[~ordinary].any(), "special tokens never"
    wanted = [max(1, round(0.15 * int(n))) for n in ordinary.sum(1)]  # both round halves to even
    np.testing.assert_array_equal(chosen.sum(1), wanted)
    n, before, now = chosen.sum(), tokens[chosen], read[chosen]
    fates = (now == MASK).sum(), ((now != MASK) & (now != before)).sum(), (now == before).sum()
    again = 0.1 / 56  # a word that is drawn may be the one that stood there
    for count, p in zip(fates, (0.8, 0.1 - again, 0.1 + again), strict=True):
        assert abs(count - n * p) < 4 * math.sqrt(n * p * (1 - p))
    drawn = now[(now != MASK) & (now != before)]
    counts = np.bincount(drawn, minlength=60)
    assert counts[:4].sum() == 0, "no special token is drawn"
    expected = len(drawn) / 56
    assert ((counts[4:] - expected) ** 2 / expected).sum() < 55 + 4 * math.sqrt(110), "chi squared of 55 degrees"
    places = chosen[:, 1:10].sum(0) / ordinary[:, 1:10].sum(0)  # words in most texts
    assert np.abs(places - places.mean()).max() < 4 * math.sqrt(0.15 * 0.85 / 1000)


def test_the_same_generator_hides_the_same_and_the_tokens_stay():
    tokens = texts(20)
    kept = tokens.copy()
    one, two = (mask_tokens(tokens, np.random.default_rng(5), MASK, 60, (PAD, CLS, SEP)) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(tokens, kept)


def test_a_short_text_has_one_token_hidden_and_an_empty_one_none():
    tokens = np.array([[CLS, 7, SEP, PAD], [CLS, SEP, PAD, PAD], [CLS, 8, 9, SEP]])
    for seed in range(5):
        _, labels = mask_tokens(mv.tensor(tokens), np.random.default_rng(seed), MASK, 60, (PAD, CLS, SEP))
        assert (labels != IGNORED).sum(1).tolist() == [1, 0, 1]
    _, labels = mask_tokens(tokens, np.random.default_rng(0), MASK, 60, (PAD, CLS, SEP), share=1.0)
    assert (labels != IGNORED).sum() == 3
    with pytest.raises(ValueError, match=r"share is .*, got 15"):
        mask_tokens(tokens, np.random.default_rng(0), MASK, 60, share=15)


# ------------------------------------------------------------------------------------------------ losses


def test_the_loss_is_that_of_the_hidden_tokens_and_of_the_pairs():
    model, tokens = tiny(), texts(3, 24)
    read, labels = mask_tokens(tokens, np.random.default_rng(2), MASK, 60, (PAD, CLS, SEP))
    segments, seen, unrelated = np.zeros_like(tokens), tokens != PAD, np.array([0, 1, 1])
    y = model(read, segments, seen)
    log_p = [each.numpy() - np.log(np.exp(each.numpy()).sum(-1, keepdims=True)) for each in y]
    hidden = [-log_p[0][b, t, tokens[b, t]] for b, t in np.argwhere(labels != IGNORED)]
    pairs = [-log_p[1][b, unrelated[b]] for b in range(3)]
    assert masked_lm_loss(y.mlm, labels).item() == pytest.approx(np.mean(hidden), rel=1e-12)
    assert next_sentence_loss(y.nsp, unrelated).item() == pytest.approx(np.mean(pairs), rel=1e-12)
    assert model.loss(read, labels, segments, seen).item() == pytest.approx(np.mean(hidden), rel=1e-12)
    whole = model.loss(read, labels, segments, seen, unrelated)
    assert whole.item() == pytest.approx(np.mean(hidden) + np.mean(pairs), rel=1e-12)
    fresh = mv.create_model("bert_tiny", vocab_size=60, initializer_range=0.02)
    assert fresh.loss(read, labels, segments, seen, unrelated).item() == pytest.approx(math.log(60) + math.log(2), rel=0.02)
    with pytest.raises(ValueError, match="no token has a label"):
        model.loss(read, np.full_like(tokens, IGNORED))


def test_what_it_says_of_a_hidden_word_is_what_both_sides_tell():
    """Of a Markov chain p(word | both sides) is known: in seconds the loss is near its entropy, far below that of one side."""
    mv.manual_seed(0)
    model = mv.create_model("bert_tiny", vocab_size=10, max_position_embeddings=8)
    rng, optimizer = np.random.default_rng(0), optim.AdamW(model.parameters(), lr=3e-3)
    chain = np.random.default_rng(7).dirichlet(np.full(6, 0.3), 6)  # p(next | word), (6, 6)

    def batch(n):
        words = rng.integers(0, 6, (n, 8))
        for t in range(1, 8):
            words[:, t] = np.minimum((rng.random((n, 1)) > chain.cumsum(1)[words[:, t - 1]]).sum(1), 5)
        at = np.arange(n), rng.integers(1, 7, n)
        read, labels = words + 4, np.full((n, 8), IGNORED)
        labels[at], read[at] = read[at], MASK
        return words, at, read, labels

    for step in range(500):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / 500)
        loss = model.loss(*batch(32)[2:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    words, (rows, places), read, labels = batch(2000)
    before, here, behind = (words[rows, places + step] for step in (-1, 0, 1))
    both = chain[before] * chain[:, behind].T  # (2000, 6)
    wanted = -np.log(both[rows, here] / both.sum(1)).mean()
    one_side = -np.log(chain[before, here]).mean()
    found = mv.no_grad()(model.loss)(read, labels).item()
    assert wanted - 0.01 < found < wanted + 0.1 < one_side - 0.3


# ------------------------------------------------------------------------------------------------ files and refusals


def test_files_of_several_forms_load():
    model, tokens = tiny(), np.array([[1, 7, 2]])
    state = model.state_dict()
    old = {
        key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): a
        for key, a in state.items()
    }
    bare = {key.removeprefix("bert."): a for key, a in old.items()}
    table, bias = state["bert.embeddings.word_embeddings.weight"], state["cls.predictions.bias"]
    tied = {**state, "cls.predictions.decoder.weight": table, "cls.predictions.decoder.bias": bias}
    heads = {key: a for key, a in tied.items() if key not in ("bert.embeddings.word_embeddings.weight", "cls.predictions.bias")}
    positions = {**bare, "embeddings.position_ids": np.arange(128)[None]}
    for arrays in (state, old, bare, tied, heads, positions):
        other = mv.create_model("bert_tiny", vocab_size=60).double()
        assert mv.load_weights(other, arrays) == ([], [])
        np.testing.assert_array_equal(other(tokens).mlm.numpy(), model(tokens).mlm.numpy())


def test_a_file_without_heads_fills_the_rest():
    model = tiny()
    body = {key.removeprefix("bert."): a for key, a in model.state_dict().items() if key.startswith("bert.")}
    other = mv.create_model("bert_tiny", vocab_size=60).double()
    missing, unexpected = mv.load_weights(other, body, strict=False)
    assert unexpected == []
    assert all(key.startswith("cls.") for key in missing)
    np.testing.assert_array_equal(
        other.bert(np.array([[1, 7, 2]])).pooled.numpy(), model.bert(np.array([[1, 7, 2]])).pooled.numpy()
    )


@pytest.mark.parametrize(("part", "shape"), [("weight", (60, 64)), ("bias", (60,))])
def test_an_untied_head_is_refused(part, shape):
    model = tiny()
    with pytest.raises(CheckpointError, match=rf"cls.predictions.decoder.{part} is not "):
        mv.load_weights(model, {**model.state_dict(), f"cls.predictions.decoder.{part}": noise("other", shape)})


def test_the_table_of_tokens_gets_both_gradients():
    model = tiny()
    model.loss(np.array([[1, MASK, 2]]), np.array([[IGNORED, 7, IGNORED]])).backward()
    assert len(np.flatnonzero(np.abs(model.table.grad.numpy()).sum(1))) == 60


def test_what_does_not_fit_is_refused():
    model, tokens = tiny(max_position_embeddings=8), np.ones((2, 5), int)
    with pytest.raises(ShapeError, match=r"T from 1 to 8, got \(2, 9\)"):
        model(np.ones((2, 9), int))
    with pytest.raises(ShapeError, match=r"T from 1 to 8, got \(5,\)"):
        model(tokens[0])
    for name in ("segments", "seen"):
        with pytest.raises(ShapeError, match=rf"{name} should have one number for each token, \(2, 5\)"):
            model(tokens, **{name: np.ones((2, 4), int)})
    with pytest.raises(ValueError, match="hidden_size 66 must be a multiple of num_attention_heads 4"):
        mv.create_model("bert_tiny", hidden_size=66)
