"""The exact properties of MAE, and what a user may ask of it."""

from __future__ import annotations

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision import nn, optim
from minivision.models._positions import sin_cos_positions
from minivision.models.mae import MAEConfig, fine_tuning_groups, normalise_pixels, patchify, random_masking, unpatchify


def digits(**overrides):
    """mae_digits in float64 with weights by rule."""
    return fill(mv.create_model("mae_digits", **overrides).double()).eval()


def images(batch=2):
    """Digits by rule, in float64."""
    return noise("input", (batch, 1, 8, 8)).astype(np.float64)


@pytest.mark.parametrize(("grid", "size", "channels"), [((2, 3), 4, 3), ((4, 4), 2, 1), ((1, 1), 5, 2), ((3, 1), 1, 3)])
def test_patchify_and_unpatchify_are_inverse(grid, size, channels):
    x = noise("x", (2, channels, grid[0] * size, grid[1] * size))
    patches = patchify(x, size)
    assert patches.shape == (2, grid[0] * grid[1], size * size * channels)
    np.testing.assert_array_equal(unpatchify(patches, grid, size), x)
    np.testing.assert_array_equal(patchify(unpatchify(patches, grid, size), size), patches)


def test_a_patch_has_its_pixels_row_by_row_and_in_each_its_channels():
    x = noise("x", (1, 3, 8, 12))
    row, column, p, q, c = 1, 2, 3, 1, 2
    assert patchify(x, 4)[0, row * 3 + column, (p * 4 + q) * 3 + c] == x[0, c, row * 4 + p, column * 4 + q]


def test_normalised_pixels_have_mean_0_and_unbiased_variance_1():
    x = noise("x", (2, 5, 12)).astype(np.float64)
    found = normalise_pixels(x)
    np.testing.assert_allclose(found.mean(-1), 0.0, rtol=0, atol=1e-15)
    variance = x.var(-1, ddof=1)
    np.testing.assert_allclose(found.var(-1, ddof=1), variance / (variance + 1e-6), rtol=1e-14)
    np.testing.assert_array_equal(normalise_pixels(np.full((1, 1, 4), 0.5)), 0.0)  # a flat patch


# ------------------------------------------------------------------------------------------------- masks


@pytest.mark.parametrize(("ratio", "visible"), [(0.75, 49), (0.5, 98), (0.9, 19), (0.6, 78)])
def test_the_mask_ratio_is_exact_for_every_image(ratio, visible):
    config = MAEConfig(768, 12, 12, mask_ratio=ratio)
    seen = random_masking(np.random.default_rng(0).random((5, 196)), config.visible)
    assert seen.keep.shape == (5, visible)
    np.testing.assert_array_equal(seen.mask.sum(1), 196 - visible)


def test_restoring_puts_every_patch_where_it_was():
    order = np.random.default_rng(0).random((3, 16))
    seen = random_masking(order, 4)
    for noises, keep, restore, mask in zip(order, seen.keep, seen.restore, seen.mask, strict=True):
        assert keep.tolist() == np.argsort(noises)[:4].tolist()
        assert np.flatnonzero(mask == 0).tolist() == sorted(keep)
        hidden = np.argsort(noises)[4:]
        np.testing.assert_array_equal(np.concatenate([keep, hidden])[restore], np.arange(16))


def test_masks_follow_from_noise_a_generator_a_seed_or_the_library_s_generator():
    model = digits()
    given = np.random.default_rng(5).random((2, 16))
    by_noise, by_generator = model.masking(2, given), model.masking(2, np.random.default_rng(5))
    np.testing.assert_array_equal(by_noise.mask, by_generator.mask)
    mv.manual_seed(7)
    first, second = model.masking(2).mask, model.masking(2).mask
    mv.manual_seed(7)
    np.testing.assert_array_equal(model.masking(2).mask, first)
    assert not np.array_equal(first, second)
    seeded = digits(mask_seed=1)
    np.testing.assert_array_equal(seeded.masking(2).mask, seeded.masking(2).mask)
    assert not np.array_equal(seeded.masking(2).mask, digits(mask_seed=2).masking(2).mask)


# ------------------------------------------------------------------------------------------------- what is learned from


@pytest.mark.parametrize("normal", [False, True])
def test_the_loss_has_no_gradient_on_visible_patches(normal):
    model = digits(norm_pix_loss=normal)
    seen = model.masking(2, np.random.default_rng(0))
    pred = mv.tensor(noise("pred", (2, 16, 4)).astype(np.float64), requires_grad=True)
    loss = model.forward_loss(mv.tensor(images()), pred, mv.tensor(seen.mask.astype(np.float64)))
    loss.backward()
    gradient, target = pred.grad.numpy(), patchify(images(), 2)
    target = normalise_pixels(target) if normal else target
    np.testing.assert_array_equal(gradient[seen.mask == 0], 0.0)
    wanted = 2.0 * (pred.numpy() - target) / (4 * seen.mask.sum())
    np.testing.assert_allclose(gradient[seen.mask == 1], wanted[seen.mask == 1], rtol=1e-13)


def test_what_is_hidden_changes_no_prediction():
    """The encoder never sees it; its own pixels are only in the loss."""
    model, x, order = digits(), images(), np.random.default_rng(0).random((2, 16))
    hidden = model.masking(2, order).mask[:, :, None] == 1
    other = unpatchify(np.where(hidden, 9.0, patchify(x, 2)), (4, 4), 2)
    first, second = model(mv.tensor(x), order), model(mv.tensor(other), order)
    np.testing.assert_array_equal(first.pred.numpy(), second.pred.numpy())
    assert first.loss.item() != second.loss.item()


def test_gaps_differ_by_their_position_alone():
    """Without positions every gap is predicted alike."""
    model, x = digits(), mv.tensor(images())
    model.decoder_pos_embed.assign(np.zeros(model.decoder_pos_embed.shape))
    found = model(x, np.random.default_rng(0))
    for pred, mask in zip(found.pred.numpy(), found.mask.numpy(), strict=True):
        gaps = pred[mask == 1]
        np.testing.assert_allclose(gaps, np.broadcast_to(gaps[0], gaps.shape), rtol=0, atol=1e-13)


def test_the_order_of_what_is_seen_does_not_matter():
    model, x = digits(), mv.tensor(images())
    keep = model.masking(2, np.random.default_rng(0)).keep
    forward, backward = (model.forward_encoder(x, each).numpy() for each in (keep, keep[:, ::-1]))
    np.testing.assert_allclose(backward[:, 0], forward[:, 0], rtol=0, atol=1e-13)
    np.testing.assert_allclose(backward[:, :0:-1], forward[:, 1:], rtol=0, atol=1e-13)


@pytest.mark.parametrize(("ratio", "tokens"), [(0.75, 50), (0.5, 99)])
def test_the_encoder_costs_what_the_vit_formula_says_for_the_tokens_it_sees(ratio, tokens):
    """And a ViT-B, which has 197, more than four times as much in its blocks. Of each, two blocks are counted."""
    model = mv.create_model("mae_vit_base_patch16", mask_ratio=ratio, depth=2, decoder_depth=2)
    rows = {row.path: row for row in mv.profile(model, (3, 224, 224)).rows}

    def formula(T, D=768, L=2):
        return L * (12 * T * D * D + 2 * T * T * D)

    assert rows["blocks"].macs == formula(tokens)
    assert rows["patch_embed"].macs == 196 * 768 * 768
    assert rows["decoder_blocks"].macs == formula(197, 512)
    whole = mv.profile(mv.create_model("vit_base_patch16_224", depth=2), (3, 224, 224))
    assert {row.path: row for row in whole.rows}["blocks"].macs == formula(197)
    assert formula(197) / formula(50) > 4


def test_positions_are_in_the_checkpoint_and_not_learned():
    model = digits()
    assert {"pos_embed", "decoder_pos_embed"} <= model.state_dict().keys()
    fixed = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert fixed == {"pos_embed", "decoder_pos_embed"}
    model(mv.tensor(images())).loss.backward()
    assert model.pos_embed.grad is None
    assert all(p.grad is not None for name, p in model.named_parameters() if name not in fixed)


# ------------------------------------------------------------------------------------------------- fine-tuning


def test_a_vit_takes_what_was_pretrained():
    model, tuned = digits(), mv.create_model("vit_digits", global_pool="avg").double().eval()
    unfit = tuned.load_state_dict(model.state_dict(), strict=False)
    assert unfit.missing_keys == ["fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias"]
    apart = {name.partition(".")[0] for name in unfit.unexpected_keys}
    assert apart == {"norm", "mask_token"} | {f"decoder_{part}" for part in ("pos_embed", "embed", "blocks", "norm", "pred")}
    x, everything = mv.tensor(images()), np.tile(np.arange(16), (2, 1))
    features = model.norm(tuned.forward_features(x)).numpy()
    np.testing.assert_allclose(model.forward_encoder(x, everything).numpy(), features, rtol=0, atol=1e-13)


def test_earlier_layers_are_tuned_more_slowly():
    model = mv.create_model("vit_digits", global_pool="avg")
    groups = fine_tuning_groups(model, lr=1.0, weight_decay=0.3, layer_decay=0.5)
    names = {id(p): name for name, p in model.named_parameters()}
    found = {names[id(p)]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert found.keys() == set(names.values())
    for name, wanted in {
        "cls_token": (0.5**5, 0.0), "pos_embed": (0.5**5, 0.0), "patch_embed.proj.weight": (0.5**5, 0.3),
        "blocks.0.attn.qkv.weight": (0.5**4, 0.3), "blocks.3.mlp.fc1.bias": (0.5, 0.0), "blocks.3.mlp.fc1.weight": (0.5, 0.3),
        "fc_norm.weight": (1.0, 0.0), "head.weight": (1.0, 0.3), "head.bias": (1.0, 0.0),
    }.items():  # fmt: skip
        assert found[name] == wanted, name
    optim.AdamW(groups)


def test_layer_decay_leaves_out_what_is_frozen_and_is_a_fraction():
    model = nn.Sequential(nn.Linear(2, 3).requires_grad_(False), nn.Linear(3, 4))
    groups = optim.layer_decay_groups(model, lambda name: int(name[0]), 0.1)
    assert [group["params"] for group in groups] == [[model[1].weight], [model[1].bias]]
    with pytest.raises(ValueError, match=r"above 0 and up to 1, got 1\.5"):
        optim.layer_decay_groups(model, len, 0.1, layer_decay=1.5)


# ------------------------------------------------------------------------------------------------- values and errors


def test_initial_values():
    values = mv.create_model("mae_vit_base_patch16", depth=1, decoder_depth=1).state_dict()
    for name, fans in (
        ("patch_embed.proj.weight", 768 + 768),
        ("blocks.0.attn.qkv.weight", 4 * 768),
        ("decoder_pred.weight", 1280),
    ):
        assert np.abs(values[name]).max() == pytest.approx((6 / fans) ** 0.5, rel=1e-4), name
    for name in ("cls_token", "mask_token"):
        assert values[name].std() == pytest.approx(0.02, rel=0.1)
    assert not any(values[name].any() for name in ("blocks.0.mlp.fc1.bias", "decoder_embed.bias", "norm.bias"))
    np.testing.assert_array_equal(values["pos_embed"], sin_cos_positions(768, (14, 14)).astype(np.float32))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"mask_ratio": 0.0}, "show some of 16 patches and hide some, got 0.0"),
        ({"mask_ratio": 0.95}, "show some of 16 patches and hide some, got 0.95"),
        ({"decoder_embed_dim": 30, "decoder_num_heads": 2}, "decoder_embed_dim should be a multiple of 4.* got 30"),
        ({"patch_size": 1, "norm_pix_loss": True}, "norm_pix_loss needs patches of two numbers or more"),
        ({"img_size": 9}, "img_size 9 must be a positive multiple of patch_size 2"),
    ],
)
def test_a_configuration_that_cannot_be_built(overrides, message):
    with pytest.raises(ValueError, match=message):
        mv.create_model("mae_digits", **overrides)


def test_noise_of_the_wrong_shape():
    with pytest.raises(mv.ShapeError, match=r"noise should be \(2, 16\), got \(16,\)"):
        digits()(mv.tensor(images()), np.zeros(16))
