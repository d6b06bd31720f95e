"""DynamicViT's exact properties and training mode; its other numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

import numpy as np
import pytest
from golden.weights import gumbel, noise
from miniatures import fill
from test_models import ARRAYS, BOUNDS, hold, with_kernels

import minivision as mv
from minivision import functional as F
from minivision import models, random
from minivision.models import dynamic_vit
from minivision.models.dynamic_vit import Attention, Predictor, masked_softmax

RATES = {"_r05": 0.5, "_r06": 0.6, "": 0.7, "_r08": 0.8, "_r09": 0.9}
TRAIN = {"input": [1, 8, 8], "batch": 3, "train": True, "gradients": True}  # as golden/make_dynamic_vit.py has it


def digits(**overrides):
    """The small model in evaluation mode, and images."""
    model = fill(mv.create_model("dynamic_vit_digits", **overrides).double()).eval()
    return model, mv.tensor(noise("input", (3, *model.config.input_shape)).astype(np.float64))


class Drawn:
    """In place of the generator: the noise that the reference drew, stage after stage."""

    stage = -1

    def gumbel(self, size):
        self.stage += 1
        return gumbel(f"choice {self.stage}", size)


@with_kernels
@pytest.mark.parametrize("dtype", BOUNDS)
def test_training_mode_computes_what_the_reference_computes(dtype, monkeypatch):
    """Logits, tokens, decisions and all gradients, with the same Gumbel noise."""
    model = fill(mv.create_model("dynamic_vit_digits", distill=True).to(dtype)).train()
    monkeypatch.setattr(random, "_generator", Drawn())
    label, stored = "digits train/", ARRAYS["dynamic_vit"]
    arrays = {key.removeprefix(label): array for key, array in stored.items() if key.startswith(label)}
    bounds = np.maximum(BOUNDS[dtype], 3.0 * arrays["single"]) if dtype == np.float32 else BOUNDS[dtype]
    hold(model, TRAIN, arrays, bounds)


# ------------------------------------------------------------------------------------------------------ sizes


@pytest.mark.parametrize("rate", RATES)
def test_the_cost_in_closed_form(rate):
    """A block of T tokens costs 12 T D^2 + 2 T^2 D, a predictor of n patches n (D^2 + D^2 / 2 + D^2 / 8 + D / 2)."""
    found = models.entry(f"dynamic_vit_small{rate}")
    assert found.config.base_rate == RATES[rate]
    D, counts = found.config.embed_dim, (196, *found.config.tokens)
    blocks = sum(3 * (12 * (n + 1) * D * D + 2 * (n + 1) ** 2 * D) for n in counts)
    predictors = sum(n * (13 * D * D // 8 + D // 2) for n in counts[:3])
    assert found.macs == blocks + predictors + 196 * 768 * D + 1000 * D


def test_a_predictor_s_parameters():
    assert mv.profile(Predictor(384), (196, 384)).parameters == 241_250
    entry = models.entry("dynamic_vit_small")
    assert entry.params - models.entry("deit_small_patch16_224").params == 3 * 241_250


def test_tokens_are_gone_where_they_are_dropped():
    """196, 137, 96 and 67 patches, and the class token, go through three blocks each."""
    model = fill(mv.create_model("dynamic_vit_small", embed_dim=24)).eval()
    seen = []
    for block in model.blocks:
        block.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    x = mv.tensor(noise("input", (1, 3, 224, 224)))
    with mv.no_grad():
        model(x)
        _, stages = model.pruned(model.embed(x))
    assert seen[:12] == [(1, 1 + n, 24) for n in (196, 137, 96, 67) for _ in range(3)]
    assert [each.shape for each in stages] == [(1, 137), (1, 96), (1, 67)]
    for before, after in zip([np.arange(196)[None], *stages], stages, strict=False):
        assert set(after[0]) <= set(before[0])
        assert np.all(np.diff(after[0]) > 0)


def test_the_best_patches_stay():
    model, x = digits()
    z = model.embed(x)
    scores = model.score_predictor[0](z[:, 1:]).numpy()[:, :, 0]
    for row, chosen in zip(scores, model.chosen(z, 0), strict=True):
        assert len(chosen) == 11
        assert row[chosen].min() > np.delete(row, chosen).max()


# --------------------------------------------------------------------------------------- masked attention


def tokens(*shape):
    """Random tokens in float64."""
    return noise("tokens", shape).astype(np.float64)


def policy_of(kept, N, B=2):
    """(B, N, 1): 1 for the kept places."""
    made = np.zeros((B, N, 1))
    made[:, kept] = 1.0
    return made


KEPT = [0, 2, 3, 7, 8]


def test_masked_attention_is_attention_on_the_pruned_set(monkeypatch):
    """With eps = 0 to rounding; with the paper's 1e-6 the weights are off by no more than that."""
    config = models.entry("dynamic_vit_digits").config
    attention = fill(Attention(config).double())
    x = tokens(2, 10, 64)
    pruned = attention(mv.tensor(x[:, KEPT].copy())).numpy()
    found = attention(mv.tensor(x), policy_of(KEPT, 10)).numpy()[:, KEPT]
    assert 1e-9 < np.abs(found - pruned).max() < 1e-5
    monkeypatch.setattr(dynamic_vit, "EPS", 0.0)
    found = attention(mv.tensor(x), policy_of(KEPT, 10)).numpy()[:, KEPT]
    np.testing.assert_allclose(found, pruned, rtol=0, atol=1e-14)


def test_masked_weights():
    """Rows sum to 1; a dropped token is seen by itself alone; without anything dropped they are the softmax."""
    scores = 3.0 * tokens(2, 4, 10, 10)
    found = masked_softmax(mv.tensor(scores), policy_of(KEPT, 10), 0.0).numpy()
    np.testing.assert_allclose(found.sum(-1), 1.0, rtol=0, atol=1e-14)
    dropped = np.setdiff1d(np.arange(10), KEPT)
    others = np.where(np.eye(10, dtype=bool), 0.0, found)[..., dropped]
    assert not others.any()
    assert np.all(found[..., dropped, dropped] > 0.0)
    e = np.exp(scores)
    plain = masked_softmax(mv.tensor(scores), np.ones((2, 10, 1)), 0.0).numpy()
    np.testing.assert_allclose(plain, e / e.sum(-1, keepdims=True), rtol=1e-13)


def test_training_with_evaluation_s_decisions_is_evaluation(monkeypatch):
    """The whole network: carried along and not looked at, or gone, is the same."""
    monkeypatch.setattr(dynamic_vit, "EPS", 0.0)
    model, x = digits()
    wanted = model(x).numpy()
    counts = iter(model.config.tokens)

    def best(log_probabilities, kept):
        scores = np.where(kept[:, :, 0] > 0, log_probabilities.numpy()[:, :, 0], -np.inf)
        places = np.argsort(-scores, axis=1)[:, : next(counts)]
        made = np.zeros_like(kept)
        np.put_along_axis(made[:, :, 0], places, 1.0, axis=1)
        return made

    monkeypatch.setattr(model, "decide", best)
    np.testing.assert_allclose(model.train()(x).numpy(), wanted, rtol=0, atol=1e-12)


def test_with_every_patch_kept_it_is_the_plain_transformer():
    model, x = digits(base_rate=1.0)
    plain = mv.create_model("vit_digits").double().eval()
    plain.load_state_dict({key: value for key, value in model.state_dict().items() if not key.startswith("score_predictor")})
    np.testing.assert_array_equal(model(x).numpy(), plain(x).numpy())


# ------------------------------------------------------------------------------------------------ decisions


def test_a_patch_that_was_dropped_stays_so():
    mv.manual_seed(0)
    model, x = digits(distill=True)
    out = model.train()(x)
    assert model(x).logits.shape == (3, 10)
    decisions = [each.numpy() for each in out.decisions]
    assert all(set(np.unique(each)) <= {0.0, 1.0} for each in decisions)
    assert np.all(decisions[0] >= decisions[1])
    assert np.all(decisions[1] >= decisions[2])
    np.testing.assert_array_equal(out.kept.numpy(), decisions[2])
    assert not out.kept.requires_grad


def test_a_predictor_is_told_what_is_left():
    """What was dropped changes no other patch's score, and the mean is that of the rest; with none left it is 0."""
    made = fill(Predictor(8).double())
    x, policy = tokens(2, 10, 8), policy_of(KEPT, 10)
    before = made(mv.tensor(x), policy).numpy()
    np.testing.assert_allclose(before[:, KEPT], made(mv.tensor(x[:, KEPT].copy())).numpy(), rtol=0, atol=1e-14)
    np.testing.assert_allclose(np.exp(before).sum(-1), 1.0, rtol=0, atol=1e-14)
    x[:, [1, 4, 5]] += 1.0
    np.testing.assert_array_equal(made(mv.tensor(x), policy).numpy()[:, KEPT], before[:, KEPT])
    assert np.isfinite(made(mv.tensor(x), policy_of([], 10)).numpy()).all()


def test_a_predictor_normalises_with_another_eps_than_the_blocks():
    model, _ = digits()
    assert {each.in_conv[0].eps for each in model.score_predictor} == {1e-5}
    assert {each.norm1.eps for each in model.blocks} == {1e-6}


def test_the_ratio_moves_what_the_predictors_keep():
    """Steps on the share alone bring the mean of the decisions near the ratios."""
    mv.manual_seed(0)
    model, x = digits(distill=True, pruning_loc=(1, 2), base_rate=0.9)
    model.train()
    optimizer = mv.optim.AdamW(model.score_predictor.parameters(), lr=3e-3)
    shares = []
    for _ in range(40):
        out = model(x)
        loss = F.mse_loss(out.decisions[0].mean(1), np.full(3, 0.9)) + F.mse_loss(out.decisions[1].mean(1), np.full(3, 0.81))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        shares.append([each.numpy().mean() for each in out.decisions])
    assert np.all(np.abs(np.subtract(shares[0], model.config.ratios)) > 0.4)
    np.testing.assert_allclose(np.mean(shares[-20:], axis=0), model.config.ratios, atol=0.1)


# ---------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"base_rate": 1.1}, "base_rate is a share above 0, up to 1, that leaves a patch, got 1.1"),
        ({"base_rate": 0.3}, "that leaves a patch, got 0.3"),
        ({"pruning_loc": (2, 1)}, r"pruning_loc are blocks from 0 to 3, in order, got \(2, 1\)"),
        ({"pruning_loc": (3, 4)}, r"pruning_loc are blocks from 0 to 3, in order, got \(3, 4\)"),
        ({"pruning_loc": ()}, r"pruning_loc are blocks from 0 to 3, in order, got \(\)"),
        ({"global_pool": "avg"}, "global_pool is \"token\", got 'avg'"),
        ({"embed_dim": 6, "num_heads": 3}, "embed_dim is a multiple of 4, got 6"),
    ],
)
def test_a_configuration_that_cannot_be_built(overrides, told):
    with pytest.raises(ValueError, match=told):
        mv.create_model("dynamic_vit_digits", **overrides)
