"""Squeeze-and-excitation's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision.models.senet import SEBasicBlock, SEBottleneck, SEConfig, SqueezeExcitation, added_weights

CHANNELS, DEPTHS = (256, 512, 1024, 2048), (3, 4, 6, 3)


def parameters(name):
    """{name: how many}"""
    return {key: math.prod(p.shape) for key, p in mv.create_model(name).named_parameters()}


@pytest.mark.parametrize("name", ["seresnet50", "legacy_seresnet50"])
def test_the_gates_cost_what_equation_5_says(name):
    """2,514,944 weights and 16,048 biases, which is all that SE-ResNet-50 has more than ResNet-50."""
    gates = {key: count for key, count in parameters(name).items() if ".se" in key}
    weights = sum(count for key, count in gates.items() if key.endswith("weight"))
    assert weights == added_weights(CHANNELS, DEPTHS) == 2_514_944
    assert sum(gates.values()) == 2_530_992 == sum(parameters(name).values()) - sum(parameters("resnet50").values())


def test_the_gates_are_of_the_means_written_out():
    """Eq. 2-4 with loops over NumPy's arrays."""
    made = fill(SqueezeExcitation(8, 4).to(np.float64))
    x = noise("x", (3, 8, 5, 4)).astype(np.float64)
    w1, w2 = (layer.weight.numpy()[:, :, 0, 0] for layer in (made.fc1, made.fc2))
    for image, y in zip(x, made(mv.tensor(x)).numpy(), strict=True):
        z = np.array([channel.sum() / 20 for channel in image])
        s = 1 / (1 + np.exp(-(w2 @ np.maximum(w1 @ z + made.fc1.bias.numpy(), 0) + made.fc2.bias.numpy())))
        np.testing.assert_allclose(y, s[:, None, None] * image, rtol=1e-12)


def test_gates_look_at_means_alone():
    """Pixels in another order are gated alike; and every gate is between 0 and 1."""
    made = fill(SqueezeExcitation(8, 4).to(np.float64))
    x = noise("x", (2, 8, 4, 4)).astype(np.float64)
    turned = np.random.default_rng(0).permutation(x.reshape(2, 8, 16), axis=-1).reshape(x.shape)
    gates = made.gates(mv.tensor(x)).numpy()
    np.testing.assert_allclose(made.gates(mv.tensor(turned)).numpy(), gates, rtol=1e-12)
    assert np.all((gates > 0) & (gates < 1))
    assert np.ptp(gates, axis=0).max() > 1e-3, "another image has other gates"


@pytest.mark.parametrize(("kind", "inputs", "ungated"), [(SEBasicBlock, 8, "bn2"), (SEBottleneck, 32, "bn3")])
def test_the_gates_are_on_the_branch_and_not_on_the_shortcut(kind, inputs, ungated):
    """With all gates at one half, the block is ReLU(x + F(x) / 2)."""
    made = fill(kind(inputs, 8, 1, SEConfig("basic", (1,), (8,))).to(np.float64))
    for p in made.se.fc2.parameters():
        mv.nn.init.zeros_(p)
    x, seen = mv.tensor(noise("x", (2, inputs, 5, 5)).astype(np.float64)), []
    getattr(made, ungated).register_forward_hook(lambda module, args, y: seen.append(y.numpy()))
    np.testing.assert_allclose(made(x).numpy(), np.maximum(x.numpy() + 0.5 * seen[0], 0), rtol=1e-12)


def test_a_new_network_s_branches_are_silent():
    """The last norm's scale is 0 (timm's beginning): every block is ReLU of its shortcut."""
    made = mv.create_model("seresnet_digits").layer1[0]
    assert np.abs(made.branch(mv.tensor(noise("x", (2, 16, 4, 4)))).numpy()).max() == 0.0
    assert mv.create_model("legacy_seresnet50").layer1[0].bn3.weight.numpy().min() == 1.0


def test_the_legacy_network_strides_first_and_pools_without_padding():
    model = mv.create_model("legacy_seresnet50")
    block = model.layer2[0]
    assert (block.conv1.stride, block.conv2.stride) == ((2, 2), (1, 1))
    for side in range(6, 12):
        assert model.pool0(mv.tensor(noise("x", (1, 1, side, side)))).shape[-1] == side // 2
    assert next(iter(model.state_dict(copy=False))) == "layer0.conv1.weight"


def test_headless_and_of_one_channel():
    for name in ("seresnet18", "legacy_seresnet50"):
        model = fill(mv.create_model(name, num_classes=0, in_chans=1)).eval()
        with mv.no_grad():
            assert model(mv.tensor(noise("x", (1, 1, 40, 48)))).shape == (1, 512 if name == "seresnet18" else 2048)
