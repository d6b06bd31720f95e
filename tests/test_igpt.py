"""The exact properties of iGPT, and what a user may ask of it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from golden.weights import noise, numbers
from miniatures import fill

import minivision as mv
from minivision import models, nn

ARRAYS = dict(np.load(Path(__file__).parent / "golden" / "igpt.npz", allow_pickle=False))
PIXELS = numbers("input", (3, 64), 16)


def digits(**overrides):
    """igpt_digits in float64 with weights by rule."""
    return fill(mv.create_model("igpt_digits", **overrides).double()).eval()


# ------------------------------------------------------------------------------------------------- causality


def test_the_jacobian_is_triangular():
    """d logits_t / d embedding_s is exactly 0 for s > t, and is not for s <= t."""
    model, T = digits(n_layer=2), 6
    embedded = mv.tensor(noise("embedded", (1, T, 64)).astype(np.float64), requires_grad=True)
    model.transformer.wte = Given(embedded)
    logits = model(np.zeros((1, T), np.int64))
    reach = np.zeros((T, T))
    for t in range(T):
        dy = np.zeros(logits.shape)
        dy[0, t] = noise(f"cotangent {t}", (16,))
        reach[t] = np.abs(mv.grad(logits, embedded, mv.tensor(dy), retain_graph=True).numpy()).max(-1)
    np.testing.assert_array_equal(reach[np.triu_indices(T, 1)], 0.0)
    assert (reach[np.tril_indices(T)] > 1e-4).all()


class Given(nn.Module):
    """An embedding that is known already."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def forward(self, tokens):
        return self.values


def test_logits_do_not_depend_on_the_pixel_that_they_are_of_or_on_later_ones():
    model = digits()
    changed = PIXELS.copy()
    changed[:, 20:] = (changed[:, 20:] + 5) % 16
    before, after = (model(model.shifted(pixels)).numpy() for pixels in (PIXELS, changed))
    np.testing.assert_array_equal(before[:, :21], after[:, :21])
    assert (np.abs(before[:, 21] - after[:, 21]).max(-1) > 1e-3).all()


def test_a_beginning_alone_gives_the_same_logits():
    model = digits()
    whole, part = (model(model.shifted(PIXELS[:, :length])).numpy() for length in (64, 10))
    np.testing.assert_allclose(whole[:, :10], part, rtol=0, atol=1e-12)


# ------------------------------------------------------------------------------------------------- likelihood


def test_the_loss_is_the_chain_rule_s():
    """The probabilities of all 4^3 pictures of three pixels sum to 1; loss is -log of one's, for each pixel."""
    model = digits(n_positions=3, vocab_size=5)
    pictures = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 3)
    nats = np.array([model.loss(picture[None]).item() for picture in pictures])
    assert np.exp(-3 * nats).sum() == pytest.approx(1.0, abs=1e-13)
    assert model.loss(pictures).item() == pytest.approx(nats.mean(), abs=1e-13)


def test_what_is_read_begins_with_the_start_even_where_pixels_are_bytes():
    model = mv.create_model("igpt_small", n_layer=1)
    read = model.shifted(np.array([[7, 8, 9]], np.uint8))
    np.testing.assert_array_equal(read, [[512, 7, 8]])
    np.testing.assert_array_equal(model.shifted(mv.tensor(PIXELS))[:, 1:], PIXELS[:, :-1])


def test_before_training_every_colour_is_as_likely():
    model = mv.create_model("igpt_digits")
    assert model.loss(PIXELS).item() == pytest.approx(math.log(16), rel=1e-6)
    assert not model.lm_head.weight.numpy().any()


@pytest.mark.parametrize("name", mv.list_models("igpt_*"))
def test_counts_have_a_closed_form(name):
    """The authors' weights have no biases: of each block the sum of 3, 1, 4 and 1 widths fewer."""
    model, c = mv.create_model(name), models.entry(name).config
    d, L, T, V = c.n_embd, c.n_layer, c.n_positions, c.colours
    counted = mv.count_parameters(model)
    assert counted == L * (12 * d * d + 9 * d + 2 * d) + (V + 1) * d + T * d + d + V * d
    without = {"igpt_small": 76_571_648, "igpt_medium": 455_157_760, "igpt_large": 1_362_250_752}
    assert counted - 9 * L * d == without.get(name, counted - 9 * L * d)
    published = models.entry(name).macs
    assert published in (None, L * (12 * T * d * d + 2 * T * T * d) + V * T * d)


# ------------------------------------------------------------------------------------------------- features, samples


@pytest.mark.parametrize("layer", [0, 3, 6])
def test_features_equal_the_reference_s(layer):
    np.testing.assert_allclose(digits().features(PIXELS, layer).numpy(), ARRAYS[f"features/{layer}"], rtol=0, atol=1e-12)


def test_samples_follow_the_probabilities():
    """10,000 second pixels after one first: their shares are the softmax, within five standard deviations."""
    model = digits(n_positions=2, vocab_size=5)
    first = np.full((10_000, 1), 2)
    drawn = model.complete(first, 2, rng=np.random.default_rng(0))
    logits = model(np.array([[4, 2]])).numpy()[0, 1]  # the start, the first pixel
    p = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    assert drawn.shape == (10_000, 2)
    np.testing.assert_array_equal(drawn[:, 0], 2)
    shares = np.bincount(drawn[:, 1], minlength=4) / 10_000
    assert (np.abs(shares - p) <= 5 * np.sqrt(p * (1 - p) / 10_000)).all()


def test_at_temperature_0_each_pixel_is_the_likeliest():
    model = digits()
    drawn = model.complete(PIXELS[:, :60], 64, temperature=0.0)
    logits = model(model.shifted(drawn)).numpy()
    np.testing.assert_array_equal(drawn[:, 60:], logits[:, 60:].argmax(-1))
    np.testing.assert_array_equal(drawn[:, :60], PIXELS[:, :60])
    assert model.complete(np.zeros((2, 0), int), 3).shape == (2, 3)


def test_initial_values():
    values = mv.create_model("igpt_small", n_layer=8).transformer.h[0].state_dict()
    assert values["mlp.c_fc.weight"].shape == (512, 2048)
    assert values["mlp.c_fc.weight"].std() == pytest.approx(0.02, rel=0.02)
    assert values["mlp.c_proj.weight"].std() == pytest.approx(0.02 / 4, rel=0.02)
    assert not any(values[f"{name}.bias"].any() for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc"))


# ------------------------------------------------------------------------------------------------- errors


def test_tokens_of_the_wrong_shape_or_out_of_range():
    model = digits()
    for wrong in (np.zeros((2, 65), np.int64), np.zeros(64, np.int64)):
        with pytest.raises(mv.ShapeError, match=r"reads tokens \(B, T\), T up to 64, got .*") as caught:
            model(wrong)
        assert "create_model(..., n_positions=T)" in str(caught.value)
    with pytest.raises(mv.ShapeError, match="17"):
        model(np.full((1, 2), 17))
    with pytest.raises(ValueError, match="layer should be from 0, the embeddings, to 6, the last block's, got 7"):
        model.features(PIXELS, 7)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [({"n_head": 5}, "n_embd 64 must be a multiple of n_head 5"), ({"vocab_size": 1}, "at least 2, got 1")],
)
def test_a_configuration_that_cannot_be_built(overrides, message):
    with pytest.raises(ValueError, match=message):
        mv.create_model("igpt_digits", **overrides)
