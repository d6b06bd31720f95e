"""CSRA's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision.models.csra import CSRA, HARD, MHA, TEMPERATURES, class_attention


def scores(*shape):
    """Scores in float64."""
    return mv.tensor(noise("scores", shape).astype(np.float64), requires_grad=True)


def head(T, lam=0.3):
    """One head for 5 features and 4 classes, its state by rule, in float64."""
    return fill(CSRA(5, 4, T, lam).to(np.float64))


def test_temperature_0_is_the_average_and_an_infinite_one_the_largest():
    """(1 + lam) GAP at T = 0; GAP + lam max at infinity, and at 1e4 to the last digit."""
    x = mv.tensor(noise("x", (2, 5, 3, 4)).astype(np.float64))
    s = head(1.0).scores(x).numpy()
    np.testing.assert_allclose(head(0.0)(x).numpy(), 1.3 * s.mean(-1), rtol=1e-13)
    largest = s.mean(-1) + 0.3 * s.max(-1)
    for T in (HARD, math.inf):
        np.testing.assert_array_equal(head(T)(x).numpy(), largest)
    np.testing.assert_allclose(head(1e4)(x).numpy(), largest, rtol=1e-13)


def test_the_attention_grows_with_temperature():
    """d a / d T = sum_j p_j (s_j - a)^2, a variance: from the mean up to the largest."""
    s = scores(2, 3, 7)
    found = np.stack([class_attention(s, T).numpy() for T in (0.0, 0.5, 1, 2, 4, 8, 99)])
    assert np.all(np.diff(found, axis=0) > 0)
    p = np.exp(2.0 * s.numpy()) / np.exp(2.0 * s.numpy()).sum(-1, keepdims=True)
    a = (p * s.numpy()).sum(-1, keepdims=True)
    slope = (class_attention(s, 2.0 + 1e-5) - class_attention(s, 2.0 - 1e-5)).numpy() / 2e-5
    np.testing.assert_allclose(slope, (p * (s.numpy() - a) ** 2).sum(-1), rtol=1e-8)


@pytest.mark.parametrize("T", [0.0, 1.0, 3.0])
def test_the_gradient_in_closed_form(T):
    """d a / d s_j = p_j (1 + T (s_j - a))."""
    s = scores(2, 3, 7)
    a, c = class_attention(s, T), noise("c", (2, 3)).astype(np.float64)
    (found,) = mv.grad(a, [s], mv.tensor(c))
    p = np.exp(T * s.numpy()) / np.exp(T * s.numpy()).sum(-1, keepdims=True)
    closed = p * (1 + T * (s.numpy() - a.numpy()[..., None]))
    np.testing.assert_allclose(found.numpy(), closed * c[..., None], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(closed.sum(-1), 1.0, rtol=1e-12)


def test_a_class_s_weights_count_by_direction_alone():
    made, x = head(1.0), mv.tensor(noise("x", (2, 5, 3, 4)).astype(np.float64))
    before = made(x).numpy()
    made.load_state_dict({"head.weight": made.head.weight.numpy() * np.array([0.1, 1.0, 3.0, 70.0]).reshape(4, 1, 1, 1)})
    np.testing.assert_allclose(made(x).numpy(), before, rtol=1e-12)


@pytest.mark.parametrize("count", TEMPERATURES)
def test_heads_are_summed_each_with_its_own_temperature(count):
    made = fill(MHA(count, 0.3, 5, 4).to(np.float64))
    x = mv.tensor(noise("x", (2, 5, 3, 4)).astype(np.float64))
    assert [each.T for each in made.multi_head] == list(TEMPERATURES[count])
    assert len(TEMPERATURES[count]) == count
    np.testing.assert_allclose(made(x).numpy(), sum(each(x).numpy() for each in made.multi_head), rtol=1e-13)


def test_positions_that_change_places_change_nothing():
    made, x = head(2.0), noise("x", (2, 5, 12)).astype(np.float64)
    order = np.random.default_rng(0).permutation(12)
    before, after = (made(mv.tensor(each.reshape(2, 5, 3, 4))).numpy() for each in (x, x[:, :, order]))
    np.testing.assert_allclose(after, before, rtol=1e-12)


def test_a_resnet_s_and_a_vit_s_weights_load():
    """All entries but the classifiers have their names here."""
    for plain, name in ("resnet_digits", "csra_digits"), ("vit_tiny_patch16_224", "csra_vit_base_patch16_224"):
        source = mv.create_model(plain, num_classes=0)
        more = {} if "vit" not in plain else {"embed_dim": 192, "num_heads": 3}
        made = mv.create_model(name, **more)
        missing, unexpected = made.load_state_dict(source.state_dict(), strict=False)
        assert not unexpected
        assert set(missing) == {"classifier.multi_head.0.head.weight"}


def test_the_vision_transformer_reads_patches_where_they_lie():
    """On a grid of 2 x 3: the map's [i, j] is token 1 + 3 i + j, and the class token is not looked at."""
    made = mv.create_model("csra_vit_base_patch16_224", embed_dim=12, depth=1, num_heads=3, img_size=(32, 48), num_classes=4)
    x = noise("x", (2, 7, 12))
    expected = made.classifier(mv.tensor(np.moveaxis(x[:, 1:].reshape(2, 2, 3, 12), -1, 1).copy())).numpy()
    np.testing.assert_allclose(made.forward_head(mv.tensor(x)).numpy(), expected, rtol=1e-6)
    x[:, 0] += 1.0
    np.testing.assert_allclose(made.forward_head(mv.tensor(x)).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "wrong", "told"),
    [
        ("csra_digits", {"csra_heads": 3}, "there are temperatures for 1, 2, 4, 6, 8 heads, got 3"),
        ("csra_vit_base_patch16_224", {"global_pool": "avg"}, "global_pool is not to be chosen"),
    ],
)
def test_a_configuration_that_makes_no_network_is_refused(name, wrong, told):
    with pytest.raises(ValueError, match=told):
        mv.create_model(name, **wrong)
