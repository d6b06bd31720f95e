"""The C kernels of pooling against its definition: every block of channels, instruction set, layout, number of threads."""

from __future__ import annotations

import numpy as np
import pytest

import minivision as mv
from minivision import kernels
from minivision.kernels._library import ffi, function, pointer
from minivision.kernels.pool_windows import averaging, sliding
from minivision.op import OPS

pytestmark = pytest.mark.skipif(not kernels.AVAILABLE, reason="the C kernels are not built here")
DTYPES = [np.float32, np.float64]
SLIDING = {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 1)}
CALLS = {
    "max": ("max_pool2d", SLIDING),
    "max, ceil_mode": ("max_pool2d", {"kernel": (3, 3), "stride": (2, 2), "ceil_mode": True}),
    "max, dilation": ("max_pool2d", {"kernel": (2, 3), "stride": (1, 2), "padding": (1, 1), "dilation": (3, 2)}),
    "max, places beyond one byte": ("max_pool2d", {"kernel": (2, 2), "stride": (1, 1), "dilation": (5, 25)}),
    "mean": ("avg_pool2d", SLIDING),
    "mean, ceil_mode": ("avg_pool2d", {"kernel": (3, 3), "stride": (2, 2), "ceil_mode": True, "count_include_pad": False}),
    "mean, divisor": ("avg_pool2d", {**SLIDING, "divisor": -7}),
    "global mean": ("adaptive_avg_pool2d", {"size": (1, 1)}),
    "bins that overlap": ("adaptive_avg_pool2d", {"size": (4, 5)}),
    "bins beyond the pixels": ("adaptive_avg_pool2d", {"size": (9, 31)}),
    "global max": ("adaptive_max_pool2d", {"size": (1, 1)}),
    "maxima of bins that overlap": ("adaptive_max_pool2d", {"size": (4, 5)}),
}
IMAGE = 6, 27  # 162 pixels: more places than a byte counts
# One, and around the vectors of 2 to 16 elements and the blocks of 2, 4 and 8 of them.
CHANNELS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 127, 129]


@pytest.fixture(autouse=True)
def _as_it_was():
    isa, threads = kernels.isa(), mv.get_num_threads()
    yield
    kernels.use_isa(isa)
    mv.set_num_threads(threads)


def image(channels, dtype, n=2, size=IMAGE):
    """Small multiples of 1/8, with ties: their sums are exact in any order."""
    return np.random.default_rng(channels).integers(-32, 33, (n, channels, *size)).astype(dtype) / 8


def both(name, x, dy, attrs, backend):
    """y, dx and what was kept."""
    op = OPS[name]
    with mv.backend(backend):
        y, kept = op.forward((x,), dict(attrs))
        return y, op.pull(y if dy is None else dy, kept, (True,), dict(attrs))[0], kept


@pytest.mark.parametrize("isa", kernels.isas())
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("call", CALLS)
def test_kernels_equal_the_definition(call, dtype, isa):
    name, attrs = CALLS[call]
    kernels.use_isa(isa)
    for channels in CHANNELS:
        x = image(channels, dtype, n=1)
        dy = image(channels, dtype, 1, OPS[name](x, **attrs).shape[2:])
        (y, dx, kept), (y_right, dx_right, kept_right) = (both(name, x, dy, attrs, backend) for backend in ("c", "numpy"))
        if "max" in name:
            np.testing.assert_array_equal(y, y_right)
            np.testing.assert_array_equal(kept[0], kept_right[0])
            assert kept[0].dtype == kept_right[0].dtype
        units = 4 * np.finfo(dtype).eps  # the sums are exact; a quotient, and up to nine added quotients, are not
        np.testing.assert_allclose(y, y_right, rtol=units, atol=0)
        np.testing.assert_allclose(dx, dx_right, rtol=0, atol=9 * units * np.max(np.abs(dx_right)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_loops_in_c_equal_the_definition(dtype):
    x = image(3, dtype, n=1)
    for call in ("max", "max, dilation", "max, ceil_mode"):
        attrs = {"ceil_mode": False, "dilation": (1, 1), "padding": (0, 0), **CALLS[call][1]}
        windows = sliding("max_pool2d", IMAGE, *(attrs[k] for k in ("kernel", "stride", "padding", "dilation", "ceil_mode")))
        expected, _, (taken, _) = both("max_pool2d", x, None, attrs, "numpy")
        y, at = np.empty(expected.shape, dtype), np.empty(expected.shape, np.int32)
        for c in range(3):
            tables = [pointer(w.table) for w in windows]
            function("max_pool_definition", x.dtype)(
                1, *tables, pointer(x[0, c]), pointer(y[0, c]), ffi.from_buffer("int32_t[]", at[0, c])
            )
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(at.transpose(0, 2, 3, 1), taken)
    windows, counts = averaging(IMAGE, (3, 2), (2, 1), (1, 1), False, False, None)
    expected = both("avg_pool2d", x, None, {**SLIDING, "count_include_pad": False}, "numpy")[0]
    y, counts = np.empty(expected.shape, dtype), counts.astype(dtype)
    for c in range(3):
        tables = [pointer(w.table) for w in windows]
        function("avg_pool_definition", x.dtype)(1, *tables, pointer(x[0, c]), pointer(counts), pointer(y[0, c]))
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 5, 40])
@pytest.mark.parametrize("isa", kernels.isas())
def test_nan_and_infinities(isa, channels, dtype):
    kernels.use_isa(isa)
    x = image(channels, dtype)
    flat = x.reshape(-1)
    flat[::7], flat[3::11], flat[5::13], flat[6::17] = np.nan, np.inf, -np.inf, -0.0
    for call in ("max", "max, dilation", "global max", "maxima of bins that overlap", "mean", "bins that overlap"):
        name, attrs = CALLS[call]
        with np.errstate(invalid="ignore"):
            y, _, kept = both(name, x, None, attrs, "c")
            expected, _, kept_right = both(name, x, None, attrs, "numpy")
        np.testing.assert_allclose(y, expected, rtol=4 * np.finfo(dtype).eps)
        np.testing.assert_array_equal(kept[0], kept_right[0])


@pytest.mark.skipif(not kernels.has_openmp(), reason="built without OpenMP: there is one thread only")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("call", CALLS)
def test_same_bits_for_any_number_of_threads_and_in_every_run(call, dtype):
    name, attrs = CALLS[call]
    x = np.random.default_rng(5).standard_normal((5, 150, *IMAGE)).astype(dtype)  # 121,500 elements: worth a second thread
    runs = []
    for threads in (1, 2, 2, 3):
        mv.set_num_threads(threads)
        runs.append([a.tobytes() for a in both(name, x, None, attrs, "c")[:2]])
    assert runs[0] == runs[1] == runs[2] == runs[3]


def sliced(a):
    """Every second element of a larger array."""
    large = np.full([2 * n for n in a.shape], np.nan, a.dtype)
    large[(slice(None, None, 2),) * a.ndim] = a
    return large[(slice(None, None, 2),) * a.ndim]


LAYOUTS = {
    "channels last": lambda a: np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    "Fortran": np.asfortranarray,
    "sliced": sliced,
    "negative strides": lambda a: np.ascontiguousarray(a[::-1, ::-1, ::-1, ::-1])[::-1, ::-1, ::-1, ::-1],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("call", CALLS)
def test_layouts_change_no_bit(call, layout):
    name, attrs = CALLS[call]
    x = np.random.default_rng(6).standard_normal((2, 19, *IMAGE)).astype(np.float32)
    dy = np.random.default_rng(7).standard_normal(OPS[name](x, **attrs).shape).astype(np.float32)
    changed = [LAYOUTS[layout](a) for a in (x, dy)]
    for a in changed:
        a.flags.writeable = False
    for came, right in zip(both(name, *changed, attrs, "c")[:2], both(name, x, dy, attrs, "c")[:2], strict=True):
        np.testing.assert_array_equal(came, right)
        assert came.transpose(0, 2, 3, 1).flags.c_contiguous


def test_long_means_are_as_exact_as_a_row_is_long():
    """The mean of 300 x 300 numbers in float32: rows first, so that no chain of additions is longer than 600.

    Of n roundings at random signs about sqrt(n) units remain; 4 sqrt(n) are not exceeded (Higham & Mary 2019, theorem 2.4).
    """
    x = np.random.default_rng(8).uniform(0.0, 2.0, (1, 17, 300, 300)).astype(np.float32)
    y = both("adaptive_avg_pool2d", x, None, {"size": (1, 1)}, "c")[0]
    exact = x.astype(np.float64).mean((2, 3), keepdims=True)
    assert np.max(np.abs(y - exact) / exact) < 4 * np.sqrt(600) * np.finfo(np.float32).eps / 2


@pytest.mark.parametrize(("kernel", "size"), [((16, 8), 1), ((129, 1), 4), ((150, 150), 4)])
def test_what_is_kept_takes_a_byte_where_a_byte_is_enough(kernel, size):
    x, attrs = image(1, np.float32, 1, (151, 150)), {"kernel": kernel, "stride": (1, 1)}
    for backend in ("c", "numpy"):
        assert both("max_pool2d", x, None, attrs, backend)[2][0].itemsize == size
