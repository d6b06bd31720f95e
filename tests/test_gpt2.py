"""The exact properties of GPT-2, and its files."""

from __future__ import annotations

import math

import numpy as np
import pytest
from golden.weights import noise, numbers
from miniatures import fill

import minivision as mv
from minivision import models
from minivision.errors import CheckpointError


def tiny(**overrides):
    return fill(mv.create_model("gpt2_tiny", n_layer=2, vocab_size=50, **overrides).double()).eval()


@pytest.mark.parametrize("name", ["gpt2", "gpt2_medium", "gpt2_large", "gpt2_xl"])
def test_parameters_are_the_formula_s(name):
    config = models.entry(name).config
    L, d, V, n = config.n_layer, config.n_embd, config.vocab_size, config.n_positions
    assert models.entry(name).params == 12 * L * d**2 + 13 * L * d + (V + n) * d + 2 * d
    assert mv.count_parameters(mv.create_model(name)) == models.entry(name).params


def test_a_token_says_nothing_of_those_before_it():
    model, tokens = tiny(), numbers("input", (2, 12), 50)
    changed = tokens.copy()
    changed[:, 7:] = (changed[:, 7:] + 3) % 50
    before, after = model(tokens).numpy(), model(changed).numpy()
    np.testing.assert_array_equal(before[:, :7], after[:, :7])
    assert (np.abs(before[:, 7] - after[:, 7]).max(-1) > 1e-3).all()


def test_the_loss_is_the_mean_over_all_but_the_first_token():
    model, tokens = tiny(), numbers("input", (2, 6), 50)
    logits = model(tokens).numpy()
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    wanted = -np.mean([log_p[b, t - 1, tokens[b, t]] for b in range(2) for t in range(1, 6)])
    assert model.loss(tokens).item() == model.loss(mv.tensor(tokens)).item() == pytest.approx(wanted, rel=1e-12)
    mv.manual_seed(0)
    fresh = mv.create_model("gpt2_tiny", vocab_size=50)
    assert fresh.loss(tokens).item() == pytest.approx(math.log(50), rel=0.02)


def test_the_table_of_tokens_gets_both_gradients():
    model, tokens = tiny(), numbers("input", (1, 5), 50)
    model.loss(tokens).backward()
    gradient = model.transformer.wte.weight.grad.numpy()
    assert np.abs(gradient).min(0).max() > 0.0  # of the logits: all rows; an embedding alone has those of its tokens
    assert len(np.flatnonzero(np.abs(gradient).sum(1))) == 50


def test_files_of_several_forms_load():
    model = tiny()
    state = model.state_dict()
    bare = {key.removeprefix("transformer."): value for key, value in state.items()}
    masks = {f"h.{i}.attn.{name}": np.ones((1, 1, 4, 4)) for i in range(2) for name in ("bias", "masked_bias")}
    for arrays in (state, bare, {**bare, **masks}, {**state, "lm_head.weight": state["transformer.wte.weight"]}):
        other = mv.create_model("gpt2_tiny", n_layer=2, vocab_size=50).double()
        assert mv.load_weights(other, arrays) == ([], [])
        np.testing.assert_array_equal(other(np.array([[1, 2]])).numpy(), model(np.array([[1, 2]])).numpy())
    with pytest.raises(CheckpointError, match=r"lm_head.weight is not the table of tokens"):
        mv.load_weights(tiny(), {**state, "lm_head.weight": noise("other", (50, 64))})


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="n_embd 66 must be a multiple of n_head 4"):
        mv.create_model("gpt2_tiny", n_embd=66)
