"""The C kernels of convolution against its definition: every size of block, layout, instruction set, number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from convolutions import ALL, SMALL, arguments, everything, random_like

import minivision as mv
from minivision import kernels
from minivision.kernels._library import function, pointer
from minivision.kernels.conv import _sizes
from minivision.ops.conv import conv2d

pytestmark = pytest.mark.skipif(not kernels.AVAILABLE, reason="the C kernels are not built here")


@pytest.fixture(autouse=True)
def _as_it_was():
    isa, threads = kernels.isa(), mv.get_num_threads()
    yield
    kernels.use_isa(isa)
    mv.set_num_threads(threads)


def rounding_bounds(arrays, dy, attrs, dtype):
    """gamma_n (|A| |B|) for y, dx, dweight, dbias, where n counts the terms of each sum."""
    sizes = everything([np.abs(a) for a in arrays], np.abs(dy), attrs, "numpy")
    taps = arrays[1][0].size + 1
    counts = [taps, arrays[1][:, 0].size, dy[:, 0].size, dy[:, 0].size]
    unit = np.finfo(dtype).eps / 2
    return [(n + 1) * unit / (1 - (n + 1) * unit) * size for n, size in zip(counts, sizes, strict=True)]


@pytest.mark.parametrize("isa", kernels.isas())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ALL)
def test_kernels_equal_the_definition(name, dtype, isa):
    arrays, attrs = arguments(name, dtype)
    exact = [a.astype(np.float64) for a in arrays]
    dy = random_like(conv2d.forward(tuple(arrays), attrs)[0])
    expected = everything(exact, dy.astype(np.float64), attrs, "numpy")
    bounds = rounding_bounds(exact, dy.astype(np.float64), attrs, dtype)
    kernels.use_isa(isa)
    came = everything(arrays, dy, attrs, "c")
    for what, a, b, bound in zip(("y", "dx", "dweight", "dbias"), came, expected, bounds, strict=True):
        assert a.dtype == dtype
        assert a.shape == b.shape
        factor = 2 if dtype == np.float64 else 1  # the definition in float64 has as large an error of its own
        assert np.all(np.abs(a - b) <= factor * bound), what


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", [name for name in SMALL if "uneven" not in name])
def test_the_loops_in_c_equal_the_definition(name, dtype):
    arrays, attrs = arguments(name, dtype)
    y = everything([*arrays[:2], None], None, attrs, "numpy")[0]
    dy = random_like(y)
    expected = everything([*arrays[:2], None], dy, attrs, "numpy")
    results = _run_c_definition(*arrays[:2], dy, attrs)
    for came, right in zip(results, expected, strict=False):
        np.testing.assert_allclose(came, right, rtol=0, atol=np.finfo(dtype).eps * 200 * np.max(np.abs(right)))


def _run_c_definition(x, weight, dy, attrs):
    last = [np.ascontiguousarray(a.transpose(0, 2, 3, 1)) for a in (x, weight, dy)]
    results = [np.zeros_like(last[i]) for i in (2, 0, 1)]
    sizes = _sizes(x.shape, weight.shape, *(attrs[name] for name in ("stride", "padding", "dilation", "groups")))
    function("conv_definition", x.dtype)(pointer(sizes), *map(pointer, [*last, *results]))
    return [a.transpose(0, 3, 1, 2) for a in results]


THREADED = {
    "wide": ((2, 40, 12, 13), (70, 40, 3, 3), {"padding": ((1, 1), (1, 1))}),
    "stride": ((3, 24, 17, 16), (40, 24, 3, 3), {"stride": (2, 2), "padding": ((1, 1), (1, 1))}),
    "many channels, few pixels": ((1, 256, 3, 3), (300, 256, 3, 3), {"padding": ((1, 1), (1, 1))}),
    "three groups": ((2, 48, 15, 15), (60, 16, 3, 3), {"groups": 3}),
    "depthwise": ((4, 72, 15, 14), (72, 1, 5, 5), {"groups": 72, "stride": (2, 1)}),
}


@pytest.mark.skipif(not kernels.has_openmp(), reason="built without OpenMP: there is one thread only")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", THREADED)
def test_same_bits_for_any_number_of_threads_and_in_every_run(name, dtype):
    x, weight, attrs = THREADED[name]
    rng = np.random.default_rng(5)
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in (x, weight, weight[:1])]
    dy = random_like(conv2d.forward(tuple(arrays), attrs)[0])
    runs = []
    for threads in (1, 2, 2, 3):
        mv.set_num_threads(threads)
        runs.append([a.tobytes() for a in everything(arrays, dy, attrs, "c")])
    assert runs[0] == runs[1] == runs[2] == runs[3]


def sliced(a):
    """Every third element of the first axis and every second of the others, of a larger array."""
    index = tuple(slice(None, None, 2 if i else 3) for i in range(a.ndim))
    large = np.full([n * step.step for n, step in zip(a.shape, index, strict=True)], np.nan, a.dtype)
    large[index] = a
    return large[index]


def backwards(a):
    """Negative strides along every axis."""
    turn = (slice(None, None, -1),) * a.ndim
    return np.ascontiguousarray(a[turn])[turn]


LAYOUTS = {
    "channels last": lambda a: np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1) if a.ndim > 1 else a.copy(),
    "Fortran": lambda a: np.array(a, order="F"),
    "sliced": sliced,
    "negative strides": backwards,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["all together", "depthwise", "1x1"])
def test_layouts_change_no_bit(name, layout):
    arrays, attrs = arguments(name, np.float32)
    dy = random_like(conv2d(*arrays, **attrs))
    expected = everything(arrays, dy, attrs, "c")
    changed = [LAYOUTS[layout](a) for a in (*arrays, dy)]
    for a, b in zip(changed, (*arrays, dy), strict=True):
        np.testing.assert_array_equal(a, b)
        a.flags.writeable = False
    for came, right in zip(everything(changed[:3], changed[3], attrs, "c"), expected, strict=True):
        np.testing.assert_array_equal(came, right)


@pytest.mark.parametrize("name", ["all together", "depthwise"])
def test_repeated_memory(name):
    arrays, attrs = arguments(name, np.float32)
    repeated = [np.broadcast_to(a.take([0], 0).take([0], -1), a.shape) for a in arrays]
    dy = np.broadcast_to(np.float32(1.5), conv2d(*arrays, **attrs).shape)
    expected = everything([a.copy() for a in repeated], dy.copy(), attrs, "c")
    for came, right in zip(everything(repeated, dy, attrs, "c"), expected, strict=True):
        np.testing.assert_array_equal(came, right)


def test_images_stay_channels_last():
    arrays, attrs = arguments("all together", np.float32)
    y, dx, dw, _ = everything(arrays, None, attrs, "c")
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    assert dx.transpose(0, 2, 3, 1).flags.c_contiguous
    assert dw.flags.c_contiguous  # like the weight, which the optimiser adds it to
