"""ViT against its reference (golden/make_golden.py), its paper's exact properties, and what a user may ask of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from golden.weights import WHOLE, noise, sketch, weight

import minivision as mv
from minivision import models
from minivision.models._resize import resize_matrix, resize_positions
from minivision.models.vit import ViTConfig

GOLDEN = Path(__file__).parent / "golden"
NOTES = json.loads((GOLDEN / "vit.json").read_text())
ARRAYS = dict(np.load(GOLDEN / "vit.npz", allow_pickle=False))
CASES = NOTES["cases"]
PLAIN = [name for name in mv.list_models() if type(models.entry(name).config) is ViTConfig]
WITH_GRADIENTS = [label for label, case in CASES.items() if case.get("gradients")]
BOUNDS = {np.float32: 1e-5, np.float64: 1e-12}  # of the largest logit, of each gradient's norm; the reference ran in float64


def filled(name, dtype=np.float64, **overrides):
    """A model with weights by rule, in evaluation mode."""
    model = mv.create_model(name, **overrides).to(dtype).eval()
    model.load_state_dict({key: weight(key, p.shape) for key, p in model.named_parameters()})
    return model


def case_model(case, dtype):
    """The model of a golden case."""
    overrides = case.get("overrides", {})
    if "weights_at" not in case:
        return filled(case["model"], dtype, **overrides)
    model = mv.create_model(case["model"], **overrides).to(dtype).eval()
    model.load_state_dict(filled(case["model"], dtype, img_size=case["weights_at"]).state_dict())
    return model


def images(model, batch, dtype=np.float64, **kwargs):
    """The batch of images that belongs to the rule."""
    return mv.tensor(noise("input", (batch, *model.config.input_shape)).astype(dtype), **kwargs)


# ---------------------------------------------------------------------------------------- equal to the reference


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("label", CASES)
def test_logits_equal_the_reference_s(label, dtype):
    model, wanted = case_model(CASES[label], dtype), ARRAYS[f"{label}/logits"]
    with mv.no_grad():
        found = model(images(model, CASES[label]["batch"], dtype)).numpy()
    assert found.shape == wanted.shape
    assert found.dtype == dtype
    assert np.abs(found - wanted).max() <= BOUNDS[dtype] * np.abs(wanted).max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("label", WITH_GRADIENTS)
def test_gradients_equal_the_reference_s(label, dtype):
    """The input's and every parameter's: |g - reference| <= bound |reference|, by their sketches (weights.sketch)."""
    model = case_model(CASES[label], dtype)
    x = images(model, CASES[label]["batch"], dtype, requires_grad=True)
    logits = model(x)
    logits.backward(mv.tensor(noise("cotangent", logits.shape).astype(dtype)))
    found = {"input": x.grad.numpy(), **{name: p.grad.numpy() for name, p in model.named_parameters()}}
    norms, sketches, at = ARRAYS[f"{label}/norms"], ARRAYS[f"{label}/sketches"], 0
    assert len(norms) == len(found)
    for (name, gradient), norm in zip(found.items(), norms, strict=True):
        own = sketch(name, gradient)
        error = np.linalg.norm(own - sketches[at : at + own.size])
        assert error <= BOUNDS[dtype] * norm, f"{name}: off by {error / norm:.1e} of its norm"
        at += own.size
    assert at == sketches.size


def test_a_wrong_gradient_does_not_pass_by_its_sketch():
    """The sketch of a difference is as long as the difference, whether that is dense, one entry, or a swapped pair of rows."""
    right = noise("right", (192, 64)).astype(np.float64)
    one, swapped = right.copy(), right.copy()
    one[7, 9] += 1.0
    swapped[[3, 4]] = swapped[[4, 3]]
    assert right.size > WHOLE
    for wrong in (one, swapped, right * 1.01, right + 0.01 * noise("error", right.shape)):
        ratio = np.linalg.norm(sketch("g", wrong) - sketch("g", right)) / np.linalg.norm(wrong - right)
        assert 0.5 < ratio < 1.5


@pytest.mark.parametrize(("old", "new"), NOTES["resizes"])
def test_resized_positions_equal_the_reference_s(old, new):
    wanted = ARRAYS[f"resize/{tuple(old)} {tuple(new)}"]
    positions = noise("positions", (1, 1 + old[0] * old[1], 4))
    found = resize_positions(positions.astype(np.float64), tuple(new))
    assert found.shape == wanted.shape == (1, 1 + new[0] * new[1], 4)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(resize_positions(positions, tuple(new)), found.astype(np.float32))


@pytest.mark.parametrize("name", [name for name in PLAIN if models.entry(name).params])
def test_published_counts_have_a_closed_form(name):
    """Twelve D^2 for a block's matrices and thirteen D for its vectors; a token attends to T others twice over."""
    found = models.entry(name)
    c = found.config
    N, P, D, L = c.grid[0] * c.grid[1], c.patch_size, c.embed_dim, c.depth
    T = N + 1
    assert found.params == L * (12 * D * D + 13 * D) + (3 * P * P + 1) * D + D + T * D + 2 * D + 1000 * (D + 1)
    assert found.macs == L * (12 * T * D * D + 2 * T * T * D) + 3 * N * P * P * D + 1000 * D


# ------------------------------------------------------------------------------------------------- exact properties


def test_a_block_does_not_know_the_order_of_its_tokens():
    block = filled("vit_digits").blocks[0]
    x, order = noise("tokens", (2, 17, 64)).astype(np.float64), np.random.default_rng(0).permutation(17)
    np.testing.assert_allclose(block(mv.tensor(x[:, order])).numpy(), block(mv.tensor(x)).numpy()[:, order], rtol=0, atol=1e-12)


def test_the_model_knows_where_a_patch_was():
    model = filled("vit_digits")
    x = images(model, 2)
    assert np.abs(model(x).numpy() - model(x[:, :, :, ::-1]).numpy()).max() > 0.1


def test_the_patch_embedding_is_one_matrix_on_every_patch():
    """Eq. 1 as it is written: cut, flatten, multiply."""
    embed = filled("vit_tiny_patch16_224", img_size=(32, 48)).patch_embed
    x = noise("input", (2, 3, 32, 48)).astype(np.float64)
    patches = x.reshape(2, 3, 2, 16, 3, 16).transpose(0, 2, 4, 1, 3, 5).reshape(2, 6, 768)  # (B, N, C P P)
    wanted = patches @ embed.proj.weight.numpy().reshape(192, 768).T + embed.proj.bias.numpy()
    np.testing.assert_allclose(embed(mv.tensor(x)).numpy(), wanted, rtol=0, atol=1e-13)


def test_attention_maps_are_the_weights_that_the_model_uses():
    model = filled("vit_digits")
    x = images(model, 2)
    maps = model.attention_maps(x)
    assert [a.shape for a in maps] == [(2, 4, 17, 17)] * 4
    z = model.embed(x)
    for block, weights in zip(model.blocks, maps, strict=True):
        np.testing.assert_allclose(weights.sum(axis=-1), 1.0, rtol=0, atol=1e-13)
        _, _, v = block.attn.heads(block.norm1(z))
        joined = (weights @ v.numpy()).transpose(0, 2, 1, 3).reshape(2, 17, 64)
        np.testing.assert_allclose(
            block.attn.proj(mv.tensor(joined)).numpy(), block.attn(block.norm1(z)).numpy(), rtol=0, atol=1e-13
        )
        z = block(z)


def test_average_pooling_is_of_patch_tokens_and_normalises_after():
    model = filled("vit_digits", global_pool="avg")
    x = images(model, 2)
    tokens = model.forward_features(x).numpy()
    mean = tokens[:, 1:].mean(axis=1)
    normal = (mean - mean.mean(-1, keepdims=True)) / np.sqrt(mean.var(-1, keepdims=True) + 1e-6)
    wanted = normal * model.fc_norm.weight.numpy() + model.fc_norm.bias.numpy()
    np.testing.assert_allclose(model.forward_head(mv.tensor(tokens), pre_logits=True).numpy(), wanted, rtol=0, atol=1e-13)


# ---------------------------------------------------------------------------------------------------- what users ask


def test_without_classes_the_model_gives_features():
    features, classes = filled("vit_digits", num_classes=0), filled("vit_digits")
    x = images(features, 2)
    assert not any(name.startswith("head") for name in features.state_dict())
    np.testing.assert_array_equal(features(x).numpy(), classes.forward_head(classes.forward_features(x), pre_logits=True).numpy())


def test_initial_values():
    model = mv.create_model("vit_tiny_patch16_224", depth=1)
    values = model.state_dict()
    for name in ("pos_embed", "blocks.0.attn.qkv.weight", "head.weight"):
        assert values[name].std() == pytest.approx(0.02, rel=0.05)
        assert abs(values[name].mean()) < 1e-3
    assert 0 < np.abs(values["cls_token"]).max() < 1e-5
    assert not any(values[f"{name}.bias"].any() for name in ("blocks.0.attn.qkv", "blocks.0.mlp.fc2", "head", "norm"))
    assert np.abs(values["patch_embed.proj.weight"]).max() <= 768**-0.5


def test_the_same_seed_starts_from_the_same_bits():
    mv.manual_seed(3)
    first = mv.create_model("vit_digits").state_dict()
    mv.manual_seed(3)
    second, third = mv.create_model("vit_digits").state_dict(), mv.create_model("vit_digits").state_dict()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not np.array_equal(first["head.weight"], third["head.weight"])


def test_drop_path_grows_with_depth_and_only_in_training():
    plain, dropping = filled("vit_digits"), filled("vit_digits", drop_path_rate=0.6)
    x = images(plain, 8)
    assert [block.drop_path.drop_prob for block in dropping.blocks] == pytest.approx([0.0, 0.2, 0.4, 0.6])
    np.testing.assert_array_equal(dropping(x).numpy(), plain(x).numpy())
    dropping.train()
    assert np.abs(dropping(x).numpy() - dropping(x).numpy()).max() > 0.1
    z = plain.embed(x)
    np.testing.assert_array_equal(dropping.blocks[0](z).numpy(), plain.blocks[0](z).numpy())


def test_dropout_before_the_head_only_in_training():
    plain, dropping = filled("vit_digits"), filled("vit_digits", drop_rate=0.5)
    x = images(plain, 2)
    np.testing.assert_array_equal(dropping(x).numpy(), plain(x).numpy())
    features = dropping.train().forward_head(dropping.forward_features(x), pre_logits=True).numpy()
    assert 0.25 < np.mean(features == 0.0) < 0.75


# ------------------------------------------------------------------------------------------ another resolution


@pytest.mark.parametrize("as_tensors", [False, True])
def test_a_checkpoint_of_another_resolution_keeps_the_class_token_s_position(as_tensors):
    source, model = filled("vit_digits"), mv.create_model("vit_digits", img_size=(12, 16)).double()
    model.load_state_dict(dict(source.named_parameters()) if as_tensors else source.state_dict())
    assert model.pos_embed.shape == (1, 1 + 6 * 8, 64)
    np.testing.assert_array_equal(model.pos_embed.numpy()[:, 0], source.pos_embed.numpy()[:, 0])
    np.testing.assert_array_equal(model.head.weight.numpy(), source.head.weight.numpy())


@pytest.mark.parametrize(("new", "old"), [(12, 14), (24, 14), (1, 5), (7, 7), (3, 1)])
def test_resizing_keeps_constants_and_is_symmetric(new, old):
    matrix = resize_matrix(new, old)
    assert matrix.shape == (new, old)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, rtol=0, atol=1e-14)
    np.testing.assert_allclose(matrix[::-1, ::-1], matrix, rtol=0, atol=1e-14)  # places near 14 round at 2e-15
    if new == old:
        np.testing.assert_array_equal(matrix, np.eye(new))


def test_resizing_up_follows_a_parabola_inside():
    """Keys' kernel with a = -1/2 reproduces polynomials of degree 2 away from the border."""
    matrix, places = resize_matrix(30, 10), (np.arange(30) + 0.5) / 3.0
    inside = (places > 2.0) & (places < 8.0)
    np.testing.assert_allclose((matrix @ (np.arange(10) + 0.5) ** 2)[inside], places[inside] ** 2, rtol=1e-13)


@pytest.mark.parametrize("shape", [(1, 12, 64), (1, 17, 32), (17, 64), (1, 1, 64), (1, 0, 64), (2, 26, 64)])
def test_positions_that_cannot_be_resized_are_reported_and_nothing_is_loaded(shape):
    model = filled("vit_digits")
    before = model.state_dict()
    with pytest.raises(mv.CheckpointError, match=r"pos_embed .*wrong shape .*\(1, 17, 64\)"):
        model.load_state_dict({**before, "head.bias": before["head.bias"] + 1.0, "pos_embed": np.zeros(shape)})
    np.testing.assert_array_equal(model.head.bias.numpy(), before["head.bias"])


def test_another_resolution_with_an_entry_missing_is_one_error_and_nothing_is_loaded():
    model, state = filled("vit_digits"), filled("vit_digits", img_size=16).state_dict()
    before = model.state_dict()
    del state["head.bias"]
    with pytest.raises(mv.CheckpointError, match="1 entries do not fit") as caught:
        model.load_state_dict({name: value + 1.0 for name, value in state.items()})
    assert "head.bias" in str(caught.value)
    assert "pos_embed" not in str(caught.value)
    assert all(np.array_equal(before[name], value) for name, value in model.state_dict().items())


# ---------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("shape", [(2, 1, 16, 16), (2, 3, 8, 8), (2, 1, 8), (1, 8, 8)])
def test_an_image_of_the_wrong_shape(shape):
    with pytest.raises(mv.ShapeError) as caught:
        mv.create_model("vit_digits")(mv.tensor(np.zeros(shape, np.float32)))
    text = str(caught.value)
    for part in ("takes images (B, 1, 8, 8)", f"got {shape}", "in module: VisionTransformer.patch_embed", "img_size=(H, W)"):
        assert part in text


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"img_size": 9}, "img_size 9 must be a positive multiple of patch_size 2"),
        ({"img_size": 0}, "img_size 0 must be a positive multiple"),
        ({"num_heads": 5}, "embed_dim 64 must be a multiple of num_heads 5"),
        ({"global_pool": "max"}, 'global_pool is "token" or "avg", got \'max\''),
    ],
)
def test_a_configuration_that_cannot_be_built(overrides, message):
    with pytest.raises(ValueError, match=message):
        mv.create_model("vit_digits", **overrides)


def test_a_configuration_says_its_shapes():
    config = ViTConfig(64, 4, 4, img_size=(32, 48))
    assert (config.input_shape, config.grid) == ((3, 32, 48), (2, 3))
