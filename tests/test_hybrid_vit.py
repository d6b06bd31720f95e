"""The hybrid's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision import functional as F
from minivision import models
from minivision.models.hybrid_vit import Bottleneck, StdConv2d, pad_same


def made(stride=1, eps=None):
    """A convolution of 4 to 6 channels, its state by rule, in float64."""
    conv = fill(StdConv2d(4, 6, 3, stride).double())
    if eps is not None:
        conv.eps = eps
    return conv


def maps(*shape):
    """A map in float64."""
    return mv.tensor(noise("x", shape).astype(np.float64))


def digits(**overrides):
    """The small model in evaluation mode, and images."""
    model = fill(mv.create_model("hybrid_vit_digits", **overrides).double()).eval()
    return model, maps(3, *model.config.input_shape)


# ------------------------------------------------------------------------------------------ weight standardisation


def test_a_filter_has_mean_0_and_variance_1():
    """Its variance is v / (v + eps), of the biased v of the numbers that are learnt."""
    conv = made()
    w, found = conv.weight.numpy().reshape(6, -1), conv.standardised().numpy()
    assert found.shape == (6, 4, 3, 3)
    np.testing.assert_allclose(found.mean((1, 2, 3)), 0.0, atol=1e-15)
    np.testing.assert_allclose(found.var((1, 2, 3)), w.var(1) / (w.var(1) + 1e-8), rtol=1e-13)


@pytest.mark.parametrize(("a", "b"), [(3.0, 0.0), (1.0, -2.0), (0.01, 0.7), (50.0, 4.0), (-1.0, 0.3)])
def test_a_filter_s_scale_and_offset_do_not_count(a, b):
    """a w + b computes what w does: exactly without eps; with it, the ratio is the root of (v + eps) / (v + eps / a^2).

    A negative a turns the sign.
    """
    x, values = maps(2, 4, 7, 6), made().weight.numpy()
    for eps in (0.0, 1e-8):
        conv, other = made(eps=eps), made(eps=eps)
        other.load_state_dict({"weight": a * values + b})
        v = values.var((1, 2, 3))
        ratio = (np.sign(a) * np.sqrt((v + eps) / (v + eps / a**2))).reshape(6, 1, 1)
        np.testing.assert_allclose(other(x).numpy(), ratio * conv(x).numpy(), rtol=0, atol=2e-11)


def test_the_gradient_changes_neither_scale_nor_offset():
    """Without eps it is at a right angle to the filter and to a constant."""
    conv = made(eps=0.0)
    y = conv(maps(2, 4, 7, 6))
    (g,) = mv.grad(y, [conv.weight], mv.tensor(noise("c", y.shape).astype(np.float64)))
    g, w = g.numpy().reshape(6, -1), conv.weight.numpy().reshape(6, -1)
    assert np.abs(g).max() > 0.1
    np.testing.assert_allclose(g.sum(1), 0.0, atol=1e-12)
    np.testing.assert_allclose((g * w).sum(1), 0.0, atol=1e-12)


# ------------------------------------------------------------------------------------------------------- padding


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 7])
@pytest.mark.parametrize("size", [1, 2, 5, 8, 9])
def test_windows_begin_where_tensorflow_has_them(size, kernel, stride):
    """ceil(H / s) windows; what is missing is half above and half below, rounded so that below is more."""
    x = maps(1, 1, size, size + 3)
    found = pad_same(x, kernel, stride).numpy()
    for axis, n in ((2, size), (3, size + 3)):
        missing = max((math.ceil(n / stride) - 1) * stride + kernel - n, 0)
        assert found.shape[axis] == n + missing
        assert (found.shape[axis] - kernel) // stride + 1 == math.ceil(n / stride)
        inside = np.flatnonzero(found[0, 0].any(axis=3 - axis))
        assert (inside[0], len(inside)) == (missing // 2, n)


def test_an_even_map_is_padded_at_the_bottom_and_right_alone():
    conv, x = made(2), maps(1, 4, 8, 8)
    y = F.conv2d(F.pad(x, (0, 1, 0, 1)), conv.standardised(), stride=2)
    np.testing.assert_array_equal(conv(x).numpy(), y.numpy())
    assert np.abs(F.conv2d(x, conv.standardised(), stride=2, padding=1).numpy() - y.numpy()).max() > 0.1


def test_the_border_of_pooling_is_below_every_number():
    x = maps(1, 3, 6, 5) - 10.0
    y = F.max_pool2d(pad_same(x, 3, 2, -math.inf), 3, 2).numpy()
    wanted = [[x.numpy()[0, :, i : i + 3, max(j, 0) : j + 3].max((1, 2)) for j in (-1, 1, 3)] for i in (0, 2, 4)]
    np.testing.assert_array_equal(y[0], np.moveaxis(wanted, -1, 0))


# ------------------------------------------------------------------------------------------------------ the network


@pytest.mark.parametrize("first", [True, False])
def test_without_its_last_scale_a_block_is_its_shortcut(first):
    block = fill(Bottleneck(8, 8, 1, first, 2).double())
    block.load_state_dict({"norm3.weight": np.zeros(8), "norm3.bias": np.zeros(8)}, strict=False)
    x = maps(2, 8, 5, 4)
    np.testing.assert_array_equal(block(x).numpy(), np.maximum(block.downsample(x).numpy(), 0.0))


def test_an_image_is_normalised_alone():
    model, x = digits()
    model.train()
    np.testing.assert_allclose(model(x).numpy()[:1], model(x[:1]).numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "width", "side"), [("vit_base_r50_s16_224", 1024, 14), ("vit_small_r26_s32_224", 2048, 7)])
def test_a_token_is_a_position_of_the_last_map(name, width, side):
    """1x1 patches: E is a matrix on the channels."""
    model = mv.create_model(name, depth=1)
    config = model.config
    assert config.grid == (side, side)
    assert config.stride == config.patch_size
    assert model.patch_embed.proj.weight.shape == (config.embed_dim, width, 1, 1)
    assert model.pos_embed.shape == (1, 1 + side * side, config.embed_dim)


def test_beside_its_backbone_it_is_the_plain_transformer():
    """The same parameters but for E, which has 1024 channels to read in place of 3 P^2 numbers."""
    hybrid = mv.create_model("vit_base_r50_s16_384", img_size=224)
    backbone = sum(math.prod(p.shape) for p in hybrid.patch_embed.backbone.parameters())
    plain = models.entry("vit_base_patch16_224").params
    assert sum(math.prod(p.shape) for p in hybrid.parameters()) - backbone == plain + (1024 - 768) * 768


def test_a_checkpoint_of_another_resolution():
    source, _ = digits()
    model, x = digits(img_size=(12, 16))
    model.load_state_dict(source.state_dict())
    assert model(x).shape == (3, 10)
    np.testing.assert_array_equal(model.pos_embed.numpy()[:, 0], source.pos_embed.numpy()[:, 0])


# ---------------------------------------------------------------------------------------------------------- errors


def test_an_image_of_the_wrong_shape():
    with pytest.raises(mv.ShapeError, match=r"takes images \(B, 1, 8, 8\), got \(2, 3, 8, 8\)") as caught:
        mv.create_model("hybrid_vit_digits")(mv.tensor(np.zeros((2, 3, 8, 8), np.float32)))
    assert "in module: HybridViT.patch_embed" in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"stem": "large"}, "stem is one of imagenet, small, got 'large'"),
        ({"depths": (1, 1, 1)}, r"depths and widths are as many as the stages, got \(1, 1, 1\) and \(32, 64\)"),
        ({"depths": (0, 1)}, r"as many as the stages, got \(0, 1\)"),
        ({"stem": "imagenet"}, "patch_size 2 must be a multiple of the backbone's stride 8"),
        ({"widths": (32, 48)}, "groups 8 must divide stem_width and a quarter of each width, but 12"),
    ],
)
def test_a_configuration_that_cannot_be_built(overrides, told):
    with pytest.raises(ValueError, match=told):
        mv.create_model("hybrid_vit_digits", **overrides)
