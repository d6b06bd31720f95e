"""The exact properties of SimMIM, and what a user may ask of it."""

from __future__ import annotations

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision import functional as F
from minivision.models.simmim import SimMIMConfig, enlarged, masked_l1


def digits(**overrides):
    """simmim_digits in float64 with weights by rule."""
    return fill(mv.create_model("simmim_digits", **overrides).double()).eval()


def images(batch=2):
    """Digits by rule, in float64."""
    return noise("input", (batch, 1, 8, 8)).astype(np.float64)


# ------------------------------------------------------------------------------------------------- masks


@pytest.mark.parametrize(
    ("sizes", "cells", "hidden"),
    [
        ({}, 36, 22),
        ({"mask_ratio": 0.5}, 36, 18),
        ({"mask_patch_size": 64}, 9, 6),
        ({"mask_patch_size": 16, "mask_ratio": 0.6}, 144, 87),
    ],
)
def test_as_many_cells_are_hidden_of_every_image_rounded_up(sizes, cells, hidden):
    model = mv.create_model("simmim_swin_base", **sizes)
    mask, side = model.masking(3, np.random.default_rng(0)), model.config.mask_patch_size // 4
    assert mask.shape == (3, 48, 48)
    blocks = mask.reshape(3, 48 // side, side, 48 // side, side).transpose(0, 1, 3, 2, 4).reshape(3, cells, side * side)
    np.testing.assert_array_equal(blocks, np.broadcast_to(blocks[:, :, :1], blocks.shape))  # whole cells
    np.testing.assert_array_equal(blocks[:, :, 0].sum(1), hidden)


def test_masks_follow_from_noise_a_generator_a_seed_or_the_library_s_generator():
    model, given = digits(), np.random.default_rng(5).random((2, 16))
    by_noise = model.masking(2, given)
    np.testing.assert_array_equal(by_noise, model.masking(2, np.random.default_rng(5)))
    smallest = np.argsort(given[0])[:10]
    np.testing.assert_array_equal(np.flatnonzero(by_noise[0, ::2, ::2]), np.sort(smallest))
    mv.manual_seed(7)
    first, second = model.masking(2), model.masking(2)
    mv.manual_seed(7)
    np.testing.assert_array_equal(model.masking(2), first)
    assert not np.array_equal(first, second)
    assert not np.array_equal(digits(mask_seed=2).masking(2), digits(mask_seed=1).masking(2))


# ------------------------------------------------------------------------------------------------- the loss


def test_visible_pixels_have_no_gradient_and_hidden_ones_the_sign_s():
    x, mask = images(), enlarged(digits().masking(2, np.random.default_rng(0)), 1)
    pred = mv.tensor(noise("pred", x.shape).astype(np.float64), requires_grad=True)
    masked_l1(mv.tensor(x), pred, mv.tensor(mask.astype(np.float64))).backward()
    gradient, hidden = pred.grad.numpy(), mask[:, None] == 1
    np.testing.assert_array_equal(gradient[~hidden], 0.0)
    wanted = np.sign(pred.numpy() - x) / (float(mask.sum()) + 1e-5)
    np.testing.assert_allclose(gradient[hidden], wanted[hidden], rtol=1e-14)


def test_the_loss_is_the_mean_over_hidden_pixels_and_channels_and_0_where_none_is_hidden():
    x, y = noise("x", (2, 3, 4, 4)).astype(np.float64), noise("y", (2, 3, 4, 4)).astype(np.float64)
    mask = np.zeros((2, 4, 4))
    assert masked_l1(x, y, mask) == 0.0
    mask[0, 1, 2] = mask[1, 3, 0] = 1.0
    both = np.abs(x - y)[[0, 1], :, [1, 3], [2, 0]].sum() / (2 + 1e-5) / 3
    np.testing.assert_allclose(masked_l1(x, y, mask), both, rtol=1e-14)


def test_what_is_hidden_changes_no_prediction():
    """The mask token stands there: hidden pixels are in the loss alone."""
    model, x, order = digits(), images(), np.random.default_rng(0).random((2, 16))
    other = np.where(model.masking(2, order)[:, None] == 1, 9.0, x)
    first, second = model(mv.tensor(x), order), model(mv.tensor(other), order)
    np.testing.assert_array_equal(first.pred.numpy(), second.pred.numpy())
    assert first.loss.item() != second.loss.item()


def test_pixel_shuffle_and_its_inverse():
    x = noise("x", (2, 12, 3, 5))
    y = F.pixel_shuffle(x, 2)
    assert y.shape == (2, 3, 6, 10)
    np.testing.assert_array_equal(F.pixel_unshuffle(y, 2), x)
    c, r, i, j = 2, 2, 1, 0
    np.testing.assert_array_equal(y[:, c, i::r, j::r], x[:, c * r * r + i * r + j])


def test_a_place_of_the_last_map_predicts_its_own_pixels():
    """Only the decoder's one matrix is between them: a change at one place changes stride x stride pixels."""
    model = digits()
    z = noise("z", (1, 64, 4, 4)).astype(np.float64)
    other = z.copy()
    other[:, :, 1, 2] += 1.0
    changed = (model.decoder(mv.tensor(z)).numpy() != model.decoder(mv.tensor(other)).numpy())[0, 0]
    wanted = np.zeros((8, 8), bool)
    wanted[2:4, 4:6] = True
    np.testing.assert_array_equal(changed, wanted)


# ------------------------------------------------------------------------------------------------- the encoder


def test_a_swin_takes_what_was_pretrained():
    model, tuned = digits(), mv.create_model("swin_digits").double().eval()
    state = {key.removeprefix("encoder."): value for key, value in model.state_dict().items()}
    unfit = tuned.load_state_dict(state, strict=False)
    assert unfit.missing_keys == ["head.fc.weight", "head.fc.bias"]
    assert unfit.unexpected_keys == ["mask_token", "decoder.0.weight", "decoder.0.bias"]
    x = mv.tensor(images())
    *_, last = tuned.forward_maps(x)
    wanted = tuned.norm(last.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).numpy()
    np.testing.assert_array_equal(model.encoder(x).numpy(), wanted)


def test_the_official_layout_is_taken():
    """There a stage ends with the merging, and tables that follow from the sizes are in the file."""
    model = mv.create_model("simmim_digits").double()
    wanted = digits().state_dict()
    official = {key.replace("layers.1.downsample", "layers.0.downsample"): value for key, value in wanted.items()}
    official["encoder.layers.0.blocks.1.attn_mask"] = np.zeros((4, 16, 16))
    official["encoder.layers.0.blocks.0.attn.relative_position_index"] = np.zeros((16, 16), np.int64)
    mv.load_weights(model, {f"model.{key}": value for key, value in official.items()})
    assert all(np.array_equal(value, wanted[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"num_classes": 3}, "num_classes should be 0, got 3"),
        ({"mask_patch_size": 3, "patch_size": 2}, "mask_patch_size 3 should be a positive multiple of patch_size 2"),
        ({"mask_patch_size": 6}, "img_size 8 should be a multiple of mask_patch_size, 6"),
        ({"mask_patch_size": 1, "img_size": 7}, "img_size 7 should be a multiple of the last map's stride, 2"),
        ({"mask_ratio": 0.0}, "above 0 and up to 1, got 0.0"),
    ],
)
def test_a_configuration_that_cannot_be_built(overrides, message):
    with pytest.raises(ValueError, match=message):
        mv.create_model("simmim_digits", **overrides)


def test_noise_of_the_wrong_shape_and_the_sizes_of_a_configuration():
    with pytest.raises(mv.ShapeError, match=r"noise should be \(2, 16\), got \(16,\)"):
        digits()(mv.tensor(images()), np.zeros(16))
    config = mv.models.entry("simmim_swin_base").config
    assert isinstance(config, SimMIMConfig)
    assert (config.stride, config.cells, config.hidden) == (32, (6, 6), 22)
