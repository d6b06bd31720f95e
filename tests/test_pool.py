"""Pooling against plain loops, its ties and borders, its gradients, and what it refuses."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import minivision as mv
import minivision.functional as F
from minivision import kernels
from minivision.kernels.pool_windows import bins

SETTINGS = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 1},
    {"kernel_size": (3, 2), "stride": (2, 3), "padding": (1, 0)},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": (2, 3), "stride": 4, "padding": 1, "ceil_mode": True},
    {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True},  # of 6 rows the last window would hold padding alone
    {"kernel_size": (7, 6), "ceil_mode": True},
    {"kernel_size": 1, "stride": 2},
]


BACKENDS = [
    "numpy",
    pytest.param("c", marks=pytest.mark.skipif(not kernels.AVAILABLE, reason="the C kernels are not built here")),
]


def image(*shape, dtype=np.float64):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def pair(n):
    return (n, n) if isinstance(n, int) else n


def places(n, k, stride, padding, dilation, ceil_mode):
    """For each window of an axis the indices inside the image, and how many elements it has in the padded image."""
    reach, found, start = dilation * (k - 1) + 1, [], -padding
    while start + reach <= n + padding or (ceil_mode and start < n and start - stride + reach < n + padding):
        taps = range(start, start + reach, dilation)
        found.append(([i for i in taps if 0 <= i < n], sum(i < n + padding for i in taps)))
        start += stride
    return found


def pooled(x, reduce, *, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """reduce(the values in each window, the window's size in the padded image), window by window."""
    kernel = pair(kernel_size)
    numbers = [kernel, kernel if stride is None else pair(stride), pair(padding), pair(dilation)]
    down, across = (places(n, *axis, ceil_mode) for n, *axis in zip(x.shape[2:], *numbers, strict=True))
    y = [[reduce(x[:, :, rows][..., columns].reshape(*x.shape[:2], -1), m * n) for columns, n in across] for rows, m in down]
    return np.moveaxis(np.array(y), (0, 1), (2, 3))


@pytest.mark.parametrize(
    "settings",
    [*SETTINGS, {"kernel_size": 2, "dilation": (3, 2), "stride": 1}, {"kernel_size": 3, "dilation": 2, "padding": 1}],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_max_pool2d(settings, dtype):
    x = image(2, 3, 7, 6, dtype=dtype)
    y = F.max_pool2d(x, **settings)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, pooled(x, lambda values, _: values.max(-1), **settings))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_avg_pool2d(settings):
    x = image(2, 3, 7, 6)
    close = {"rtol": 1e-13, "atol": 1e-13}
    np.testing.assert_allclose(F.avg_pool2d(x, **settings), pooled(x, lambda v, n: v.sum(-1) / n, **settings), **close)
    inside = F.avg_pool2d(x, **settings, count_include_pad=False)
    np.testing.assert_allclose(inside, pooled(x, lambda v, _: v.mean(-1), **settings), **close)
    fixed = F.avg_pool2d(x, **settings, divisor_override=-3)
    np.testing.assert_allclose(fixed, pooled(x, lambda v, _: v.sum(-1) / -3, **settings), **close)


@pytest.mark.parametrize(("pool", "reduce"), [(F.adaptive_avg_pool2d, np.mean), (F.adaptive_max_pool2d, np.max)])
@pytest.mark.parametrize(("height", "width"), [(6, 8), (7, 5), (1, 1), (2, 3)])
@pytest.mark.parametrize("size", [1, (2, 4), (3, 3), (7, 6), (None, 2)])
def test_adaptive_pooling(pool, reduce, height, width, size):
    x = image(2, 3, height, width)
    p, q = (n if want is None else want for want, n in zip(pair(size), (height, width), strict=True))
    expected = np.empty((2, 3, p, q))
    for i, j in itertools.product(range(p), range(q)):
        rows = slice(math.floor(i * height / p), math.ceil((i + 1) * height / p))
        columns = slice(math.floor(j * width / q), math.ceil((j + 1) * width / q))
        expected[:, :, i, j] = reduce(x[:, :, rows, columns], (2, 3))
    np.testing.assert_allclose(pool(x, size), expected, rtol=1e-13, atol=1e-13)


def test_bins_cover_an_axis_and_overlap_by_one_at_most():
    for size, count in itertools.product(range(1, 12), range(1, 14)):
        down, across = bins("test", (size, 1), (count, 1))
        assert (down.count, down.low[0], down.high[-1], across.count, across.high[0]) == (count, 0, size, 1, 1)
        assert np.all((down.low[:-1] <= down.low[1:]) & (down.low[1:] <= down.high[:-1]) & (down.high[:-1] <= down.low[1:] + 1))


def gradient(function, x):
    """dx of a random dy, as (dx, dy)."""
    t = mv.Tensor(x, requires_grad=True)
    y = function(t)
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(x.dtype)
    return mv.grad(y, t, mv.Tensor(dy)).data, dy


POOLS = {
    "max": lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
    "avg": lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
    "avg of the image alone": lambda x: F.avg_pool2d(x, (2, 3), 1, 1, count_include_pad=False),
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, (3, 5)),
    "adaptive max": lambda x: F.adaptive_max_pool2d(x, (3, 5)),
}


@pytest.mark.parametrize("name", POOLS)
def test_gradients_equal_differences(name):
    x, pool = image(2, 3, 7, 6), POOLS[name]
    v = np.random.default_rng(2).standard_normal(x.shape)
    dx, dy = gradient(pool, x)
    expected = np.sum(dy * (pool(x + 1e-6 * v) - pool(x - 1e-6 * v))) / 2e-6
    assert np.sum(dx * v) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize(
    "layout", [np.asfortranarray, lambda x: x[::-1, :, ::-1].copy()[::-1, :, ::-1], lambda x: np.repeat(x, 2, 3)[..., ::2]]
)
def test_layouts(name, layout):
    x = image(2, 3, 7, 6, dtype=np.float32)
    changed = layout(x)
    changed.flags.writeable = False
    assert not changed.flags.c_contiguous
    for came, right in zip(gradient(POOLS[name], changed), gradient(POOLS[name], x), strict=True):
        np.testing.assert_allclose(came, right, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("settings", [*SETTINGS, {"kernel_size": 2, "dilation": (3, 2), "stride": 1}], ids=str)
def test_indices_are_where_the_largest_values_stand(settings, backend):
    x = np.round(2 * image(2, 3, 7, 6))  # with ties
    with mv.backend(backend):
        y, indices = F.max_pool2d(x, **settings, return_indices=True)
    assert indices.dtype == np.int64
    numbers = np.broadcast_to(np.arange(42.0).reshape(7, 6), x.shape)
    first = pooled(
        x + 1j * numbers, lambda v, _: np.where(v.real == v.real.max(-1, keepdims=True), v.imag, 99).min(-1), **settings
    )
    np.testing.assert_array_equal(indices, first)
    np.testing.assert_array_equal(y, np.take_along_axis(x.reshape(2, 3, 42), indices.reshape(2, 3, -1), 2).reshape(y.shape))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_kernel_far_larger_than_the_image(backend):
    x = mv.Tensor(image(1, 2, 3, 4), requires_grad=True)
    with mv.backend(backend):
        y = F.max_pool2d(x, 2**20 + 1, 1, 2**19)
        np.testing.assert_array_equal(y.data, np.broadcast_to(x.data.max((2, 3), keepdims=True), (1, 2, 3, 4)))
        dx = mv.grad(y, x, np.ones((1, 2, 3, 4))).data
        np.testing.assert_array_equal(dx, 12.0 * (x.data == x.data.max((2, 3), keepdims=True)))
        y = F.avg_pool2d(x, 2**20 + 1, 1, 2**19, count_include_pad=False)
        np.testing.assert_allclose(y.data, np.broadcast_to(x.data.mean((2, 3), keepdims=True), (1, 2, 3, 4)), rtol=1e-12)


HUGE = [2**31, 2**62, 2**63 - 1]


@pytest.mark.parametrize("huge", HUGE)
def test_huge_settings_are_refused(huge):
    x = image(1, 1, 4, 4)
    wide = {"kernel_size": huge, "padding": huge // 2}
    for settings in ({"kernel_size": huge}, {"kernel_size": 2, "stride": huge}, {"kernel_size": 2, "padding": huge}, wide):
        for pool, ceil_mode in itertools.product((F.max_pool2d, F.avg_pool2d), (False, True)):
            with pytest.raises(ValueError, match=r"must lie between|is more than half|but the padded image has"):
                pool(x, **settings, ceil_mode=ceil_mode)
    with pytest.raises(ValueError, match="dilation must lie between"):
        F.max_pool2d(x, 2, dilation=huge)
    for pool in (F.adaptive_avg_pool2d, F.adaptive_max_pool2d):
        with pytest.raises(ValueError, match="the size must lie between"):
            pool(x, (1, huge))
    with pytest.raises(ValueError, match="divisor_override must lie between"):
        F.avg_pool2d(x, 2, divisor_override=2 * huge + 2**63)


@pytest.mark.parametrize("pool", [F.adaptive_avg_pool2d, F.adaptive_max_pool2d])
def test_more_bins_than_any_memory_holds(pool):
    with pytest.raises(MemoryError, match=r"\d"):
        pool(image(1, 1, 4, 4), 2**31 - 1)


def test_of_equal_values_the_first_takes_the_gradient():
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, 1, 0] = x[0, 0, 0, 3] = x[0, 0, 1, 2] = 1.0
    expected = np.zeros((4, 4))
    expected[1, 0] = expected[0, 3] = expected[2, 0] = expected[2, 2] = 1.0
    t = mv.Tensor(x, requires_grad=True)
    F.max_pool2d(t, 2).sum().backward()
    np.testing.assert_array_equal(t.grad.data[0, 0], expected)


def test_padding_is_never_the_largest():
    t = mv.Tensor(np.full((1, 1, 3, 3), -np.inf), requires_grad=True)
    y = F.max_pool2d(t, 2, 2, 1)
    np.testing.assert_array_equal(y.data, np.full((1, 1, 2, 2), -np.inf))
    y.backward(np.ones(y.shape))
    np.testing.assert_array_equal(t.grad.data[0, 0], [[1, 1, 0], [1, 1, 0], [0, 0, 0]])  # inside the image, the first of each
    np.testing.assert_array_equal(F.max_pool2d(np.full((1, 1, 2, 2), -3.0), 2, 2, 1), np.full((1, 1, 2, 2), -3.0))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_window_between_the_pixels_of_an_image_is_minus_infinity(backend):
    x = mv.Tensor(np.ones((1, 1, 2, 2)), requires_grad=True)
    with mv.backend(backend):
        y, indices = F.max_pool2d(x, 2, 1, 1, dilation=3, return_indices=True)  # taps at -1 and 2 of 0..1
        np.testing.assert_array_equal(y.data, [[[[-np.inf]]]])
        np.testing.assert_array_equal(indices.data, [[[[-1]]]])
        np.testing.assert_array_equal(mv.grad(y, x, np.ones((1, 1, 1, 1))).data, np.zeros((1, 1, 2, 2)))


def test_nan_is_passed_on_and_stays_in_its_windows():
    x = image(1, 1, 4, 6)
    x[0, 0, 1, 2] = np.nan
    for pool in (F.max_pool2d, F.avg_pool2d):
        np.testing.assert_array_equal(np.isnan(pool(x, 2))[0, 0], [[False, True, False], [False] * 3])
    np.testing.assert_array_equal(np.isnan(F.adaptive_avg_pool2d(x, (2, 3)))[0, 0], [[False, True, False], [False] * 3])
    x[0, 0, 1, 2] = np.inf
    assert F.avg_pool2d(x, 2)[0, 0, 0, 1] == np.inf
    assert np.isfinite(F.avg_pool2d(x, 2)).sum() == 5


def test_no_images():
    for pool in POOLS.values():
        dx, dy = gradient(pool, np.empty((0, 3, 7, 6)))
        assert dx.shape == (0, 3, 7, 6)
        assert dy.shape[:2] == (0, 3)


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        (lambda x: F.max_pool2d(x, 2, padding=2), r"max_pool2d: padding \(2, 2\) is more than half of the kernel \(2, 2\)"),
        (lambda x: F.avg_pool2d(x, (4, 1), padding=1), r"avg_pool2d: padding \(1, 1\) is more than half of the kernel \(4, 1\)"),
        (lambda x: F.max_pool2d(x, 9), "the window is 9 rows large, but the padded image has 7"),
        (lambda x: F.max_pool2d(x, 2, 0), "stride must lie between 1 and"),
        (lambda x: F.max_pool2d(x, 0), "kernel must lie between 1 and"),
        (lambda x: F.avg_pool2d(x, 2, padding=-1), "padding must lie between 0 and"),
        (lambda x: F.avg_pool2d(x, (2, 2, 2)), "kernel_size is a whole number or a pair"),
        (lambda x: F.avg_pool2d(x, 2, divisor_override=0), "divisor_override must not be 0"),
        (lambda x: F.adaptive_avg_pool2d(x, (0, 2)), "adaptive_avg_pool2d: the size must lie between 1 x 1 and"),
        (lambda x: F.adaptive_avg_pool2d(x, (1, 2, 3)), "output_size is a whole number or a pair"),
        (lambda x: F.max_pool2d(x[0, 0], 2), r"max_pool2d: input should be \(N, C, H, W\) or \(C, H, W\), got 2 axes"),
        (lambda x: F.adaptive_avg_pool2d(x[:, :, :0], 2), "an image of 0 x 6 has nothing to put into a window"),
        (lambda x: F.max_pool2d(x[:, :, :0], 2, padding=1), "an image of 0 x 6 has nothing to put into a window"),
    ],
)  # fmt: skip
def test_errors(pool, message):
    with pytest.raises(ValueError, match=message):
        pool(image(2, 3, 7, 6))


@pytest.mark.parametrize(
    "pool", [lambda x: F.max_pool2d(x, 2), lambda x: F.avg_pool2d(x, 2), lambda x: F.adaptive_avg_pool2d(x, 1)]
)
def test_integers_have_no_padding_and_no_mean(pool):
    with pytest.raises(mv.DtypeError, match=r"should be of floating type, got int64: .*; convert it with .float\(\)"):
        pool(np.ones((1, 1, 2, 2), np.int64))
