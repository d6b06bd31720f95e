"""Fusing for inference: the same function to rounding, and nothing folded that something else reads."""

from __future__ import annotations

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision import functional as F
from minivision import nn

BOUND = 1e-12


def image(shape=(2, 4, 9, 9)):
    """Numbers by rule."""
    return mv.tensor(noise("x", shape).astype(np.float64))


def norms(model):
    """How many batch norms there are."""
    return sum(isinstance(each, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)) for each in model.modules())


def folded(model, x=None, example=None):
    """How many norms were folded, after the outputs were compared in float64."""
    x = image() if x is None else x
    model = fill(model.double()).train()
    before = model.state_dict()
    fused = nn.fuse(model, x if example is None else example)
    assert model.training
    assert not fused.training
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    with mv.no_grad():
        wanted, found = model.eval()(x).numpy(), fused(x).numpy()
    assert np.abs(found - wanted).max() <= BOUND * np.abs(wanted).max()
    assert np.abs(wanted).max() > 0.1, "a function that is worth comparing"
    return norms(model) - norms(fused)


CONVOLUTIONS = {
    "plain": lambda **more: nn.Conv2d(4, 6, 3, **more),
    "strided, dilated, padded": lambda **more: nn.Conv2d(4, 6, 3, 2, 2, 2, **more),
    "grouped": lambda **more: nn.Conv2d(4, 6, 3, groups=2, **more),
    "depthwise": lambda **more: nn.Conv2d(4, 8, 3, groups=4, **more),
    "reflected": lambda **more: nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect", **more),
    "transposed": lambda **more: nn.ConvTranspose2d(4, 6, 3, 2, **more),
    "transposed in groups": lambda **more: nn.ConvTranspose2d(4, 6, 3, 2, groups=2, **more),
}


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_a_norm_goes_into_its_convolution(kind, bias, affine):
    conv = CONVOLUTIONS[kind](bias=bias)
    assert folded(nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels, affine=affine), nn.ReLU())) == 1


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ((nn.Linear(4, 6), nn.BatchNorm1d(6)), (3, 4)),
        ((nn.Conv1d(4, 6, 3), nn.BatchNorm1d(6)), (2, 4, 9)),
        ((nn.Conv3d(4, 6, 2), nn.BatchNorm3d(6)), (2, 4, 3, 4, 5)),
        ((nn.ConvTranspose1d(4, 6, 3), nn.BatchNorm1d(6)), (2, 4, 9)),
    ],
)
def test_other_axes(layers, shape):
    assert folded(nn.Sequential(*layers), image(shape)) == 1


def test_what_stands_between_and_does_nothing_is_no_hindrance():
    between = nn.Identity(), nn.Dropout(0.5)
    assert folded(nn.Sequential(nn.Sequential(nn.Conv2d(4, 6, 3)), *between, nn.BatchNorm2d(6))) == 1


def test_resnet_has_no_norm_left():
    """All twenty of ResNet-18, that of the first convolution and of each shortcut too."""
    model = mv.create_model("resnet18", num_classes=10)
    assert norms(model) == 20
    assert folded(model, image((1, 3, 64, 64))) == 20


class Net(nn.Module):
    """A convolution, a norm, and a way from one to the other."""

    def __init__(self, way, **layers):
        super().__init__()
        self.way, self.conv, self.bn = way, nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, *inputs):
        return self.way(self, *inputs)


def summed(net, x):
    y = net.conv(x)
    return net.bn(y) + y


def summed_before(net, x):
    y = net.conv(x)
    gate = y.mean((2, 3), keepdims=True)
    return net.bn(y) * gate


def detached(net, x):
    y = net.conv(x)
    return net.bn(y) + y.detach()


def as_array(net, x):
    y = net.conv(x)
    return net.bn(y) + mv.tensor(y.numpy().mean())


def kept(net, x):
    net.last = net.conv(x)
    return net.bn(net.last)


def sized(net, x):
    y = net.conv(x)
    n, c, h, w = y.shape
    return net.bn(y) * float(n + c + h + w + y.ndim)


def twice(norm, y):
    """A norm that is given one Tensor as input and as residual."""
    return norm(y, residual=y)


WAYS = {  # how many norms are folded
    "straight": (lambda net, x: net.bn(net.conv(x)), 1),
    "only its shape is looked at": (sized, 1),
    "ReLU between": (lambda net, x: net.bn(F.relu(net.conv(x))), 0),
    "a view between": (lambda net, x: net.bn(net.conv(x)[:, ::-1]), 0),
    "a sum between": (lambda net, x: net.bn(net.conv(x) + x), 0),
    "norm first": (lambda net, x: net.conv(F.relu(net.bn(x))), 0),
    "the output is read again": (summed, 0),
    "the output was read before": (summed_before, 0),
    "the output is read without a gradient": (detached, 0),
    "the output is read as an array": (as_array, 0),
    "the output is kept": (kept, 0),
    "the output is given twice": (lambda net, x: (lambda y: net.bn(y) + net.bn(y))(net.conv(x)), 0),
    "the convolution is called twice": (lambda net, x: net.bn(net.conv(net.conv(x))), 0),
    "the convolution is called elsewhere too": (lambda net, x: net.bn(net.conv(x)) + net.conv(2.0 * x), 0),
    "the norm is called twice": (lambda net, x: net.bn(net.bn(net.conv(x))), 0),
    "the norm has other inputs": (lambda net, x: net.bn(net.conv(x)) + net.bn(x), 0),
    "the norm adds a residual": (lambda net, x: net.bn(net.conv(x), residual=x), 1),
    "the residual is the norm's own input": (lambda net, x: twice(net.bn, net.conv(x)), 0),
    "the norm has a ReLU": (lambda net, x: net.bn(net.conv(x), activation="relu"), 1),
    "the weight is read": (lambda net, x: net.bn(net.conv(x)) + F.conv2d(x, net.conv.weight, padding=1), 0),
    "the bias is read": (lambda net, x: net.bn(net.conv(x)) + net.conv.bias.sum(), 0),
}


@pytest.mark.parametrize("way", WAYS)
def test_only_what_is_safe_is_folded(way):
    forward, count = WAYS[way]
    assert folded(Net(forward)) == count


def both_ways(net, x):
    return net.bn(net.conv(x)) + net.bn2(net.conv2(x))


@pytest.mark.parametrize("tied", ["weight", "bias"])
def test_layers_that_share_a_parameter_are_scaled_one_by_one(tied):
    net = Net(both_ways, conv2=nn.Conv2d(4, 4, 3, padding=1), bn2=nn.BatchNorm2d(4))
    setattr(net.conv2, tied, getattr(net.conv, tied))
    assert folded(net) == 2


def test_two_convolutions_before_one_norm_stay():
    assert folded(Net(lambda net, x: net.bn(net.conv(x)) + net.bn(net.conv2(x)), conv2=nn.Conv2d(4, 4, 3, padding=1))) == 0


def test_two_norms_behind_one_convolution_stay():
    def split(net, x):
        y = net.conv(x)
        return net.bn(y) + net.bn2(y)

    assert folded(Net(split, bn2=nn.BatchNorm2d(4))) == 0


def test_a_norm_that_stands_in_two_places_goes_from_both():
    net = Net(lambda net, x: net.bn(net.conv(x)))
    net.again = net.bn
    fused = nn.fuse(net.double(), image())
    assert fused.again is fused.bn
    assert isinstance(fused.again, nn.Folded)


class Doubled(nn.Conv2d):
    """Another function of the same parameters."""

    def forward(self, x):
        return super().forward(x) ** 2


def hooked():
    conv = nn.Conv2d(4, 4, 3)
    conv.register_forward_hook(lambda module, args, y: y**2)
    return conv


LEFT = {
    "by its own statistics": lambda: nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
    "a convolution of another kind": lambda: nn.Sequential(Doubled(4, 4, 3), nn.BatchNorm2d(4)),
    "a convolution with a hook": lambda: nn.Sequential(hooked(), nn.BatchNorm2d(4)),
    "a weight made of others": lambda: nn.Sequential(nn.utils.weight_norm(nn.Conv2d(4, 4, 3)), nn.BatchNorm2d(4)),
    "a group norm": lambda: nn.Sequential(nn.Conv2d(4, 4, 3), nn.GroupNorm(2, 4)),
}


@pytest.mark.parametrize("what", LEFT)
def test_what_is_no_constant_map_stays(what):
    assert folded(LEFT[what]()) == 0


def test_a_norm_over_another_axis_than_the_layer_s_stays():
    """A linear layer's channels are its last axis, a norm's are axis 1."""
    assert folded(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), image((2, 4, 4))) == 0
    assert folded(nn.Sequential(nn.Conv1d(4, 4, 1), nn.BatchNorm1d(4)), image((4, 4))) == 0  # one image: (channels, length)


class Twice(nn.Module):
    """y = 2 x, by an inner layer that its fused form has no use for."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return 2.0 * self.inner(x)

    def fused(self):
        conv = nn.Conv2d(4, 4, 1)
        conv.weight, conv.bias = (nn.Parameter(2.0 * p.data) for p in (self.inner.weight, self.inner.bias))
        return conv


def test_a_module_with_its_own_form_is_replaced_and_what_follows_is_folded_into_that():
    model = nn.Sequential(Twice(), nn.BatchNorm2d(4))
    assert folded(model) == 1
    assert isinstance(nn.fuse(model, image())[0], nn.Conv2d)
    assert isinstance(nn.fuse(Twice().double(), image()), nn.Conv2d)


def test_float32_stays_float32():
    model = mv.create_model("resnet_digits")
    fused = nn.fuse(model)
    assert {p.dtype for p in fused.parameters()} == {np.dtype(np.float32)}
    x = mv.tensor(noise("image", (2, 1, 8, 8)))
    np.testing.assert_allclose(fused(x).numpy(), model.eval()(x).numpy(), rtol=1e-4, atol=1e-5)


def test_the_example_may_be_several_inputs():
    net = Net(lambda net, x, y=None: net.bn(net.conv(x if y is None else x + y)))
    assert folded(net, example=(image(), image())) == 1


def test_without_an_example_and_a_configuration_it_says_so():
    with pytest.raises(ValueError, match=r"give it an example, for the model has no config\.input_shape"):
        nn.fuse(nn.Sequential(nn.Conv2d(4, 4, 3)))


def test_a_fused_model_is_not_trained():
    fused = nn.fuse(mv.create_model("resnet_digits"))
    with pytest.raises(RuntimeError, match=r"this ResNet is fused for inference: .* train the model that it was made from"):
        fused.train()
    assert fused.eval() is fused
    assert not fused.training


def test_gradients_and_hooks_of_the_model_stay_its_own():
    model = mv.create_model("resnet_digits")
    model(mv.tensor(noise("image", (2, 1, 8, 8)))).sum().backward()
    fused = nn.fuse(model)
    assert all(p.grad is None for p in fused.parameters())
    assert all(p.grad is not None for p in model.parameters())
    assert "forward" not in {name for each in (*model.modules(), *fused.modules()) for name in vars(each)}


def test_it_is_saved_and_loaded_and_fused_again(tmp_path):
    first, second = (nn.fuse(mv.create_model("resnet_digits")) for _ in range(2))
    mv.save_checkpoint(tmp_path / "fused.safetensors", first)
    second.load_state_dict(mv.load_checkpoint(tmp_path / "fused.safetensors"))
    x = mv.tensor(noise("image", (2, 1, 8, 8)))
    np.testing.assert_array_equal(first(x).numpy(), second(x).numpy())
    np.testing.assert_array_equal(nn.fuse(first)(x).numpy(), first(x).numpy())
