"""ACNet's exact properties; its networks' numbers are in test_models.py, their sizes in test_registry.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from golden.weights import noise
from miniatures import entries, fill

import minivision as mv
from minivision.models.acnet import ACBlock, on_square

GOLDEN = dict(np.load(Path(__file__).parent / "golden" / "acnet.npz", allow_pickle=False))


def numbers(label):
    """Kernel, padding, stride, groups of a block's label, such as "k5 p2 s2 g2"; the last two are 1 where it has none."""
    found = {"s": 1, "g": 1} | {each[0]: int(each[1:]) for each in label.split()}
    return tuple(found[name] for name in "kpsg")


BLOCKS = {label: numbers(label) for label in (key.removesuffix("/kernel") for key in GOLDEN if key.endswith("/kernel"))}
X = mv.tensor(noise("x", (2, 4, 9, 10)).astype(np.float64))


def block(k=3, padding=1, stride=1, groups=1, dilation=1):
    """A block of 4 to 6 channels with its state by rule."""
    return fill(ACBlock(4, 6, k, stride, padding, dilation, groups).double())


def close(one, other, bound=1e-13):
    """As parts of the largest."""
    assert one.shape == other.shape
    assert np.abs(one - other).max() <= bound * np.abs(other).max()


@pytest.mark.parametrize("label", BLOCKS)
def test_a_block_is_the_reference_s(label):
    """Both modes, and the kernel and bias that it is fused into; padding is k // 2, more and less, strides 1 to 3."""
    made = block(*BLOCKS[label])
    for found, name in zip(made.eval().fused_kernel(), ("kernel", "bias"), strict=True):
        close(found, GOLDEN[f"{label}/{name}"])
    close(made(X).numpy(), GOLDEN[f"{label}/eval"])
    close(made.train()(X).numpy(), GOLDEN[f"{label}/train"])


@pytest.mark.parametrize("settings", [*BLOCKS.values(), (3, 2, 1, 2, 2), (5, 2, 2, 1, 2), (3, 0, 1, 1, 2), (1, 0, 1, 1)])
def test_a_fused_block_is_the_block_in_evaluation(settings):
    """Claim C10, with dilations too."""
    made = block(*settings)
    close(made.fused()(X).numpy(), made.eval()(X).numpy())


def test_in_training_it_is_not():
    """There each branch is normed by its own batch, and no kernel of fixed weights does that."""
    made = block().train()
    with mv.no_grad():
        assert np.abs(made.fused()(X).numpy() - made(X).numpy()).max() > 0.1


def test_a_kernel_without_a_middle_is_refused():
    with pytest.raises(ValueError, match="kernel_size 4 has none"):
        ACBlock(4, 6, 4)


def test_a_kernel_on_the_square_is_a_convolution_with_more_padding():
    kernel = noise("kernel", (6, 4, 1, 5)).astype(np.float64)
    one = mv.functional.conv2d(X, mv.tensor(on_square(kernel, 5)), padding=2).numpy()
    close(one, mv.functional.conv2d(X, mv.tensor(kernel), padding=(0, 2)).numpy())
    assert np.count_nonzero(on_square(kernel, 5)) == kernel.size


NAMES = ["acnet_cifar_quick", "acnet_vgg", "acnet_resnet56", "acnet_wrn16_8"]


@pytest.mark.parametrize("name", NAMES)
def test_a_network_is_deployed_with_the_plain_one_s_size(name):
    """Fused, the two have weights of the same shapes and cost the same; where norms come first, blocks leave biases besides."""
    fused, plain = (mv.nn.fuse(mv.create_model(name, asymmetric=each)) for each in (True, False))
    kernels, others = ([p.shape for p in each.parameters() if p.ndim > 1] for each in (fused, plain))
    assert kernels == others
    assert mv.profile(fused, (3, 32, 32)).macs == mv.profile(plain, (3, 32, 32)).macs
    more = mv.count_parameters(fused) - mv.count_parameters(plain)
    assert more == (16 + 2 * (128 + 256 + 512) if name == "acnet_wrn16_8" else 0)


@pytest.mark.parametrize("name", NAMES)
def test_a_fused_network_is_the_network(name):
    model = fill(mv.create_model(name).double()).eval()
    x = mv.tensor(noise("image", (1, 3, 32, 32)).astype(np.float64))
    with mv.no_grad():
        close(mv.nn.fuse(model)(x).numpy(), model(x).numpy(), 1e-12)


def test_a_block_is_deployed_under_the_reference_s_names():
    fused = entries(mv.nn.fuse(mv.create_model("acnet_cifar_quick")))
    assert fused["conv1.acb.fused_conv.weight"] == (32, 3, 5, 5)
    assert fused["conv1.acb.fused_conv.bias"] == (32,)
    assert not any("bn" in name for name in fused)


def test_scales_begin_with_a_third():
    model = mv.create_model("acnet_cifar_quick")
    assert {float(v) for block in model.modules() if isinstance(block, ACBlock) for v in block.ver_bn.weight.numpy()} == {
        float(np.float32(1 / 3))
    }
    assert np.all(ACBlock(4, 6, 3).ver_bn.weight.numpy() == 1.0)


@pytest.mark.parametrize(("name", "side"), [("acnet_cifar_quick", 6), ("acnet_vgg", 31)])
def test_an_image_that_is_pooled_away_is_refused(name, side):
    with pytest.raises(ValueError, match=f"img_size {side} is too small"):
        mv.create_model(name, img_size=side)


@pytest.mark.parametrize(
    ("wrong", "told"), [({"network": "x"}, "network is one of cifar_quick"), ({"depths": (1,)}, "as many as")]
)
def test_a_configuration_that_makes_no_network_is_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        mv.create_model("acnet_vgg", **wrong)
