"""PoolFormer's and MetaFormer's exact properties; their numbers are in test_models.py, their sizes in test_registry.py."""

from __future__ import annotations

import numpy as np
import pytest
from golden.weights import noise
from miniatures import entries, fill

import minivision as mv
from minivision import functional as F
from minivision import models
from minivision.models.metaformer import LayerScale, MetaFormerBlock, MetaFormerConfig
from minivision.models.poolformer import PoolFormer
from minivision.models.token_mixers import ANY_SIZE, MIXERS, Pooling, RandomMixing, token_mixer

DIM, SIDE = 8, 4
BLOCKS = MetaFormerConfig((1,), (DIM,), head_dim=4, img_size=16)


def maps(name="x", batch=2, side=SIDE, dim=DIM):
    """Random maps (B, C, H, W)."""
    return mv.tensor(noise(name, (batch, dim, side, side)).astype(np.float64))


def mixer(kind):
    """A token mixer with weights by rule, in float64."""
    return fill(token_mixer(kind, DIM, SIDE * SIDE, 3, 4)).to(np.float64)


def difference(a, b):
    """The largest, of two tensors."""
    return np.abs(a.numpy() - b.numpy()).max()


# ------------------------------------------------------------------------------------------------- pooling, section 3.2


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_pooling_has_no_parameters_and_kills_constants_up_to_the_border(kernel):
    pooling = Pooling(kernel)
    assert pooling.state_dict() == {}
    constant = mv.tensor(np.full((1, 3, 6, 5), 3.7))
    assert np.abs(pooling(constant).numpy()).max() < 1e-14
    counted = F.avg_pool2d(constant, kernel, 1, kernel // 2) - constant  # the padding's zeros among the K^2 values
    assert np.abs(counted.numpy()[:, :, 0, 0] + 3.7 * (1.0 - ((kernel + 1) // 2) ** 2 / kernel**2)).max() < 1e-14
    assert np.abs(counted.numpy()).max() > 2.0


def test_pooling_is_the_mean_of_the_neighbours_less_the_token():
    """Eq. 4, where the sum and the count are over the places inside the map."""
    x = maps().numpy()
    wanted = np.empty_like(x)
    for i in range(SIDE):
        for j in range(SIDE):
            around = x[:, :, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
            wanted[:, :, i, j] = around.mean(axis=(2, 3)) - x[:, :, i, j]
    np.testing.assert_allclose(Pooling(3)(mv.tensor(x)).numpy(), wanted, rtol=0, atol=1e-14)


def test_the_bias_of_the_norm_before_pooling_changes_nothing():
    """It is a constant in each channel."""
    block, x = fill(MetaFormerBlock(DIM, "pooling", 0, 0.0, BLOCKS)).to(np.float64), maps()
    y = block(x)
    block.norm1.bias.assign(block.norm1.bias.numpy() + noise("shift", (DIM,)))
    assert difference(block(x), y) < 1e-14
    block.norm2.bias.assign(block.norm2.bias.numpy() + noise("shift", (DIM,)))
    assert difference(block(x), y) > 0.1


def test_with_the_shortcut_pooling_is_the_mean_alone():
    """That is what the token is subtracted for: Y = X + (mean X - X)."""
    x = maps()
    assert difference(x + Pooling(3)(x), F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)) < 1e-14


# ------------------------------------------------------------------------------------------------------ any token mixer


@pytest.mark.parametrize("kind", MIXERS)
def test_a_block_is_eq_2_and_3_whatever_mixes(kind):
    block = fill(MetaFormerBlock(DIM, kind, SIDE * SIDE, 0.0, BLOCKS)).to(np.float64)
    x = maps()

    def normed(z, norm):
        z = z.numpy()
        z = (z - z.mean((1, 2, 3), keepdims=True)) / np.sqrt(z.var((1, 2, 3), keepdims=True) + 1e-5)
        return mv.tensor(z * norm.weight.numpy()[:, None, None] + norm.bias.numpy()[:, None, None])

    def layer(z, conv):
        return np.einsum("oc,bchw->bohw", conv.weight.numpy()[:, :, 0, 0], z.numpy()) + conv.bias.numpy()[:, None, None]

    y = x + block.layer_scale1.scale.reshape(-1, 1, 1) * block.token_mixer(normed(x, block.norm1))
    z = layer(F.gelu(mv.tensor(layer(normed(y, block.norm2), block.mlp.fc1))), block.mlp.fc2)
    wanted = y.numpy() + block.layer_scale2.scale.numpy()[:, None, None] * z
    np.testing.assert_allclose(block(x).numpy(), wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", ["attention", "pooling", "spatial_fc", "spatial_mlp", "random"])
def test_which_mixers_reach_how_far(kind):
    """Pooling sees 3 x 3 neighbours, the others the whole map; all but attention keep the channels apart."""
    mix, x = mixer(kind), maps(batch=1)
    moved = x.numpy().copy()
    moved[0, 2, 0, 0] += 1.0
    changed = np.abs(mix(mv.tensor(moved)).numpy() - mix(x).numpy())[0] > 1e-9
    assert changed[2].sum() == (4 if kind == "pooling" else SIDE * SIDE)
    assert changed.any(axis=(1, 2)).sum() == (DIM if kind == "attention" else 1)


def test_attention_alone_does_not_know_the_order_so_it_is_given_positions():
    x, order = maps().numpy(), np.random.default_rng(0).permutation(SIDE * SIDE)
    shuffled = x.reshape(2, DIM, -1)[:, :, order].reshape(x.shape)
    for kind, blind in {"attention": True, "spatial_fc": False, "pooling": False}.items():
        y, z = (mixer(kind)(mv.tensor(each)).numpy().reshape(2, DIM, -1) for each in (x, shuffled))
        assert (np.abs(y[:, :, order] - z).max() < 1e-13) == blind
    for letters, stage in {"pppa": 3, "ppaa": 2}.items():
        names = entries(mv.create_model(f"metaformer_{letters}_s12_224"))
        assert {name for name in names if "pos_embed" in name} == {f"stages.{stage}.pos_embed"}
    assert not any("pos_embed" in name for name in entries(mv.create_model("metaformer_ppff_s12_224")))


def test_a_random_matrix_has_rows_of_sum_1_and_is_never_learnt():
    mix = RandomMixing(SIDE * SIDE)
    matrix = mix.random_matrix.numpy()
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, rtol=0, atol=1e-6)
    assert np.all(matrix.max(axis=1) < np.e * matrix.min(axis=1))  # softmax of numbers between 0 and 1
    assert list(mix.parameters()) == []
    assert list(mix.state_dict()) == ["random_matrix"]
    constant = np.full((1, 2, SIDE, SIDE), 3.7, np.float32)
    np.testing.assert_allclose(mix(mv.tensor(constant)).numpy(), constant, rtol=1e-6)
    mv.manual_seed(5)
    first, second = RandomMixing(4).random_matrix.numpy(), RandomMixing(4).random_matrix.numpy()
    mv.manual_seed(5)
    np.testing.assert_array_equal(RandomMixing(4).random_matrix.numpy(), first)
    assert not np.array_equal(first, second)


def test_random_matrices_of_s12_are_the_21_million_of_table_5():
    config = models.entry("poolformer_s12").config
    assert config.sizes == [(56, 56), (28, 28), (14, 14), (7, 7)]
    assert sum(depth * (h * w) ** 2 for depth, (h, w) in zip(config.depths, config.sizes, strict=True)) // 10**6 == 21


@pytest.mark.parametrize("name", [name for name in mv.list_models("poolformer_*") if models.entry(name).params])
def test_published_counts_have_a_closed_form(name):
    """A block: 8 D^2 + 5 D for its MLP, 4 D for its norms, 2 D for its scales, and nothing for its token mixer."""
    found = models.entry(name)
    c, inputs = found.config, 3
    params = macs = 0
    for i, (depth, D, (h, w)) in enumerate(zip(c.depths, c.dims, c.sizes, strict=True)):
        kernel = 3 if i else 7
        params += kernel**2 * inputs * D + D + depth * (8 * D * D + 11 * D)
        macs += h * w * (kernel**2 * inputs * D + depth * 8 * D * D)
        inputs = D
    assert (found.params, found.macs) == (params + 2 * D + 1000 * (D + 1), macs + 1000 * D)


# ------------------------------------------------------------------------------------------------------------- the head


def test_the_two_orders_of_the_head_differ_by_a_factor_for_each_image():
    """Before the scale and the shift: the deviation of the whole map, against that of the channels' means."""
    few = {"depths": (1, 1), "dims": (8, 16), "img_size": 32, "num_classes": 0}
    timm, official = (fill(mv.create_model("poolformer_s12", head=head, **few)).to(np.float64) for head in ("timm", "official"))
    assert entries(timm) == entries(official)
    for model in (timm, official):
        model.head.norm.bias.assign(np.zeros(16))
    x = maps("map", 3, 4, 16)
    y, z = timm.forward_head(x).numpy(), official.forward_head(x).numpy()
    means = x.numpy().mean((2, 3))
    assert np.abs(official.head.norm.weight.numpy()).min() > 0.1
    ratio = y / z * np.sqrt(means.var(1) + 1e-6)[:, None] / np.sqrt(x.numpy().var((1, 2, 3)) + 1e-5)[:, None]
    np.testing.assert_allclose(ratio, 1.0, rtol=1e-12)
    assert np.abs(y - z).max() > 1.0


# ---------------------------------------------------------------------------------------------------- what users ask


def test_a_fresh_deep_network_is_nearly_its_convolutions():
    """LayerScale begins at 1e-5, in the deeper ones at 1e-6: so little of its branches does a block add."""
    starts = {name: models.entry(name).config.layer_scale_init for name in mv.list_models("poolformer_[sm]*")}
    assert {name for name, start in starts.items() if start == 1e-6} == {"poolformer_s36", "poolformer_m36"}
    block, x = MetaFormerBlock(DIM, "pooling", 0, 0.0, MetaFormerConfig((1,), (DIM,), layer_scale_init=1e-5)).double(), maps()
    assert 0.0 < difference(block(x), x) < 1e-4
    np.testing.assert_array_equal(LayerScale(3, 0.5).scale.numpy(), np.float32(0.5))


def test_mixers_of_any_size_give_maps_and_take_any_image():
    for kind in MIXERS:
        name = "poolformer_digits" if kind == "pooling" else f"metaformer_{kind}_digits"
        model = fill(mv.create_model(name))
        assert isinstance(model, PoolFormer) == (kind in ANY_SIZE)
        if kind in ANY_SIZE:
            assert model(mv.tensor(noise("x", (1, 1, 10, 12)))).shape == (1, 10)
        else:
            with pytest.raises(mv.ShapeError, match=r"takes images \(B, 1, 8, 8\), got \(1, 1, 10, 12\)"):
                model(mv.tensor(noise("x", (1, 1, 10, 12))))


def test_drop_path_grows_over_all_stages_and_only_in_training():
    plain, dropping = (fill(mv.create_model("poolformer_digits", drop_path_rate=rate)).eval() for rate in (0.0, 0.6))
    rates = [block.drop_path.drop_prob for stage in dropping.stages for block in stage.blocks]
    assert rates == pytest.approx([0.0, 0.2, 0.4, 0.6])
    x = mv.tensor(noise("x", (8, 1, 8, 8)))
    np.testing.assert_array_equal(dropping(x).numpy(), plain(x).numpy())
    dropping.train()
    assert difference(dropping(x), dropping(x)) > 0.01


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"head": "x"}, "head is one of timm, official, got 'x'"),
        ({"norm": "batch"}, "norm is one of group, channel, got 'batch'"),
        ({"token_mixers": "conv"}, r"token_mixers are of pooling, identity, .*random, got \('conv', 'conv', 'conv', 'conv'\)"),
        ({"token_mixers": ("pooling",)}, "depths, dims and token_mixers have one entry for each stage"),
        ({"depths": (1, 1, 0, 1)}, "depths none below 1"),
        ({"pool_size": 4}, "pool_size is odd, so that a window has a centre, got 4"),
        ({"token_mixers": "attention", "head_dim": 48}, r"head_dim 48 divides the channels of stages with attention, got \[64"),
    ],
)
def test_a_configuration_that_cannot_be_built(overrides, message):
    with pytest.raises(ValueError, match=message):
        mv.create_model("poolformer_s12", **overrides)
