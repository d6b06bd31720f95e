"""VGG's and AlexNet's exact claims; their numbers are in test_models.py, their sizes in test_registry.py."""

from __future__ import annotations

import numpy as np
import pytest
from golden.weights import noise
from miniatures import entries, fill

import minivision as mv
from minivision import nn
from minivision.models.vgg import TIMM, receptive_field


def reach(layers, side):
    """How many pixels along a side one output in the middle depends on, by the support of its gradient."""
    for parameter in layers.parameters():
        nn.init.ones_(parameter)
    x = mv.tensor(np.ones((1, 1, side, side)), requires_grad=True)
    y = layers.double()(x)
    y[0, 0, y.shape[2] // 2, y.shape[3] // 2].backward()
    rows = np.flatnonzero(np.abs(x.grad.numpy()[0, 0]).sum(1))
    return rows[-1] - rows[0] + 1


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_n_of_3x3_see_2n_plus_1_with_9_to_2n_plus_1_squared_weights(n):
    """Section 2.3; three see what one 7x7 sees for 27/49 of the weights."""
    stacked = nn.Sequential(*(nn.Conv2d(1, 1, 3, bias=False) for _ in range(n)))
    assert reach(stacked, 15) == reach(nn.Conv2d(1, 1, 2 * n + 1, bias=False), 15) == 2 * n + 1


@pytest.mark.parametrize("layers", [[(3, 1)], [(3, 2), (3, 1)], [(5, 1), (2, 2), (3, 1)], [(3, 1), (2, 2), (3, 1), (2, 2)]])
def test_the_receptive_field_is_the_support_of_the_gradient(layers):
    stacked = nn.Sequential(*(nn.Conv2d(1, 1, kernel, stride=stride, bias=False) for kernel, stride in layers))
    assert receptive_field(layers)[0] == reach(stacked, 41)
    assert receptive_field(layers)[1] == np.prod([stride for _, stride in layers])


def shares(name):
    """The share of parameters in fully connected layers, and of multiply-adds in convolutions."""
    model = mv.create_model(name)
    counted = mv.profile(model, model.config.input_shape)
    dense = sum(int(np.prod(shape)) for key, shape in entries(model).items() if key.startswith("classifier"))
    matrices = [shape for key, shape in entries(model).items() if key.startswith("classifier") and len(shape) == 2]
    multiplied = sum(int(np.prod(shape)) for shape in matrices)
    return dense, counted.parameters, counted.macs - multiplied, counted.macs


def test_alexnet_s_weights_are_in_its_classifier_and_its_work_in_its_convolutions():
    """96 % and 92 %; the sheet's numbers to the unit."""
    dense, parameters, convolved, macs = shares("alexnet")
    assert (dense, parameters - dense) == (58_631_144, 2_469_696)
    assert (convolved, macs - convolved) == (655_566_528, 58_621_952)


def test_vgg_16_s_weights_are_in_its_classifier():
    dense, parameters, _, _ = shares("vgg16")
    assert (dense, parameters - dense) == (123_642_856, 14_714_688)


def test_every_kernel_of_vgg_is_3x3():
    kernels = {shape[2:] for key, shape in entries(mv.create_model("vgg19_bn")).items() if len(shape) == 4}
    assert kernels == {(3, 3)}


def test_timm_s_layout_loads():
    """Its first two fully connected layers are convolutions; the last is head.fc."""
    options = {"hidden": 16, "grid": 2, "widths": (8, 8, 8, 8, 8), "num_classes": 5}
    state = fill(mv.create_model("vgg11_bn", **options)).state_dict()
    back = {own: other for other, own in TIMM.items()}
    theirs = {}
    for name, array in state.items():
        layer, _, kind = name.rpartition(".")
        side = {"classifier.0": 2, "classifier.3": 1}.get(layer)
        folded = array.reshape(len(array), -1, side, side) if side and kind == "weight" else array
        theirs[f"{back.get(layer, layer)}.{kind}"] = folded
    model = mv.create_model("vgg11_bn", **options)
    mv.load_weights(model, theirs)
    assert all(np.array_equal(array, state[name]) for name, array in model.state_dict().items())


@pytest.mark.parametrize("name", ["alexnet", "vgg11"])
def test_the_classifier_takes_any_size_of_image(name):
    model = mv.create_model(name, hidden=8, num_classes=3).eval()
    with mv.no_grad():
        assert [model(mv.tensor(noise("x", (1, 3, side, side)))).shape for side in (96, 131)] == [(1, 3)] * 2
