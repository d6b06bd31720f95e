"""csrc/softmax.inc.c and csrc/cross_entropy.inc.c: their plain loops, wide rows, infinities, layouts, what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minivision import kernels
from minivision.kernels._library import function, pointer
from minivision.op import OPS
from minivision.proof.backends import each_isa

pytestmark = pytest.mark.skipif(not kernels.AVAILABLE, reason=f"the C kernels are not built on this machine: {kernels.REASON}")
DTYPES = [np.float32, np.float64]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_plain_loops_equal_the_definitions(dtype):
    """Under 100 roundings of numbers of order one."""
    rng, close = np.random.default_rng(2), {"rtol": 0, "atol": 100 * np.finfo(dtype).eps}
    x, w = rng.standard_normal((1, 9)).astype(dtype), rng.uniform(0.5, 2.0, 9).astype(dtype)
    y, loss, lse = np.empty((1, 9), dtype), np.empty(1, dtype), np.empty(1, dtype)
    for logarithm, name in enumerate(("softmax", "log_softmax")):
        function("softmax_definition", x.dtype)(9, pointer(x), pointer(y), logarithm)
        np.testing.assert_allclose(y, OPS[name].definition(x)[0], **close)
    for weight, smoothing in [(None, 0.0), (w, 0.0), (None, 0.3), (w, 0.3)]:
        function("cross_entropy_definition", x.dtype)(9, pointer(x), 4, pointer(weight), smoothing, pointer(loss), pointer(lse))
        expected, kept = OPS["cross_entropy"].definition(x, np.array([4]), weight, smoothing=smoothing)
        np.testing.assert_allclose(loss, expected, **close)
        np.testing.assert_allclose(lse, kept[-1], **close)


def test_a_row_of_50257_is_summed_as_precisely_as_a_narrow_one():
    """In float32 a plain sum of 50,257 equal terms would be off by up to 50,257 half units; blocks keep it to a few."""
    n, unit = 50257, np.finfo(np.float32).eps
    flat, x = np.zeros((1, n), np.float32), np.random.default_rng(0).standard_normal((2, n)).astype(np.float32) * 3
    z = x.astype(np.float64)
    lse = np.log(np.exp(z).sum(axis=1))
    for _ in each_isa():
        y, kept = kernels.cross_entropy.forward(flat, np.array([7]), None)
        assert abs(y[0] - math.log(n)) <= 2 * unit * math.log(n)
        p = kernels.softmax.forward(flat)[0]
        np.testing.assert_allclose(p, 1 / n, rtol=4 * unit)
        y, kept = kernels.cross_entropy.forward(x, np.array([0, n - 1]), None)
        np.testing.assert_allclose(kept[-1], lse, rtol=2 * unit)
        np.testing.assert_allclose(y, lse - z[[0, 1], [0, n - 1]], rtol=4 * unit)
        p = kernels.softmax.forward(x)[0].astype(np.float64)
        np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=0, atol=4 * unit)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_small_loss_keeps_its_digits(smoothing):
    """L - x_t would cancel: here the loss is under 1e-6 beside logits of 90."""
    x = np.full((3, 40), 70.0, np.float32)
    x[:, 5] = 90.0
    short, target = np.ascontiguousarray(x[:, :8]), np.full(3, 5)
    for rows in (x, short):
        n = rows.shape[1]
        away = math.log1p((n - 1) * math.exp(-20.0))  # log sum exp - 90
        expected = (1 - smoothing) * away + smoothing * (away + 20.0 * (n - 1) / n)
        for _ in each_isa():
            y = kernels.cross_entropy.forward(rows, target, None, smoothing=smoothing)[0]
            np.testing.assert_allclose(y, expected, rtol=0, atol=2 * np.finfo(np.float32).eps * max(1.0, expected))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [2, 9, 33, 70])
def test_not_finite_logits_as_in_the_definition(width, dtype):
    rng = np.random.default_rng(width)
    x = rng.standard_normal((24, width)).astype(dtype)
    for i, value in enumerate([np.nan, np.inf, -np.inf] * 7):
        x[i, rng.integers(width)] = value
    x[21], x[22] = -np.inf, 88.0
    target, dy = rng.integers(0, width, 24), rng.standard_normal(24).astype(dtype)
    target[3] = -100
    for _ in each_isa():
        for attrs in ({}, {"smoothing": 0.1}):
            with np.errstate(all="ignore"):
                y, kept = OPS["cross_entropy"].definition(x, target, None, **attrs)
                dx = OPS["cross_entropy"].vjp(dy, kept, needs=(True, False, False), **attrs)[0]
            came, held = kernels.cross_entropy.forward(x, target, None, **attrs)
            slope = kernels.cross_entropy.vjp(dy, held, needs=(True, False, False), **attrs)[0]
            np.testing.assert_allclose(came, y, rtol=1e-5)
            np.testing.assert_allclose(slope, dx, rtol=1e-4, atol=1e-6)
        for name in ("softmax", "log_softmax"):
            with np.errstate(all="ignore"):
                expected = OPS[name].definition(x)[0]
            np.testing.assert_allclose(OPS[name].kernel.forward(x)[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_largest_logit_may_stand_anywhere(dtype):
    """A maximum that misses it would overflow."""
    for n in (3, 8, 17, 33, 40, 65, 130):
        x = np.where(np.eye(n, dtype=bool), 2000.0, 0.0).astype(dtype)
        for _ in each_isa():
            np.testing.assert_array_equal(kernels.softmax.forward(x)[0], np.eye(n))
            np.testing.assert_array_equal(kernels.softmax.forward(x, axis=0)[0], np.eye(n))
            np.testing.assert_array_equal(kernels.cross_entropy.forward(x, np.arange(n), None)[0], np.zeros(n))


def test_channels_last_images_stay_so():
    x = np.moveaxis(np.random.default_rng(0).standard_normal((2, 4, 5, 7)), -1, 1)  # (N, C, H, W), channels last in memory
    for kernel, name in ((kernels.softmax, "softmax"), (kernels.log_softmax, "log_softmax")):
        y, kept = kernel.forward(x, axis=1)
        dx = kernel.vjp(np.cos(x), kept, needs=(True,), axis=1)[0]
        expected, held = OPS[name].definition(x, axis=1)
        np.testing.assert_allclose(y, expected, rtol=1e-13)
        np.testing.assert_allclose(dx, OPS[name].vjp(np.cos(x), held, axis=1), rtol=1e-12, atol=1e-15)
        assert y.strides == dx.strides == x.strides


def test_what_the_kernels_leave_to_the_definitions():
    x, target = np.zeros((2, 3)), np.array([0, 1])
    assert kernels.softmax.forward(x.astype(np.float16)) is NotImplemented
    assert kernels.softmax.forward(np.zeros((0, 3))) is NotImplemented
    assert kernels.cross_entropy.forward(x, target.astype(float), None) is NotImplemented
    kept = kernels.cross_entropy.forward(x, target, np.ones(3))[1]
    assert kernels.cross_entropy.vjp(np.ones(2), kept, needs=(True, False, True)) is NotImplemented


@pytest.mark.parametrize("target", [[0, 3], [-1, 0], [2**62, 0]])
def test_the_kernel_reads_nothing_beyond_its_row(target):
    with pytest.raises(IndexError, match=rf"target {target[0] or target[1]} is no class number from 0 to 2"):
        kernels.cross_entropy.forward(np.zeros((2, 3)), np.array(target), None)
