"""The layers of convolution: their functions, names, first values, padding modes, sizes, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minivision as mv
import minivision.functional as F
from minivision import nn

SIZES = (6, 5, 7)


def normal(*shape):
    return np.random.default_rng(5).standard_normal(shape)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_layers_are_their_functions(count, bias):
    x, kernel = normal(2, 4, *SIZES[:count]), (3, 2, 4)[:count]
    layer = getattr(nn, f"Conv{count}d")(4, 6, kernel, 2, 3, 2, 2, bias).double()
    y = getattr(F, f"conv{count}d")(x, layer.weight, layer.bias, 2, 3, 2, 2)
    np.testing.assert_array_equal(layer(mv.Tensor(x)).data, y.data)
    layer = getattr(nn, f"ConvTranspose{count}d")(4, 6, kernel, 3, 2, 1, 2, bias, 2).double()
    y = getattr(F, f"conv_transpose{count}d")(x, layer.weight, layer.bias, 3, 2, 1, 2, 2)
    np.testing.assert_array_equal(layer(mv.Tensor(x)).data, y.data)
    np.testing.assert_array_equal(layer(mv.Tensor(x[0])).data, y.data[0])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_parameters_have_torchs_names_shapes_and_spread(count):
    kernel = (5, 3, 2)[:count]
    for name, shape in (("Conv", (30, 10, *kernel)), ("ConvTranspose", (20, 15, *kernel))):
        layer = getattr(nn, f"{name}{count}d")(20, 30, kernel, groups=2)
        assert {key: value.shape for key, value in layer.state_dict().items()} == {"weight": shape, "bias": (30,)}
        bound = 1 / math.sqrt(shape[1] * math.prod(kernel))  # U(-s, s) has the standard deviation s / sqrt(3)
        for values in layer.state_dict().values():
            assert np.abs(values).max() <= bound
        weight = layer.weight.data
        assert weight.std() == pytest.approx(bound / math.sqrt(3), rel=4 / math.sqrt(weight.size))
        assert np.abs(weight).max() > 0.99 * bound


@pytest.mark.parametrize(("mode", "numpys"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_padding_modes(count, mode, numpys):
    x, padding = normal(2, 4, *SIZES[:count]), (2, 0, 3)[:count]
    layer = getattr(nn, f"Conv{count}d")(4, 3, 2, stride=2, padding=padding, padding_mode=mode).double()
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)], mode=numpys)
    y = getattr(F, f"conv{count}d")(padded, layer.weight, layer.bias, 2)
    np.testing.assert_allclose(layer(mv.Tensor(x)).data, y.data, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(layer(mv.Tensor(x[0])).data, y.data[0], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("mode", "numpys"), [("zeros", "constant"), ("reflect", "reflect"), ("circular", "wrap")])
def test_same_padding_in_every_mode(mode, numpys):
    x, layer = normal(1, 2, 6, 7), nn.Conv2d(2, 3, (4, 3), padding="same", dilation=(1, 2), padding_mode=mode).double()
    padded = np.pad(x, [(0, 0), (0, 0), (1, 2), (2, 2)], mode=numpys)
    y = F.conv2d(padded, layer.weight, layer.bias, dilation=(1, 2)).data
    np.testing.assert_allclose(layer(mv.Tensor(x)).data, y, rtol=1e-13, atol=1e-13)
    assert nn.Conv2d(2, 3, 3, padding="valid", padding_mode=mode)(mv.tensor(np.float32(x))).shape == (1, 3, 4, 5)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_output_size_undoes_a_convolution_whatever_its_rounding(count):
    for extra in range(3):
        x = mv.Tensor(normal(2, 4, *(n + extra for n in SIZES[:count])))
        y = getattr(nn, f"Conv{count}d")(4, 2, 3, stride=3, padding=1).double()(x)
        back = getattr(nn, f"ConvTranspose{count}d")(2, 4, 3, stride=3, padding=1).double()
        assert back(y, output_size=x.shape).shape == back(y, x.shape[2:]).shape == x.shape
        with pytest.raises(ValueError, match=f"output_size should end in {count} sizes between"):
            back(y, [n + 3 for n in x.shape[2:]])
        with pytest.raises(ValueError, match=f"output_size should end in {count} sizes between"):
            back(y, x.shape[2:][1:])


def test_unfold_and_fold():
    x = normal(2, 3, 5, 6)
    window = {"kernel_size": (2, 3), "dilation": (1, 2), "padding": (0, 1), "stride": 2}
    cols = nn.Unfold(**window)(mv.Tensor(x))
    np.testing.assert_array_equal(cols.data, F.unfold(x, **window))
    np.testing.assert_array_equal(nn.Fold((5, 6), **window)(cols).data, F.fold(cols.data, (5, 6), **window))


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.Conv1d(3, 4, 5), "3, 4, kernel_size=(5,), stride=(1,)"),
        (nn.Conv2d(4, 6, 3, 2, 1, groups=2), "4, 6, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), groups=2"),
        (nn.Conv2d(4, 6, (3, 1), padding="same"), "4, 6, kernel_size=(3, 1), stride=(1, 1), padding=same"),
        (
            nn.Conv3d(4, 4, 3, dilation=2, bias=False, padding=1, padding_mode="circular"),
            "4, 4, kernel_size=(3, 3, 3), stride=(1, 1, 1), padding=(1, 1, 1), dilation=(2, 2, 2), bias=False, "
            "padding_mode=circular",
        ),
        (
            nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1),
            "4, 6, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), output_padding=(1, 1)",
        ),
        (nn.Unfold(3, padding=1), "kernel_size=3, dilation=1, padding=1, stride=1"),
        (nn.Fold((4, 5), (2, 1)), "output_size=(4, 5), kernel_size=(2, 1), dilation=1, padding=0, stride=1"),
    ],
)
def test_what_they_print(layer, text):
    assert repr(layer) == f"{type(layer).__name__}({text})"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.ConvTranspose1d(4, 6, 3, groups=3), "groups=3 should divide in_channels=4 and out_channels=6"),
        (lambda: nn.Conv2d(4, 6, (3, 3, 3)), "kernel_size is a whole number or a pair"),
        (lambda: nn.Conv3d(4, 6, 3, padding="full"), '"same" or "valid", got \'full\''),
        (lambda: nn.Conv1d(4, 6, 3, stride=2, padding="same"), 'padding="same" needs stride 1'),
        (lambda: nn.Conv2d(4, 6, 3, padding_mode="mirror"), "padding_mode is one of .* got 'mirror'"),
        (lambda: nn.ConvTranspose2d(4, 6, 3, padding_mode="reflect"), "zeros for transposes, got 'reflect'"),
        (lambda: nn.ConvTranspose2d(4, 6, 3, padding="same"), "padding is a whole number or a pair"),
    ],
)
def test_wrong_arguments(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_an_error_names_the_layer():
    with pytest.raises(mv.ShapeError, match=r"in module: Sequential\.1") as error:
        nn.Sequential(nn.Conv1d(2, 4, 1), nn.ConvTranspose1d(3, 4, 2))(mv.tensor(np.zeros((1, 2, 7), np.float32)))
    assert "conv_transpose1d: x has 4 channels at axis 1, the weight takes 3" in str(error.value)
