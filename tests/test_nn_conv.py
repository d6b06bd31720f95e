"""Layers on images against their formulas, as loops over the output in plain float64 NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import minivision as mv
from minivision import nn


def normal(*shape):
    return np.random.default_rng(5).standard_normal(shape)


def run(layer, x):
    return layer.double()(mv.Tensor(x)).data


def pair(n):
    return (n, n) if isinstance(n, int) else n


def windows(x, kernel, stride, padding, dilation=(1, 1), fill=0.0):
    """(p, q, the window (N, C, R, S) of x at output place p, q), for every place."""
    (h, w), padded = x.shape[2:], np.pad(x, [(0, 0), (0, 0), *((n, n) for n in padding)], constant_values=fill)
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    sizes = [(n + 2 * p - r) // s + 1 for n, p, r, s in zip((h, w), padding, reach, stride, strict=True)]
    for p, q in itertools.product(*map(range, sizes)):
        top, left = p * stride[0], q * stride[1]
        yield p, q, padded[:, :, top : top + reach[0] : dilation[0], left : left + reach[1] : dilation[1]]


def fill_in(places):
    """The array whose element [:, :, p, q] is given for each place."""
    values = {(p, q): y for p, q, y in places}
    rows, columns = (max(place[i] for place in values) + 1 for i in (0, 1))
    return np.stack([np.stack([values[p, q] for q in range(columns)], -1) for p in range(rows)], -2)


CONVS = [
    {"kernel_size": 3},
    {"kernel_size": (3, 1), "stride": (2, 1), "padding": (1, 0), "bias": False},
    {"kernel_size": (2, 3), "stride": 2, "padding": (0, 2), "dilation": (3, 1), "groups": 2},
    {"kernel_size": 3, "padding": 1, "groups": 4},
]


@pytest.mark.parametrize("settings", CONVS, ids=str)
def test_conv2d(settings):
    layer, x = nn.Conv2d(4, 8, **settings), normal(2, 4, 7, 6)
    y = run(layer, x)
    geometry = [
        pair(settings.get(name, usual)) for name, usual in (("kernel_size", 0), ("stride", 1), ("padding", 0), ("dilation", 1))
    ]
    groups, bias = settings.get("groups", 1), 0.0 if layer.bias is None else layer.bias.data
    filters = layer.weight.data.reshape(groups, 8 // groups, 4 // groups, *layer.kernel_size)

    def one(window):
        return (
            np.einsum("ngcrs,gocrs->ngo", window.reshape(2, groups, 4 // groups, *layer.kernel_size), filters).reshape(2, 8)
            + bias
        )

    expected = fill_in((p, q, one(window)) for p, q, window in windows(x, *geometry))
    np.testing.assert_allclose(y, expected, rtol=1e-11, atol=1e-12)


def test_conv2d_same_padding_and_wrong_arguments():
    assert run(nn.Conv2d(4, 2, 3, padding="same"), normal(1, 4, 5, 6)).shape == (1, 2, 5, 6)
    with pytest.raises(ValueError, match="groups=3 should divide in_channels=4 and out_channels=6"):
        nn.Conv2d(4, 6, 3, groups=3)
    with pytest.raises(mv.ShapeError, match=r"in module: Sequential\.0"):
        nn.Sequential(nn.Conv2d(4, 6, 3))(mv.tensor(np.zeros((1, 5, 7, 7), np.float32)))


def batch_statistics(x):
    n = x.size // x.shape[1]
    mean = x.sum((0, 2, 3)) / n
    squares = ((x - mean[:, None, None]) ** 2).sum((0, 2, 3))
    return mean, squares / n, squares / (n - 1)


def normalised(x, mean, var, layer):
    w, b = (1.0, 0.0) if layer.weight is None else (layer.weight.data[:, None, None], layer.bias.data[:, None, None])
    return (x - mean[:, None, None]) / np.sqrt(var[:, None, None] + layer.eps) * w + b


@pytest.mark.parametrize("momentum", [0.3, None])
def test_batch_norm_trains_on_the_batch_and_then_uses_what_it_saw(momentum):
    layer = nn.BatchNorm2d(3, eps=0.1, momentum=momentum).double()
    layer.load_state_dict({"weight": np.array([1.0, -2.0, 0.5]), "bias": np.arange(3.0)}, strict=False)
    mean, var = np.zeros(3), np.ones(3)
    for step in range(1, 4):
        x = normal(4, 3, 5, 2) * step + step
        seen, biased, unbiased = batch_statistics(x)
        share = 1.0 / step if momentum is None else momentum
        mean, var = (1 - share) * mean + share * seen, (1 - share) * var + share * unbiased
        np.testing.assert_allclose(run(layer, x), normalised(x, seen, biased, layer), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(layer.running_mean.data, mean, rtol=1e-12)
    np.testing.assert_allclose(layer.running_var.data, var, rtol=1e-12)
    assert layer.num_batches_tracked.item() == 3
    before = layer.state_dict()
    np.testing.assert_allclose(run(layer.eval(), x), normalised(x, mean, var, layer), rtol=1e-10, atol=1e-12)
    assert all((value == before[name]).all() for name, value in layer.state_dict().items())


def test_batch_norm_without_memory_or_weights():
    layer, x = nn.BatchNorm2d(3, affine=False, track_running_stats=False).eval(), normal(4, 3, 5, 2)
    assert layer.state_dict() == {}
    mean, biased, _ = batch_statistics(x)
    np.testing.assert_allclose(run(layer, x), normalised(x, mean, biased, layer), rtol=1e-10, atol=1e-12)


def test_batch_norm_keys_and_a_batch_that_fails():
    layer = nn.BatchNorm2d(3)
    assert list(layer.state_dict()) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    with pytest.raises(mv.ShapeError):
        layer(mv.tensor(np.zeros((2, 4, 3, 3), np.float32)))
    assert (layer.num_batches_tracked.item(), layer.running_var.data.tolist()) == (0, [1.0, 1.0, 1.0])


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, None, 0), (3, 2, 1), ((3, 2), (1, 2), (1, 0))])
def test_pooling(kernel, stride, padding):
    x = normal(2, 3, 7, 6)
    geometry = pair(kernel), pair(kernel if stride is None else stride), pair(padding)
    expected = fill_in((p, q, w.max((2, 3))) for p, q, w in windows(x, *geometry, fill=-np.inf))
    np.testing.assert_array_equal(run(nn.MaxPool2d(kernel, stride, padding), x), expected)
    expected = fill_in((p, q, w.mean((2, 3))) for p, q, w in windows(x, *geometry))
    np.testing.assert_allclose(run(nn.AvgPool2d(kernel, stride, padding), x), expected, rtol=1e-12, atol=1e-14)
    expected = fill_in((p, q, np.nanmean(w, (2, 3))) for p, q, w in windows(x, *geometry, fill=np.nan))
    np.testing.assert_allclose(
        run(nn.AvgPool2d(kernel, stride, padding, count_include_pad=False), x), expected, rtol=1e-12, atol=1e-14
    )


def test_pooling_settings_reach_the_operation():
    x = normal(1, 1, 6, 6)
    expected = fill_in((p, q, w.max((2, 3))) for p, q, w in windows(x, (2, 2), (1, 1), (0, 0), (3, 3)))
    np.testing.assert_array_equal(run(nn.MaxPool2d(2, 1, dilation=3), x), expected)
    assert run(nn.MaxPool2d(4, ceil_mode=True), x).shape == run(nn.AvgPool2d(4, ceil_mode=True), x).shape == (1, 1, 2, 2)
    np.testing.assert_allclose(run(nn.AvgPool2d(6, divisor_override=9), x).item(), x.sum() / 9.0, rtol=1e-12)


def test_adaptive_pooling():
    x = normal(2, 3, 6, 9)
    np.testing.assert_allclose(run(nn.AdaptiveAvgPool2d(1), x)[:, :, 0, 0], x.mean((2, 3)), rtol=1e-12)
    np.testing.assert_allclose(run(nn.AdaptiveAvgPool2d((2, None)), x), x.reshape(2, 3, 2, 3, 9).mean(3), rtol=1e-12)
