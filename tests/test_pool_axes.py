"""Pooling of signals and volumes, of single images, and as layers: all of it against loops over the windows."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import minivision as mv
import minivision.functional as F
from minivision import kernels, nn


def normal(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def each(n, axes):
    return (n,) * axes if isinstance(n, int) else n


def taps(n, k, stride, padding, dilation, ceil_mode):
    """For each window of an axis its places, counted from the first element."""
    reach, found, start = dilation * (k - 1) + 1, [], -padding
    while start + reach <= n + padding or (ceil_mode and start < n and start - stride + reach < n + padding):
        found.append([start + j * dilation for j in range(k)])
        start += stride
    return found


def pooled(x, axes, reduce, *, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """reduce(elements, their numbers, places inside the padded array) for each window of x (N, C, ...)."""
    settings = [each(v, axes) for v in (kernel_size, kernel_size if stride is None else stride, padding, dilation)]
    windows = [taps(*numbers, ceil_mode) for numbers in zip(x.shape[2:], *settings, strict=True)]
    y = np.empty((*x.shape[:2], *map(len, windows)))
    for at in np.ndindex(*y.shape):
        chosen = [w[i] for w, i in zip(windows, at[2:], strict=True)]
        padded = math.prod(sum(t < n + p for t in w) for w, n, p in zip(chosen, x.shape[2:], settings[2], strict=True))
        inside = [
            place for place in itertools.product(*chosen) if all(0 <= t < n for t, n in zip(place, x.shape[2:], strict=True))
        ]
        numbers = [int(np.ravel_multi_index(place, x.shape[2:])) for place in inside]
        y[at] = reduce([float(x[at[:2] + place]) for place in inside], numbers, padded)
    return y


SETTINGS = {
    1: [
        {"kernel_size": 2},
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        {"kernel_size": (4,), "stride": (3,)},
    ],
    3: [
        {"kernel_size": 2},
        {"kernel_size": (3, 2, 2), "stride": (2, 1, 3), "padding": (1, 0, 1), "ceil_mode": True},
        {"kernel_size": (1, 2, 3), "stride": 2, "padding": (0, 1, 1)},
    ],
}
DILATED = {1: {"kernel_size": 3, "dilation": 2, "stride": 1}, 3: {"kernel_size": 2, "dilation": (3, 1, 2), "stride": (1, 2, 1)}}
SIZES = {1: (9,), 3: (4, 5, 6)}
CALLS = [(axes, settings) for axes in (1, 3) for settings in SETTINGS[axes]]


@pytest.mark.parametrize(("axes", "settings"), [*CALLS, *DILATED.items()], ids=str)
def test_max_pooling(axes, settings):
    x = np.round(2 * normal(2, 3, *SIZES[axes]))  # with ties
    y, indices = getattr(F, f"max_pool{axes}d")(x, **settings, return_indices=True)
    np.testing.assert_array_equal(y, pooled(x, axes, lambda values, *_: max(values), **settings))
    first = pooled(x, axes, lambda values, numbers, _: numbers[values.index(max(values))], **settings)
    np.testing.assert_array_equal(indices, first)
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(getattr(F, f"max_pool{axes}d")(x, **settings), y)


@pytest.mark.parametrize(("axes", "settings"), CALLS, ids=str)
def test_average_pooling(axes, settings):
    x, pool, close = normal(2, 3, *SIZES[axes]), getattr(F, f"avg_pool{axes}d"), {"rtol": 1e-13, "atol": 1e-13}
    expected = pooled(x, axes, lambda values, _, padded: math.fsum(values) / padded, **settings)
    np.testing.assert_allclose(pool(x, **settings), expected, **close)
    expected = pooled(x, axes, lambda values, *_: math.fsum(values) / len(values), **settings)
    np.testing.assert_allclose(pool(x, **settings, count_include_pad=False), expected, **close)
    if axes == 3:
        expected = pooled(x, axes, lambda values, *_: math.fsum(values) / -3, **settings)
        np.testing.assert_allclose(pool(x, **settings, divisor_override=-3), expected, **close)


@pytest.mark.parametrize("size", [1, (2, 3, 4), (4, None, 7), (3, 5, 4)])
def test_adaptive_pooling_of_volumes(size):
    x = np.round(2 * normal(2, 3, *SIZES[3]))
    counts = [n if want is None else want for want, n in zip(each(size, 3), x.shape[2:], strict=True)]
    means, maxima, places = (np.empty((2, 3, *counts)) for _ in range(3))
    numbers = np.broadcast_to(np.arange(120).reshape(4, 5, 6), x.shape)
    for at in np.ndindex(*counts):
        parts = [slice(i * n // k, -(-(i + 1) * n // k)) for i, n, k in zip(at, x.shape[2:], counts, strict=True)]
        values, of = (a[(..., *parts)].reshape(2, 3, -1) for a in (x, numbers))
        means[(..., *at)], maxima[(..., *at)] = values.mean(-1), values.max(-1)
        places[(..., *at)] = np.take_along_axis(of, values.argmax(-1)[..., None], 2)[..., 0]
    np.testing.assert_allclose(F.adaptive_avg_pool3d(x, size), means, rtol=1e-13, atol=1e-13)
    y, indices = F.adaptive_max_pool3d(x, size, return_indices=True)
    np.testing.assert_array_equal(y, maxima)
    np.testing.assert_array_equal(indices, places)


def test_adaptive_pooling_of_signals():
    x = normal(2, 3, 7)
    parts = [slice(0, 3), slice(2, 5), slice(4, 7)]  # 7 in 3: floor(7 i / 3) to ceil(7 (i + 1) / 3)
    np.testing.assert_allclose(F.adaptive_avg_pool1d(x, 3), np.stack([x[..., p].mean(-1) for p in parts], -1), rtol=1e-13)
    y, indices = F.adaptive_max_pool1d(x, 3, return_indices=True)
    np.testing.assert_array_equal(y, np.stack([x[..., p].max(-1) for p in parts], -1))
    np.testing.assert_array_equal(indices, np.stack([x[..., p].argmax(-1) + p.start for p in parts], -1))


POOLS = {
    "max": lambda axes: lambda x: getattr(F, f"max_pool{axes}d")(x, 2, 1, 1, ceil_mode=True),
    "avg": lambda axes: lambda x: getattr(F, f"avg_pool{axes}d")(x, 3, 2, 1),
    "adaptive avg": lambda axes: lambda x: getattr(F, f"adaptive_avg_pool{axes}d")(x, 3),
    "adaptive max": lambda axes: lambda x: getattr(F, f"adaptive_max_pool{axes}d")(x, 3),
    "lp": lambda axes: lambda x: getattr(F, f"lp_pool{axes}d")(x, 2, 2),
}


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("name", POOLS)
def test_gradients_equal_differences(name, axes):
    x, pool = normal(2, 3, *(5, 4, 6)[:axes]), POOLS[name](axes)
    t = mv.Tensor(x, requires_grad=True)
    y, v = pool(t), np.random.default_rng(1).standard_normal(x.shape)
    dy = np.random.default_rng(2).standard_normal(y.shape)
    expected = np.sum(dy * (pool(x + 1e-6 * v) - pool(x - 1e-6 * v))) / 2e-6
    assert np.sum(mv.grad(y, t, mv.Tensor(dy)).data * v) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("name", POOLS)
def test_a_single_image_is_a_batch_of_one(name, axes):
    x, pool = normal(1, 3, *(5, 4, 6)[:axes]), POOLS[name](axes)
    np.testing.assert_array_equal(pool(x[0]), pool(x)[0])
    with pytest.raises(mv.ShapeError, match=r"input should be .* got \d axes"):
        pool(x[0, 0, ..., 0])


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_indices_of_a_single_image(axes):
    x = mv.Tensor(normal(3, *(5, 4, 6)[:axes]))
    for name in ("max_pool", "adaptive_max_pool"):
        y, indices = getattr(F, f"{name}{axes}d")(x, 2, return_indices=True)
        assert isinstance(indices, mv.Tensor)
        taken = np.take_along_axis(x.data.reshape(3, -1), indices.data.reshape(3, -1), 1)
        np.testing.assert_array_equal(taken.reshape(y.shape), y.data)


@pytest.mark.skipif(not kernels.AVAILABLE, reason="the C kernels are not built here")
@pytest.mark.parametrize("name", ["max", "avg", "adaptive avg", "adaptive max"])
def test_images_stay_channels_last(name):
    x = np.ascontiguousarray(normal(2, 5, 4, 3).astype(np.float32)).transpose(0, 3, 1, 2)
    t = mv.Tensor(x, requires_grad=True)
    y = POOLS[name](2)(t)
    assert y.data.transpose(0, 2, 3, 1).flags.c_contiguous
    assert mv.grad(y, t, mv.Tensor(np.ones_like(y.data))).data.transpose(0, 2, 3, 1).flags.c_contiguous


LAYERS = {
    "MaxPool1d": ((3,), {"stride": 2, "padding": 1}, "kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=False"),
    "MaxPool2d": (((2, 3), 2, 0, 1, False, True), {}, "kernel_size=(2, 3), stride=2, padding=0, dilation=1, ceil_mode=True"),
    "MaxPool3d": ((2,), {"dilation": 2}, "kernel_size=2, stride=2, padding=0, dilation=2, ceil_mode=False"),
    "AvgPool1d": ((2, 1, 1, True, False), {}, "kernel_size=(2,), stride=(1,), padding=(1,)"),
    "AvgPool2d": ((3, 1, 1, True, False, 4), {}, "kernel_size=3, stride=1, padding=1"),
    "AvgPool3d": ((2, (1, 2, 2)), {}, "kernel_size=2, stride=(1, 2, 2), padding=0"),
    "AdaptiveAvgPool1d": ((2,), {}, "output_size=2"),
    "AdaptiveAvgPool2d": (((None, 3),), {}, "output_size=(None, 3)"),
    "AdaptiveAvgPool3d": ((2,), {}, "output_size=2"),
    "AdaptiveMaxPool1d": ((2,), {}, "output_size=2"),
    "AdaptiveMaxPool2d": ((1,), {}, "output_size=1"),
    "AdaptiveMaxPool3d": (((1, None, 2),), {}, "output_size=(1, None, 2)"),
    "LPPool1d": ((2, 3), {}, "norm_type=2, kernel_size=3, stride=None, ceil_mode=False"),
    "LPPool2d": ((3.0, 3, 2, True), {}, "norm_type=3.0, kernel_size=3, stride=2, ceil_mode=True"),
    "LPPool3d": ((2, 2), {}, "norm_type=2, kernel_size=2, stride=None, ceil_mode=False"),
}
NAMES = {
    "Max": "max_pool",
    "Avg": "avg_pool",
    "AdaptiveAvg": "adaptive_avg_pool",
    "AdaptiveMax": "adaptive_max_pool",
    "LP": "lp_pool",
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_their_functions(name):
    arguments, more, written = LAYERS[name]
    layer, x = getattr(nn, name)(*arguments, **more), np.abs(normal(2, 3, *(6, 5, 4)[: int(name[-2])]))
    function = getattr(F, NAMES[name[:-6]] + name[-2:])
    settings = {k: v for k, v in vars(layer).items() if not k.startswith("_") and k != "training"}
    assert repr(layer) == f"{name}({written})"
    assert layer.state_dict() == {}
    np.testing.assert_array_equal(layer(mv.Tensor(x)).data, function(x, **settings))


@pytest.mark.parametrize(
    "name", ["MaxPool1d", "MaxPool2d", "MaxPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "AdaptiveMaxPool3d"]
)
def test_layers_that_return_indices(name):
    x = normal(2, 3, *(6, 5, 4)[: int(name[-2])])
    came, expected = (
        getattr(nn, name)(2, return_indices=True)(x),
        getattr(F, NAMES[name[:-6]] + name[-2:])(x, 2, return_indices=True),
    )
    for a, b in zip(came, expected, strict=True):
        np.testing.assert_array_equal(a, b)
