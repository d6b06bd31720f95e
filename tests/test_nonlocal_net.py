"""The non-local block's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision import functional as F
from minivision.models.nonlocal_net import AFFINITIES, NonLocalBlock, tokens

READINGS = [{}, {"scale": False, "pool_first": False}, {"sub_sample": False}]


def block(channels=8, **options):
    """A block with its state by rule, in float64."""
    return fill(NonLocalBlock(channels, **options).to(np.float64))


def image(*shape):
    """A map in float64."""
    return mv.tensor(noise("x", shape).astype(np.float64))


@pytest.mark.parametrize("options", READINGS)
@pytest.mark.parametrize("affinity", AFFINITIES)
def test_it_begins_as_the_identity(affinity, options):
    made, x = NonLocalBlock(8, affinity=affinity, **options).to(np.float64), image(2, 8, 6, 6)
    np.testing.assert_array_equal(made(x).numpy(), x.numpy())


@pytest.mark.parametrize("affinity", AFFINITIES)
def test_the_first_gradient_reaches_the_last_norm_alone(affinity):
    made = NonLocalBlock(8, affinity=affinity)
    (made(mv.tensor(noise("x", (2, 8, 6, 6)))) * mv.tensor(noise("c", (2, 8, 6, 6)))).sum().backward()
    moved = {name for name, p in made.named_parameters() if np.abs(p.grad.numpy()).max() > 0}
    assert moved == {"W.1.weight", "W.1.bias"}


def by_pairs(made, x):
    """Eq. 1-5 for one position after the other: y (B, N, inner)."""
    theta, phi, g = (tokens(each).numpy() for each in (made.theta(x), made.phi(made.pool(x)), made.g(made.pool(x))))
    y = np.zeros((theta.shape[0], theta.shape[1], g.shape[2]))
    for b, i in np.ndindex(theta.shape[:2]):
        pairs = [np.concatenate([theta[b, i], each]) for each in phi[b]]
        products = np.array([theta[b, i] @ each for each in phi[b]])
        if made.affinity in ("gaussian", "embedded"):
            f = np.exp(made.scale * products)
            c = f.sum()
        else:
            f, c = products, len(products)
        if made.affinity == "concatenation":
            f = np.array([max(0.0, made.concat_project[0].weight.numpy().reshape(-1) @ pair) for pair in pairs])
        y[b, i] = f @ g[b] / c
    return y


@pytest.mark.parametrize("options", READINGS)
@pytest.mark.parametrize("affinity", AFFINITIES)
def test_it_is_the_sum_over_pairs(affinity, options):
    made, x = block(6, affinity=affinity, **options).eval(), image(2, 6, 4, 6)
    y = by_pairs(made, x)
    mapped = mv.tensor(y.transpose(0, 2, 1).reshape(2, 3, 4, 6))
    np.testing.assert_allclose(made(x).numpy(), (made.W(mapped) + x).numpy(), rtol=1e-12, atol=1e-12)


def test_a_map_of_14_x_14_is_attention_over_196_positions():
    """A1: the scaled embedded form is scaled dot-product attention; with every position as a key, over 196 of them."""
    made, x = block(8, sub_sample=False).eval(), image(2, 8, 14, 14)
    q, k, v = (tokens(each(x)) for each in (made.theta, made.phi, made.g))
    y = F.scaled_dot_product_attention(q, k, v)
    assert k.shape[1] == 196
    assert made.weights(x).shape == (2, 196, 196)
    mapped = y.transpose(1, 2).reshape(2, 4, 14, 14)
    np.testing.assert_allclose(made.branch(x).numpy(), made.W(mapped).numpy(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("affinity", ["gaussian", "embedded"])
def test_softmax_forms_weigh_by_shares(affinity):
    weights = block(affinity=affinity).weights(image(2, 8, 6, 6)).numpy()
    np.testing.assert_allclose(weights.sum(-1), 1.0, rtol=1e-13)
    assert weights.min() > 0


@pytest.mark.parametrize("affinity", AFFINITIES)
def test_positions_that_change_places_change_answers_places(affinity):
    """Without sub-sampling nothing knows where a position is."""
    made, x = block(affinity=affinity, sub_sample=False).eval(), image(1, 8, 4, 4)
    order = np.random.default_rng(0).permutation(16)
    shuffled = mv.tensor(x.numpy().reshape(1, 8, 16)[:, :, order].reshape(1, 8, 4, 4))
    expected = made(x).numpy().reshape(1, 8, 16)[:, :, order]
    np.testing.assert_allclose(made(shuffled).numpy().reshape(1, 8, 16), expected, rtol=1e-12, atol=1e-12)


def test_pooling_before_and_after_the_projection_are_not_the_same():
    """With the same weights: a maximum does not pass through a linear map."""
    first, after = block(pool_first=True), block(pool_first=False)
    x = image(1, 8, 4, 4)
    assert np.abs(first.weights(x).numpy() - after.weights(x).numpy()).max() > 1e-3


def test_1024_channels_have_the_published_number_of_parameters():
    made = NonLocalBlock(1024)
    assert sum(math.prod(p.shape) for p in made.parameters()) == 2_101_760


def test_entries_have_the_port_s_names():
    def roots(**options):
        return sorted({name.rpartition(".")[0] for name, _ in NonLocalBlock(4, **options).named_parameters()})

    assert roots() == roots(pool_first=False) == ["W.0", "W.1", "g.0", "phi.0", "theta"]
    assert roots(sub_sample=False) == ["W.0", "W.1", "g", "phi", "theta"]
    assert roots(affinity="gaussian") == ["W.0", "W.1", "g.0"]
    assert roots(affinity="concatenation") == ["W.0", "W.1", "concat_project.0", "g.0", "phi.0", "theta"]


def test_a_plain_resnet_s_weights_load_and_give_its_answers():
    """Every entry of a ResNet has its name here, and blocks that are the identity leave its answers."""
    plain = fill(mv.create_model("resnet50", num_classes=10)).eval()
    made = mv.create_model("nonlocal_resnet50", num_classes=10).eval()
    missing, unexpected = made.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    assert {name.split(".nl.")[0] for name in missing} == {"layer2.1", "layer2.3", "layer3.1", "layer3.3", "layer3.5"}
    x = mv.tensor(noise("input", (1, 3, 64, 64)))
    with mv.no_grad():
        np.testing.assert_array_equal(made(x).numpy(), plain(x).numpy())


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"affinity": "cosine"}, "affinity is one of gaussian, embedded, dot, concatenation, got 'cosine'"),
        ({"nonlocal_after": ((0,),)}, "nonlocal_after has for each stage"),
        ({"nonlocal_after": ((1,), ())}, "nonlocal_after has for each stage"),
    ],
)
def test_a_configuration_that_makes_no_network_is_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        mv.create_model("nonlocal_digits", **wrong)
