"""The kernels of elementwise.inc.c: their definitions, memory layouts, settings and threads. Sizes and bounds: curves.py."""

from __future__ import annotations

import numpy as np
import pytest
from curves import CURVES, SETTINGS, exact, line

import minivision as mv
from minivision import kernels
from minivision.kernels._library import function, pointer
from minivision.kernels.elementwise import FUNCTIONS
from minivision.op import OPS
from minivision.proof.backends import each_isa

pytestmark = pytest.mark.skipif(not kernels.AVAILABLE, reason=f"the C kernels are not built on this machine: {kernels.REASON}")
DTYPES = [np.float32, np.float64]
X = np.random.default_rng(1).standard_normal((2, 3, 4, 5)).astype(np.float32) * 3.0


def test_every_function_has_a_curve_a_kernel_and_an_operation():
    assert set(FUNCTIONS) == CURVES.keys()
    for name in FUNCTIONS:
        assert OPS[name].kernel is getattr(kernels, name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_formulas_in_c_equal_python_s(name, dtype):
    """Computed in double and rounded once: half a unit in the last place of float32, a few of float64."""
    x, (a, b) = line(dtype), (*SETTINGS.get(name, {}).values(), 0.0, 0.0)[:2]
    y = np.empty_like(x)
    function("pointwise_definition", x.dtype)(FUNCTIONS.index(name), x.size, pointer(x), a, b, pointer(y))
    bound = (0.5 + 4.0 * (dtype == np.float64)) * np.finfo(dtype).eps
    np.testing.assert_allclose(y, exact(name, dtype)[0], rtol=0, atol=bound * 40.0)
    np.testing.assert_allclose(
        y, OPS[name].definition(x, **SETTINGS.get(name, {}))[0], rtol=0, atol=4 * np.finfo(dtype).eps * 40.0
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_numpy_pair_s_values_and_slopes(name, dtype):
    """The other backend over the same line; `x (1 - s)` and the like cancel there, so 16 units of the argument."""
    x = line(dtype)
    y, kept = OPS[name].definition(x, **SETTINGS.get(name, {}))
    dx = OPS[name].vjp(np.ones_like(x), kept, **SETTINGS.get(name, {}))
    for came, right in zip((y, dx), exact(name, dtype), strict=True):
        assert (np.abs(came - right) <= 16 * np.finfo(dtype).eps * np.maximum(1.0, np.abs(x))).all()


@pytest.mark.parametrize("name", ["relu", "silu", "tanh"])
def test_channels_last_stays_channels_last(name):
    """Images with NHWC memory: no copy to another order on the way, forward or back."""
    image = X.transpose(0, 3, 1, 2)
    assert not image.flags.c_contiguous
    y, kept = OPS[name].forward((image,), {})
    (dx,) = OPS[name].pull(np.ones_like(image), kept, (True,), {})
    assert y.strides == dx.strides == image.strides
    mixed = OPS[name].pull(np.ascontiguousarray(np.ones_like(image)), kept, (True,), {})[0]
    np.testing.assert_array_equal(mixed, dx)
    np.testing.assert_array_equal(y.transpose(0, 2, 3, 1), OPS[name].forward((X,), {})[0])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_is_written_but_the_result(name):
    for view in (X[:, ::2], X[::-1, :, 1:3], np.broadcast_to(X[:1], X.shape)):
        before = X.tobytes()
        y, kept = OPS[name].kernel.forward(view)
        OPS[name].kernel.vjp(np.ones_like(view), kept, needs=(True,))
        assert X.tobytes() == before
        assert not np.shares_memory(y, X)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_other_element_types_are_left_to_numpy(name):
    for dtype in (np.float16, np.int64, np.longdouble):
        assert OPS[name].kernel.forward(np.ones(3, dtype)) is NotImplemented


def test_settings_reach_the_kernel():
    x = mv.Tensor(np.array([-2.0, 8.0]))
    with mv.backend("c"):
        np.testing.assert_allclose(mv.functional.leaky_relu(x, 0.5).data, [-1.0, 8.0])
        np.testing.assert_allclose(mv.functional.hardtanh(x, -0.25, 4.0).data, [-0.25, 4.0])
        np.testing.assert_allclose(mv.functional.softplus(x, 1.0, 3.0).data, [np.log1p(np.exp(-2.0)), 8.0])
        np.testing.assert_allclose(mv.functional.elu(x, 3.0).data, [3.0 * np.expm1(-2.0), 8.0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits_from_any_number_of_threads(dtype):
    x = np.random.default_rng(4).standard_normal(120_001).astype(dtype)  # more than stays on one thread
    for name in FUNCTIONS:
        found = []
        for count in (1, 2, 3):
            kernels.set_num_threads(count)
            y, kept = OPS[name].kernel.forward(x)
            found.append(y.tobytes() + OPS[name].kernel.vjp(x, kept, needs=(True,))[0].tobytes())
        assert len(set(found)) == 1, name


@pytest.mark.parametrize("dtype", DTYPES)
def test_subnormal_values_are_right(dtype):
    """Where exp(x) is below the smallest normal number: sigmoid, softplus, and silu, whose value is normal again.

    Two units of those numbers, as up to four operations round there.
    """
    info = np.finfo(dtype)
    x = np.linspace(np.log(info.smallest_subnormal) + 3.0, np.log(info.tiny) + 1.0, 50).astype(dtype)
    expected = np.exp(x.astype(np.longdouble))
    for _ in each_isa():
        for name in ("sigmoid", "softplus"):
            y = OPS[name].kernel.forward(x)[0]
            assert (np.abs(y - expected) <= 4 * info.eps * expected + 2 * info.smallest_subnormal).all()
        y = OPS["silu"].kernel.forward(x)[0]
        assert (np.abs(y - x * expected) <= -x * (4 * info.eps * expected + 2 * info.smallest_subnormal)).all()
