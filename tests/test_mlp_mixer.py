"""MLP-Mixer's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision import functional as F
from minivision import models
from minivision.models.mlp_mixer import MixerConfig

SIDE, WIDTH = 4, 64  # the table of mixer_digits: SIDE x SIDE patches, WIDTH channels
PATCHES = SIDE * SIDE
ORDER = np.random.default_rng(0).permutation(PATCHES)


def model(**overrides):
    """The small model with weights by rule, in float64."""
    return fill(mv.create_model("mixer_digits", **overrides)).to(np.float64).eval()


def table(batch=2):
    """Tokens (B, S, C)."""
    return noise("tokens", (batch, PATCHES, WIDTH)).astype(np.float64)


def difference(a, b):
    """The largest, of two tensors."""
    return np.abs(a.numpy() - b.numpy()).max()


# -------------------------------------------------------------------------------------------------- what knows the order


def test_a_block_alone_knows_the_order_of_its_tokens():
    block, x = model().blocks[0], table()
    assert difference(block(mv.tensor(x[:, ORDER])), block(mv.tensor(x))[:, ORDER]) > 1.0


def test_permuted_tokens_with_permuted_weights_are_the_same_permuted():
    """P W_2 sigma(W_1 P^T P x) = P W_2 sigma(W_1 x): W_1's columns, W_2's rows and its bias carry the order, and no more."""
    plain, permuted = model(), model()
    with mv.no_grad():
        for block in permuted.blocks:
            mlp = block.mlp_tokens
            mlp.fc1.weight.assign(mlp.fc1.weight.numpy()[:, ORDER])
            mlp.fc2.weight.assign(mlp.fc2.weight.numpy()[ORDER])
            mlp.fc2.bias.assign(mlp.fc2.bias.numpy()[ORDER])
    x = table()
    for a, b in zip(permuted.blocks, plain.blocks, strict=True):
        assert difference(a(mv.tensor(x[:, ORDER])), b(mv.tensor(x))[:, ORDER]) < 1e-13
    head = [each.forward_head(each.norm(each.blocks(mv.tensor(t)))) for each, t in ((permuted, x[:, ORDER]), (plain, x))]
    assert difference(*head) < 1e-12  # the mean over the patches forgets the order


def test_the_model_knows_where_a_patch_was_without_positions():
    whole = model()
    x = noise("input", (2, 1, 8, 8)).astype(np.float64)
    assert difference(whole(mv.tensor(x)), whole(mv.tensor(x[:, :, :, ::-1]))) > 0.1
    assert not any("pos" in name for name in whole.state_dict())


# ------------------------------------------------------------------------------------------------ the two mixing layers


def test_mixing_tokens_is_a_depthwise_convolution_that_sees_everything_with_kernels_that_all_channels_share():
    """Section 2: row d of W_1 is a kernel as large as the map, moved nowhere; and W_2's rows over the hidden numbers."""
    block, x = model().blocks[0], table()
    mlp = block.mlp_tokens
    images = mv.tensor(x.transpose(0, 2, 1).reshape(2, WIDTH, SIDE, SIDE))
    hidden = mlp.fc1.weight.shape[0]
    first = np.tile(mlp.fc1.weight.numpy().reshape(hidden, 1, SIDE, SIDE), (WIDTH, 1, 1, 1))  # (C D_S, 1, h, w)
    y = F.conv2d(images, mv.tensor(first), mv.tensor(np.tile(mlp.fc1.bias.numpy(), WIDTH)), groups=WIDTH)
    y = F.gelu(y).reshape(2, WIDTH, hidden)
    second = np.tile(mlp.fc2.weight.numpy().reshape(PATCHES, 1, hidden), (WIDTH, 1, 1))  # (C S, 1, D_S)
    y = F.conv1d(y, mv.tensor(second), mv.tensor(np.tile(mlp.fc2.bias.numpy(), WIDTH)), groups=WIDTH)
    assert difference(y.reshape(2, WIDTH, PATCHES).transpose(1, 2), block.mix_tokens(mv.tensor(x))) < 1e-13


def test_mixing_channels_is_two_1x1_convolutions():
    mlp, x = model().blocks[0].mlp_channels, table()
    y = mv.tensor(x.transpose(0, 2, 1).reshape(2, WIDTH, SIDE, SIDE))
    y = F.gelu(F.conv2d(y, mlp.fc1.weight[:, :, None, None], mlp.fc1.bias))
    y = F.conv2d(y, mlp.fc2.weight[:, :, None, None], mlp.fc2.bias)
    assert difference(y.flatten(2).transpose(1, 2), mlp(mv.tensor(x))) < 1e-13


def test_one_part_sees_a_column_and_the_other_a_row():
    """By the first MLP a number reaches its own channel in every patch; by the second, its own patch in every channel."""
    block, x = model().blocks[0], table(1)
    moved = x.copy()
    moved[0, 3, 5] += 1.0
    for mix, reached in ((block.mix_tokens, np.s_[:, 5]), (block.mlp_channels, np.s_[3, :])):
        changed = mix(mv.tensor(moved)).numpy()[0] != mix(mv.tensor(x)).numpy()[0]
        assert changed[reached].all()
        assert changed.sum() == changed[reached].size


def test_a_block_is_eq_1():
    block, x = model().blocks[0], table()

    def normed(z, layer):
        z = (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-6)
        return z * layer.weight.numpy() + layer.bias.numpy()

    def mlp(z, layers):
        h = F.gelu(mv.tensor(z @ layers.fc1.weight.numpy().T + layers.fc1.bias.numpy())).numpy()
        return h @ layers.fc2.weight.numpy().T + layers.fc2.bias.numpy()

    u = x + mlp(normed(x, block.norm1).transpose(0, 2, 1), block.mlp_tokens).transpose(0, 2, 1)
    y = u + mlp(normed(u, block.norm2), block.mlp_channels)
    np.testing.assert_allclose(block(mv.tensor(x)).numpy(), y, rtol=0, atol=1e-13)


def test_the_bias_over_patches_changes_nothing():
    """W_2's bias adds one number to all channels of a patch, and every LayerNorm that comes after subtracts it again."""
    plain, moved = model(), model()
    for block in moved.blocks:
        block.mlp_tokens.fc2.bias.assign(block.mlp_tokens.fc2.bias.numpy() + noise("shift", (PATCHES,)))
    x = mv.tensor(noise("input", (2, 1, 8, 8)).astype(np.float64))
    assert difference(plain(x), moved(x)) < 1e-13
    assert difference(plain.blocks(plain.stem(x)), moved.blocks(moved.stem(x))) > 1.0


@pytest.mark.parametrize("name", [name for name in mv.list_models("mixer_*") if models.entry(name).params])
def test_published_counts_have_a_closed_form(name):
    """A patch costs the same however many there are: twice D_S C for the first MLP, twice D_C C for the second."""
    found = models.entry(name)
    c = found.config
    S, P, C, L = c.patches, c.patch_size, c.embed_dim, c.depth
    tokens, channels = C // 2, 4 * C
    block = 2 * S * tokens + S + tokens + 2 * C * channels + C + channels + 4 * C
    assert found.params == L * block + (3 * P * P + 1) * C + 2 * C + 1000 * (C + 1)
    assert found.macs == S * (L * (2 * tokens * C + 2 * channels * C) + 3 * P * P * C) + 1000 * C


# ---------------------------------------------------------------------------------------------------- what users ask


def test_a_fresh_model_says_nothing_yet():
    """The head starts at 0; patches keep the variance of what they are given, and biases of MLPs are nearly 0."""
    fresh = mv.create_model("mixer_s16_224", depth=1)
    values = fresh.state_dict()
    assert not values["head.weight"].any()
    assert not values["head.bias"].any()
    patch = values["stem.proj.weight"]
    fan_in = patch[0].size
    assert patch.std() == pytest.approx(fan_in**-0.5, rel=0.01)
    places = np.linspace(-2.0, 2.0, 10_001)
    spread = np.sqrt(np.average(places**2, weights=np.exp(-0.5 * places**2)))  # of a normal that is cut at 2 deviations
    assert np.abs(patch).max() == pytest.approx(2.0 / spread * fan_in**-0.5, rel=0.01)
    fc1 = values["blocks.0.mlp_channels.fc1.weight"]
    assert np.abs(fc1).max() == pytest.approx(np.sqrt(6.0 / sum(fc1.shape)), rel=1e-4)
    assert fc1.std() == pytest.approx(np.sqrt(2.0 / sum(fc1.shape)), rel=0.01)
    assert 0.0 < np.abs(values["blocks.0.mlp_tokens.fc2.bias"]).max() < 1e-5


def test_without_classes_the_model_gives_features():
    features, classes = model(num_classes=0), model()
    x = mv.tensor(noise("input", (2, 1, 8, 8)).astype(np.float64))
    assert not any(name.startswith("head") for name in features.state_dict())
    wanted = classes.forward_head(classes.forward_features(x), pre_logits=True).numpy()
    np.testing.assert_array_equal(features(x).numpy(), wanted)
    assert wanted.shape == (2, WIDTH)


def test_drop_path_grows_with_depth_and_only_in_training():
    plain, dropping = model(), model(drop_path_rate=0.6)
    assert [block.drop_path.drop_prob for block in dropping.blocks] == pytest.approx([0.0, 0.2, 0.4, 0.6])
    x = mv.tensor(table(8))
    np.testing.assert_array_equal(dropping.blocks(x).numpy(), plain.blocks(x).numpy())
    dropping.train()
    np.testing.assert_array_equal(dropping.blocks[0](x).numpy(), plain.blocks[0](x).numpy())
    assert difference(dropping.blocks(x), dropping.blocks(x)) > 0.1


@pytest.mark.parametrize("shape", [(2, 1, 16, 16), (2, 3, 8, 8), (2, 1, 8), (1, 8, 8)])
def test_an_image_of_the_wrong_shape(shape):
    with pytest.raises(mv.ShapeError) as caught:
        mv.create_model("mixer_digits")(mv.tensor(np.zeros(shape, np.float32)))
    text = str(caught.value)
    for part in ("takes images (B, 1, 8, 8)", f"got {shape}", "in module: MlpMixer.stem", "img_size=H"):
        assert part in text


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"img_size": 9}, "img_size 9 must be a positive multiple of patch_size 2"),
        ({"img_size": 0}, "img_size 0 must be a positive multiple"),
        ({"patch_size": 0}, "img_size 8 must be a positive multiple of patch_size 0"),
        ({"mlp_ratio": (0.001, 4.0)}, r"hidden widths of at least 1 with embed_dim 64, got \(0.001, 4.0\)"),
        ({"mlp_ratio": (4.0,)}, "mlp_ratio is two numbers"),
    ],
)
def test_a_configuration_that_cannot_be_built(overrides, message):
    with pytest.raises(ValueError, match=message):
        mv.create_model("mixer_digits", **overrides)


def test_a_configuration_says_its_shapes():
    config = MixerConfig(64, 4, img_size=32, in_chans=2)
    assert (config.input_shape, config.patches) == ((2, 32, 32), 4)
