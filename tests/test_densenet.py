"""DenseNet's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

import re

import numpy as np
import pytest
from golden.weights import noise
from miniatures import entries, fill

import minivision as mv
from minivision import functional as F
from minivision.models.densenet import DenseBlock, DenseNetConfig, renamed

DEPTH, GROWTH, WIDTH = 4, 3, 5
CONFIG = DenseNetConfig((DEPTH,), GROWTH, WIDTH, bn_size=2)


def block():
    """A block whose layers norm with their running statistics, in float64."""
    return fill(DenseBlock(WIDTH, DEPTH, CONFIG)).to(np.float64).eval()


def image(channels=WIDTH):
    """Random maps."""
    return mv.tensor(noise("x", (2, channels, 6, 5)).astype(np.float64))


def test_every_layer_is_connected_to_every_one_before_it():
    """L (L + 1) / 2 connections: an input of layer l from each of x_0 ... x_(l-1), found by what changing a source changes."""
    made, x = block(), image()
    sources, found = [x], []
    for layer in made:
        y = layer(np.concatenate(sources, axis=1)).numpy()
        for i, source in enumerate(sources):
            moved = [*sources[:i], source + 1.0, *sources[i + 1 :]]
            found.append(np.abs(layer(np.concatenate(moved, axis=1)).numpy() - y).max() > 0.01)
        sources.append(mv.tensor(y))
    assert all(found)
    assert len(found) == DEPTH * (DEPTH + 1) // 2


def test_a_block_keeps_its_input_and_appends():
    made, x = block(), image()
    y = made(x)
    assert y.shape == (2, WIDTH + DEPTH * GROWTH, 6, 5)
    np.testing.assert_array_equal(y.numpy()[:, :WIDTH], x.numpy())
    first = made[0](x)
    np.testing.assert_array_equal(y.numpy()[:, WIDTH : WIDTH + GROWTH], first.numpy())


def test_a_1x1_convolution_of_maps_side_by_side_is_the_sum_of_one_of_each():
    """So the products with old maps could be kept: W [x_0, ..., x_l] = sum_i W_i x_i."""
    conv = block()[-1].conv1
    sizes = [WIDTH] + [GROWTH] * (DEPTH - 1)
    x = image(sum(sizes))
    cuts = np.cumsum(sizes)[:-1]
    parts = zip(np.split(x.numpy(), cuts, axis=1), np.split(conv.weight.numpy(), cuts, axis=1), strict=True)
    each = sum(F.conv2d(mv.tensor(maps), mv.tensor(weight)).numpy() for maps, weight in parts)
    np.testing.assert_allclose(each, conv(x).numpy(), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", ["densenet121", "densenet169", "densenet201"])
def test_the_layers_have_the_sizes_of_table_1(name):
    """Layer l of a block with k_0 maps: (k_0 + k (l - 1)) 4k weights, then 9 x 4k k; k = 32, and a transition halves."""
    model = mv.create_model(name)
    shapes, width = entries(model), 64
    for b, depth in enumerate(model.config.depths, start=1):
        for i in range(1, depth + 1):
            layer = f"features.denseblock{b}.denselayer{i}"
            assert shapes[f"{layer}.conv1.weight"] == (128, width + 32 * (i - 1), 1, 1)
            assert shapes[f"{layer}.conv2.weight"] == (32, 128, 3, 3)
        width += 32 * depth
        if b < 4:
            assert shapes[f"features.transition{b}.conv.weight"] == (width // 2, width, 1, 1)
            width //= 2
    assert shapes["classifier.weight"] == (1000, width)
    assert int(name.removeprefix("densenet")) == 2 * sum(model.config.depths) + 3 + 2  # two a layer, transitions, first, last


# -------------------------------------------------------------------------------------------------- the files of 2017


def old(state):
    """A state dict as the files of 2017 have it."""
    names = {key: re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key) for key in state}
    return {names[key]: value for key, value in state.items() if not key.endswith("num_batches_tracked")}


def test_the_names_of_2017_load():
    wanted = fill(mv.create_model("densenet_digits")).state_dict()
    made = mv.create_model("densenet_digits")
    assert "features.denseblock2.denselayer3.norm.1.running_var" in old(wanted)
    assert mv.load_weights(made, old(wanted)) == ([], [])
    for key, value in made.state_dict().items():
        np.testing.assert_array_equal(value, wanted[key])


def test_a_file_of_2017_loads_into_the_maps_too(tmp_path):
    wanted = fill(mv.create_model("densenet_digits"))
    mv.save_checkpoint(tmp_path / "old.safetensors", old(wanted.state_dict()))
    maps = mv.create_model("densenet_digits", features_only=True)
    mv.load_weights(maps, tmp_path / "old.safetensors")
    x = mv.tensor(noise("x", (1, 1, 8, 8)))
    with mv.no_grad():
        np.testing.assert_array_equal(maps.eval()(x)[-1].numpy(), wanted.eval().forward_features(x).numpy())


def test_today_s_names_are_not_touched():
    """Not even where something is missing: then loading says so."""
    state = mv.create_model("densenet_digits").state_dict()
    assert list(renamed(state)) == list(state)
    del state["features.norm5.num_batches_tracked"]
    assert list(renamed(state)) == list(state)
    with pytest.raises(mv.CheckpointError, match=r"features\.norm5\.num_batches_tracked"):
        mv.create_model("densenet_digits").load_state_dict(state)


# -------------------------------------------------------------------------------------------------- configurations


@pytest.mark.parametrize(
    ("wrong", "told"), [({"stem": "x"}, "stem is one of imagenet, cifar, got 'x'"), ({"depths": (3, 0)}, "at least one in each")]
)
def test_a_configuration_that_makes_no_network_is_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        mv.create_model("densenet121", **wrong)


def test_dropout_leaves_out_new_maps_in_training_alone():
    model = fill(mv.create_model("densenet_digits", drop_rate=0.5)).to(np.float64)
    x = mv.tensor(noise("x", (2, 1, 8, 8)).astype(np.float64))
    y = model.features.denseblock1(model.features.conv0(x)).numpy()[:, 16:]
    assert 0.4 < np.mean(y == 0.0) < 0.6
    assert np.all(model.eval().features.denseblock1(model.features.conv0(x)).numpy() != 0.0)
