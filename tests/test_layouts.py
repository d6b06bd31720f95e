"""Layouts, aliases, element types: every operation on every kind of array that NumPy has; and the values at the edge."""

from __future__ import annotations

import numpy as np
import pytest

from minivision import kernels
from minivision.backend import backend
from minivision.op import OPS, Op
from minivision.proof.case import Case, normal
from minivision.proof.cases import CASES
from minivision.proof.layouts import LAYOUTS, complaints
from minivision.shapes import NUMPY_1
from minivision.tape import NUMPY, Tensor

BACKENDS = [
    "numpy",
    pytest.param("c", marks=pytest.mark.skipif(not kernels.AVAILABLE, reason=f"no kernels here: {kernels.REASON}")),
]
DTYPES = [np.float32, np.float64]


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPS)
def test_every_layout_gives_the_same(operation, dtype, name):
    for case in CASES[operation]:
        assert complaints(OPS[operation], case, dtype, name) == [], case.label


def test_layouts_hold_the_same_elements():
    a = np.arange(6.0).reshape(2, 3)
    for name, (layout, _) in LAYOUTS.items():
        changed = layout(a)
        assert changed.shape == a.shape
        assert "stride 0" in name or np.array_equal(changed, a), name
    assert LAYOUTS["Fortran"][0](a).strides == (8, 16)
    assert LAYOUTS["transposed"][0](a).strides == (8, 16)
    assert LAYOUTS["negative strides"][0](a).strides == (-24, -8)
    assert LAYOUTS["gaps"][0](a).strides == (112, 16)
    assert not LAYOUTS["read-only"][0](a).flags.writeable
    assert not LAYOUTS["packed records"][0](a).flags.aligned
    assert LAYOUTS["stride 0, last axis"][0](a).strides[-1] == 0


CASE = Case("matrix", normal((2, 3)))
CARELESS = {
    "reads past the strides": (lambda x: (np.ndarray(x.shape, x.dtype, x.tobytes("A")) * 2.0, ()), "another result"),
    "writes its argument": (lambda x: (np.multiply(x, 2.0, out=x if x.flags.writeable else None), ()), "the arguments changed"),
    "returns its argument": (lambda x: (x[:], ()), "the result is the argument's memory"),
}


@pytest.mark.parametrize("fault", CARELESS)
def test_a_careless_operation_is_noticed(fault):
    definition, complaint = CARELESS[fault]
    found = complaints(Op("careless", definition, lambda dy, kept: 2.0 * dy, None, False, ""), CASE, np.float64, "numpy")
    assert any(complaint in line for line in found)


def test_a_cotangent_in_another_type_or_shape_is_noticed():
    wrong_vjps = [lambda dy, kept: dy.ravel(), lambda dy, kept: None]
    wrong_vjps += [] if NUMPY_1 else [lambda dy, kept: dy.astype(np.float64)]  # on NumPy 1 the engine itself casts back
    for vjp in wrong_vjps:
        wrong = Op("careless", lambda x: (x * 2.0, ()), vjp, None, False, "")
        assert any("cotangent 0 is" in line for line in complaints(wrong, CASE, np.float32, "numpy"))


# ------------------------------------------------------------------------------------------------ values at the edge

UFUNCS = {made.name: function for function, made in NUMPY.items() if isinstance(function, np.ufunc) and isinstance(made, Op)}
# What has no function of NumPy: its values at NaN, infinity, -infinity, 0, -0.
AT_THE_EDGE = {
    "relu": [np.nan, np.inf, 0.0, 0.0, 0.0],
    "sigmoid": [np.nan, 1.0, 0.0, 0.5, 0.5],
    "silu": [np.nan, np.inf, np.nan, 0.0, -0.0],
    "gelu": [np.nan, np.inf, np.nan, 0.0, -0.0],
    "gelu_tanh": [np.nan, np.inf, np.nan, 0.0, -0.0],
    "erf": [np.nan, 1.0, -1.0, 0.0, -0.0],
    "erfc": [np.nan, 0.0, 2.0, 1.0, 1.0],
    "leaky_relu": [np.nan, np.inf, -np.inf, 0.0, -0.0],
    "hardtanh": [np.nan, 1.0, -1.0, 0.0, -0.0],
    "hardsigmoid": [np.nan, 1.0, 0.0, 0.5, 0.5],
    "hardswish": [np.nan, np.inf, np.nan, 0.0, -0.0],
    "elu": [np.nan, np.inf, -1.0, 0.0, -0.0],
    "mish": [np.nan, np.inf, np.nan, 0.0, -0.0],
}


def edges(dtype: type) -> np.ndarray:
    """NaN, infinities, zeros, subnormals, the smallest and the largest numbers, and ordinary ones."""
    info = np.finfo(dtype)
    positive = [np.inf, 0.0, info.smallest_subnormal, info.tiny / 2, info.tiny, info.max, 1.0, 0.75, 3.0]
    return np.array([np.nan, *positive, *(-np.array(positive, dtype))], dtype)


def bits(x: np.ndarray) -> list[object]:
    """The bytes of each element, every NaN alike: -0 is not 0."""
    return ["nan" if np.isnan(value) else value.tobytes() for value in np.ravel(x)]


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", sorted(UFUNCS))
def test_values_at_the_edge_are_numpys_to_the_bit(operation, dtype, name):
    ufunc, x = UFUNCS[operation], edges(dtype)
    arguments = [x] if ufunc.nin == 1 else list(np.meshgrid(x, x))
    with np.errstate(all="ignore"), backend(name):
        assert bits(OPS[operation](*map(Tensor, arguments)).data) == bits(ufunc(*arguments))


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_selections_at_the_edge_are_numpys_to_the_bit(dtype, name):
    x = edges(dtype)
    a, b = np.meshgrid(x, x)
    with np.errstate(all="ignore"), backend(name):
        assert bits(OPS["where"](a > b, a, b)) == bits(np.where(a > b, a, b))
        assert bits(OPS["clamp"](x, min=-1.0, max=1.0)) == bits(np.clip(x, -1.0, 1.0))
        for target in DTYPES:
            assert bits(OPS["cast"](x, dtype=np.dtype(target))) == bits(x.astype(target))
        for reduction, function in {"sum": np.sum, "max": np.max, "min": np.min}.items():
            assert bits(OPS[reduction](a, axis=0)) == bits(function(a, axis=0))


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", AT_THE_EDGE)
def test_activations_at_the_edge(operation, dtype, name):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], dtype)
    with np.errstate(all="ignore"), backend(name):
        np.testing.assert_array_equal(OPS[operation](x), np.array(AT_THE_EDGE[operation], dtype))


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", ["silu", "gelu", "gelu_tanh"])
def test_activations_keep_subnormals_and_the_sign_of_zero(operation, dtype, name):
    """Near 0 each is x / 2; an engine that flushes subnormals to zero, or a sum that loses -0, would show here."""
    info = np.finfo(dtype)
    x = np.array([info.tiny / 2, -info.tiny / 2, info.smallest_subnormal * 4, 0.0, -0.0], dtype)
    with np.errstate(all="ignore"), backend(name):
        assert bits(OPS[operation](x)) == bits(x / 2)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("operation", ["softmax", "log_softmax", "layer_norm"])
def test_nan_stays_in_its_row(operation, name):
    x = np.random.default_rng(0).standard_normal((4, 5))
    x[1, 2], x[2, 0] = np.nan, np.inf
    with np.errstate(all="ignore"), backend(name):
        y = OPS[operation](x, *((None, None) if operation == "layer_norm" else ()))
        clean = OPS[operation](x[[0, 3]], *((None, None) if operation == "layer_norm" else ()))
    assert np.isnan(y[1:3]).any(axis=1).all()
    np.testing.assert_allclose(y[[0, 3]], clean, rtol=1e-15)


def test_infinity_is_a_legal_logit():
    """-inf shuts a class out, as masks do."""
    x = np.array([[0.0, -np.inf, 1.0]])
    np.testing.assert_allclose(OPS["softmax"](x), [[1 / (1 + np.e), 0.0, np.e / (1 + np.e)]], rtol=1e-15)
    np.testing.assert_allclose(OPS["cross_entropy"](x, np.array([2]), None), [np.log1p(np.exp(-1.0))], rtol=1e-15)
