"""The C kernels of 3 x 3 convolution (Lavin & Gray 2015): within the rounding of their own algorithm on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from convolutions import PLAIN, everything, needs_kernels, random_like
from minimal_filtering import sizes_of_filters, sizes_of_results

import minivision as mv
from minivision import kernels

pytestmark = needs_kernels

# x, outputs, padding: odd and even sides, channels around vectors and panels, tiles beyond a block, results beyond x.
CASES = {
    "even": ((2, 32, 14, 12), 48, ((1, 1), (1, 1))),
    "odd, no padding": ((1, 17, 23, 21), 33, ((0, 0), (0, 0))),
    "uneven padding, one row": ((2, 16, 1, 90), 16, ((1, 1), (3, 0))),
    "many channels": ((2, 150, 12, 12), 110, ((1, 1), (1, 1))),
    "many tiles": ((9, 16, 19, 18), 20, ((1, 1), (1, 1))),
}


@pytest.fixture(autouse=True)
def _as_it_was():
    isa, threads = kernels.isa(), mv.get_num_threads()
    yield
    kernels.use_isa(isa)
    mv.set_num_threads(threads)


def drawn(name, dtype):
    x, outputs, padding = CASES[name]
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in (x, (outputs, x[1], 3, 3), (outputs,))]
    attrs = {**PLAIN, "padding": padding}
    return arrays, random_like(everything(arrays, None, attrs, "numpy")[0]), attrs


@pytest.mark.parametrize("isa", kernels.isas())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_results_and_gradients_are_within_the_rounding_of_the_algorithm(name, dtype, isa):
    arrays, dy, attrs = drawn(name, dtype)
    (x, weight, bias), padding = arrays, attrs["padding"]
    back = tuple((2 - before, 2 - after) for before, after in padding)
    if any(before > 2 for pair in padding for before in pair):  # a gradient then begins inside dy: cut, not padded
        back = tuple((max(b, 0), max(a, 0)) for b, a in back)
    cut = dy[:, :, max(padding[0][0] - 2, 0) :, max(padding[1][0] - 2, 0) :]
    flipped = weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    sizes = [
        sizes_of_results(x, weight, *dy.shape[2:], padding) + np.abs(bias)[:, None, None],
        sizes_of_results(cut, flipped, *x.shape[2:], back),
        sizes_of_filters(x, dy, padding),
    ]
    exact = everything([a.astype(np.float64) for a in arrays], dy.astype(np.float64), attrs, "numpy")
    terms = [x.shape[1], len(weight), dy[:, 0].size // 4 + 4]
    kernels.use_isa(isa)
    for came, right, size, n in zip(everything(arrays, dy, attrs, "c")[:3], exact, sizes, terms, strict=False):
        unit = (n + 12) * np.finfo(dtype).eps / 2  # additions: those of the sum, 4 for each of three turnings
        assert came.dtype == dtype
        assert np.all(np.abs(came - right) <= (1 if dtype == np.float32 else 2) * unit * size)


@pytest.mark.skipif(not kernels.has_openmp(), reason="of threads, and this build, without OpenMP, has only one")
@pytest.mark.parametrize("name", ["many channels", "many tiles"])
def test_same_bits_for_any_number_of_threads(name):
    arrays, dy, attrs = drawn(name, np.float32)
    runs = []
    for threads in (1, 2, 3):
        mv.set_num_threads(threads)
        runs.append([a.tobytes() for a in everything(arrays, dy, attrs, "c")])
    assert runs[0] == runs[1] == runs[2]


def test_the_algorithm_is_in_use():
    """It rounds otherwise than the sum of products does, which one pixel's share of a batch below its size still takes."""
    arrays, dy, attrs = drawn("even", np.float32)
    few = everything([arrays[0][:1], *arrays[1:]], dy[:1], attrs, "c")[0]
    many = everything(arrays, dy, attrs, "c")[0][:1]
    np.testing.assert_allclose(few, many, rtol=0, atol=1e-4)
    assert not np.array_equal(few, many)


def test_what_is_not_a_number_stays_in_its_tiles():
    arrays, dy, attrs = drawn("even", np.float32)
    arrays[0][0, 3, 6, 6] = np.nan
    y = everything(arrays, dy, attrs, "c")[0]
    assert np.isnan(y[0, :, 5:8, 5:8]).all()
    assert np.isfinite(y[0, :, :4]).all()
    assert np.isfinite(y[1]).all()
