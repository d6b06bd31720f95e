"""Normalisation kernels: memory orders, accuracy over many rows, the plain loops in C, bits of any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from norms import channels_last

import minivision.functional as F
from minivision import kernels
from minivision.backend import backend
from minivision.kernels._library import function, pointer
from minivision.op import OPS

pytestmark = pytest.mark.skipif(not kernels.AVAILABLE, reason=f"the C kernels are not built on this machine: {kernels.REASON}")
DTYPES = [np.float32, np.float64]


def calls(shape, order, rng):
    """(name, arguments, attributes) of every operation on images, in float32."""
    x, r = (order(rng.standard_normal(shape).astype(np.float32)) for _ in range(2))
    w, b, m = rng.standard_normal((3, shape[1])).astype(np.float32)
    yield "batch_norm", (x, w, b, r), {"activation": "relu"}
    yield "batch_norm", (x, w, b, None), {}
    yield "batch_norm_eval", (x, m, m * m + 0.1, w, b, r), {"activation": "relu"}
    yield "group_norm", (x, w, b), {"groups": 2}


@pytest.mark.parametrize("order", [channels_last, np.ascontiguousarray], ids=["channels last", "channels first"])
def test_results_lie_in_memory_as_images_came(order):
    rng = np.random.default_rng(0)
    for name, args, attrs in calls((2, 6, 5, 3), order, rng):
        with backend("c"):
            y, kept = OPS[name].forward(args, attrs)
            cotangents = OPS[name].pull(order(np.ones_like(y)), kept, tuple(a is not None for a in args), attrs)
        for result in (y, *(dx for dx in cotangents if dx is not None and dx.ndim == 4)):
            assert result.strides == args[0].strides, name


@pytest.mark.parametrize("order", [channels_last, np.ascontiguousarray], ids=["channels last", "channels first"])
def test_statistics_of_100_000_rows_are_right_to_a_millionth(order):
    """Sums in float32 err with the number of terms; blocks put together in double do not."""
    x = order(np.random.default_rng(0).normal(3.0, 1.0, (8, 24, 112, 112)).astype(np.float32))
    exact = x.astype(np.float64)
    running = np.zeros(24, np.float32), np.zeros(24, np.float32)
    with backend("c"):
        F.batch_norm(x, *running, training=True, momentum=1.0)
    np.testing.assert_allclose(running[0], exact.mean((0, 2, 3)), rtol=3e-7)
    np.testing.assert_allclose(running[1], exact.var((0, 2, 3), ddof=1), rtol=1e-6)


@pytest.mark.parametrize("order", [channels_last, np.ascontiguousarray], ids=["channels last", "channels first"])
def test_gradients_of_100_000_rows_are_right_to_a_millionth(order):
    """Relative to the sum of the terms' sizes, which is what rounding errors are made of."""
    rng = np.random.default_rng(1)
    x, dy = (order(rng.normal(mean, 1.0, (8, 8, 112, 112)).astype(np.float32)) for mean in (0.0, 0.5))
    with backend("c"):
        kept = OPS["batch_norm"].forward((x, None, np.zeros(8, np.float32), None), {})[1]
        kept = (kept[0], np.ones(8, np.float32), *kept[2:])
        _, dw, db, _ = OPS["batch_norm"].pull(dy, kept, (True, True, True, False), {})
    h = (x - x.mean((0, 2, 3), np.float64, keepdims=True)) / x.std((0, 2, 3), np.float64, keepdims=True)
    for came, terms in ((db, dy.astype(np.float64)), (dw, dy * h)):
        assert np.all(np.abs(came - terms.sum((0, 2, 3))) <= 1e-6 * np.abs(terms).sum((0, 2, 3)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("groups", "sets"), [(6, 1), (6, 2), (2, 2), (1, 2)])
@pytest.mark.parametrize("last", [True, False])
def test_the_plain_loops_in_c_equal_the_definitions(dtype, groups, sets, last):
    """Batch norm is one set of all images with a group for each channel; group norm a set for each image."""
    rng = np.random.default_rng(2)
    x, r = rng.standard_normal((2, 2, 6, 5)).astype(dtype)
    w, b = rng.standard_normal((2, 6)).astype(dtype)
    expected = (
        OPS["batch_norm"].definition(x, w, b, r, activation="relu")[0]
        if sets == 1
        else np.maximum(OPS["group_norm"].definition(x, w, b, groups=groups)[0] + r, 0)
    )
    dense, residual = (np.ascontiguousarray(a.transpose(0, 2, 1)) if last else a for a in (x, r))
    y = np.empty(dense.shape, dtype)
    sizes = np.array([sets, 2 // sets, 6, 5, groups, last], np.int64)
    arrays = map(pointer, (dense, w, b, residual))
    function("channel_norm_definition", x.dtype)(pointer(sizes), *arrays, 1e-5, 1, pointer(y))
    np.testing.assert_allclose(y.transpose(0, 2, 1) if last else y, expected, rtol=0, atol=100 * np.finfo(dtype).eps)


def test_nan_stays_in_its_channel_group_and_row():
    x = np.random.default_rng(0).standard_normal((2, 4, 5, 3)).astype(np.float32)
    spoilt = x.copy()
    spoilt[1, 2, 0, 0] = np.nan
    touched = {
        "batch_norm": lambda n, c: c == 2,
        "group_norm": lambda n, c: n == 1 and c >= 2,
        "batch_norm_eval": lambda n, c: False,
    }
    ones = np.ones(4, np.float32)
    more = {"batch_norm": (None, None, None), "group_norm": (None, None), "batch_norm_eval": (ones, ones, None, None, None)}
    for name, hit in touched.items():
        attrs = {"groups": 2} if name == "group_norm" else {}
        for order in (channels_last, np.ascontiguousarray):
            with backend("c"), np.errstate(invalid="ignore"):
                clean, y = (OPS[name](order(a), *more[name], **attrs) for a in (x, spoilt))
            for n, c in np.ndindex(2, 4):
                if hit(n, c):
                    assert np.isnan(y[n, c]).all()
                else:
                    same = ~np.isnan(spoilt[n, c])
                    np.testing.assert_array_equal(y[n, c][same], clean[n, c][same])


def test_a_residual_or_gradient_in_another_order_is_taken():
    rng = np.random.default_rng(4)
    x, r, dy = rng.standard_normal((3, 2, 6, 4, 5)).astype(np.float32)
    results = []
    for order_x in (channels_last, np.ascontiguousarray):
        for order_r in (channels_last, np.ascontiguousarray):
            args = (order_x(x), None, None, order_r(r))
            with backend("c"):
                y, kept = OPS["batch_norm"].forward(args, {"activation": "relu"})
                results.append((y, *OPS["batch_norm"].pull(order_r(dy), kept, (True,) * 4, {"activation": "relu"})[::3]))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
@pytest.mark.parametrize("rows", [1, 3, 4, 5, 130])
def test_a_row_does_not_depend_on_the_rows_beside_it(name, rows):
    """Rows are taken four at a time; alone or in company, the bits are the same."""
    x = np.random.default_rng(5).standard_normal((rows, 37)).astype(np.float32)
    more = (None,) if name == "rms_norm" else (None, None)
    with backend("c"):
        together = OPS[name](x, *more)
        alone = np.concatenate([OPS[name](x[i : i + 1], *more) for i in range(rows)])
    np.testing.assert_array_equal(together, alone)
