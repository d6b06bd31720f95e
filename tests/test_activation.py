"""Activations: their values at chosen points, their corners, their settings; the layers and what they print."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minivision as mv
import minivision.functional as F
from minivision import nn
from minivision.backend import backend
from minivision.kernels import AVAILABLE
from minivision.op import OPS

BACKENDS = ["numpy", *(["c"] if AVAILABLE else [])]


def slopes(function, *values: float) -> np.ndarray:
    x = mv.Tensor(np.array(values), requires_grad=True)
    function(x).sum().backward()
    return x.grad.data


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


# ---------------------------------------------------------------------------------------------------------- meaning

POINTS = (-2.0, -0.5, 0.0, 0.5, 3.0)
FORMULAS = {
    "relu": (F.relu, lambda x: max(x, 0.0)),
    "relu6": (lambda x: F.relu6(3.0 * x), lambda x: min(max(3.0 * x, 0.0), 6.0)),
    "leaky_relu": (F.leaky_relu, lambda x: x if x > 0 else 0.01 * x),
    "elu": (lambda x: F.elu(x, 0.5), lambda x: x if x > 0 else 0.5 * (math.exp(x) - 1.0)),
    "celu": (lambda x: F.celu(x, 0.5), lambda x: x if x > 0 else 0.5 * (math.exp(x / 0.5) - 1.0)),
    "hardtanh": (F.hardtanh, lambda x: min(max(x, -1.0), 1.0)),
    "hardswish": (lambda x: F.hardswish(2.0 * x), lambda x: 2.0 * x * min(max(2.0 * x + 3.0, 0.0), 6.0) / 6.0),
    "hardsigmoid": (lambda x: F.hardsigmoid(2.0 * x), lambda x: min(max(2.0 * x + 3.0, 0.0), 6.0) / 6.0),
    "sigmoid": (F.sigmoid, sigmoid),
    "logsigmoid": (F.logsigmoid, lambda x: math.log(sigmoid(x))),
    "silu": (F.silu, lambda x: x * sigmoid(x)),
    "quick_gelu": (F.quick_gelu, lambda x: x * sigmoid(1.702 * x)),
    "gelu": (F.gelu, lambda x: x * 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))),
    "mish": (F.mish, lambda x: x * math.tanh(math.log(1.0 + math.exp(x)))),
    "softplus": (lambda x: F.softplus(x, 2.0, 5.0), lambda x: x if 2.0 * x > 5.0 else math.log(1.0 + math.exp(2.0 * x)) / 2.0),
    "softsign": (F.softsign, lambda x: x / (1.0 + abs(x))),
    "threshold": (lambda x: F.threshold(x, 0.5, 7.0), lambda x: x if x > 0.5 else 7.0),
    "tanh": (F.tanh, lambda x: (math.exp(2.0 * x) - 1.0) / (math.exp(2.0 * x) + 1.0)),
}


@pytest.mark.parametrize("by", BACKENDS)
@pytest.mark.parametrize("name", FORMULAS)
def test_values_at_points(name, by):
    function, formula = FORMULAS[name]
    expected = [formula(x) for x in POINTS]
    with backend(by):
        np.testing.assert_allclose(function(mv.Tensor(np.array(POINTS))).data, expected, rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(function(np.array(POINTS)), expected, rtol=1e-14, atol=1e-15)


# What happens on a corner is torch's choice: (function, points, slopes there).
CORNERS = {
    "relu": (F.relu, (0.0, -0.0), (0.0, 0.0)),
    "relu6": (F.relu6, (0.0, 6.0), (0.0, 0.0)),
    "hardtanh": (F.hardtanh, (-1.0, 1.0), (0.0, 0.0)),
    "leaky_relu": (F.leaky_relu, (0.0,), (0.01,)),
    "elu": (lambda x: F.elu(x, 2.0), (0.0,), (2.0,)),
    "hardsigmoid": (F.hardsigmoid, (-3.0, 3.0), (0.0, 0.0)),
    "hardswish": (F.hardswish, (-3.0, 3.0), (0.0, 1.0)),
    "threshold": (lambda x: F.threshold(x, 1.0, 5.0), (1.0,), (0.0,)),
    "softplus": (lambda x: F.softplus(x, 2.0, 3.0), (1.5,), (sigmoid(3.0),)),
    "prelu": (lambda x: F.prelu(x, np.array([0.25])), (0.0,), (0.25,)),
}


@pytest.mark.parametrize("by", BACKENDS)
@pytest.mark.parametrize("name", CORNERS)
def test_slopes_on_corners(name, by):
    function, points, expected = CORNERS[name]
    with backend(by):
        np.testing.assert_allclose(slopes(function, *points), expected, rtol=1e-15)


@pytest.mark.parametrize("by", BACKENDS)
@pytest.mark.parametrize("name", ["relu", "hardtanh", "hardsigmoid", "hardswish", "leaky_relu"])
def test_a_flat_piece_stops_an_infinite_cotangent(name, by):
    """0 times infinity would be NaN: a piece chooses, it does not multiply."""
    with backend(by):
        x = mv.Tensor(np.array([-5.0, 0.5]), requires_grad=True)
        OPS[name](x).backward(np.array([math.inf, 1.0]))
    assert x.grad.data[0] == (math.inf if name == "leaky_relu" else 0.0)


@pytest.mark.parametrize("by", BACKENDS)
def test_far_out(by):
    """Nothing overflows on the way, and what is small keeps its digits."""
    with backend(by):
        far = np.array([-1000.0, -50.0, 50.0, 1000.0])
        np.testing.assert_allclose(F.sigmoid(far), [0.0, math.exp(-50.0), 1.0, 1.0], rtol=1e-15)
        np.testing.assert_allclose(F.softplus(far, threshold=math.inf), [0.0, math.exp(-50.0), 50.0, 1000.0], rtol=1e-15)
        np.testing.assert_allclose(F.logsigmoid(far), [-1000.0, -50.0, -math.exp(-50.0), 0.0], rtol=1e-15)
        np.testing.assert_allclose(F.mish(far), [0.0, -50.0 * math.exp(-50.0), 50.0, 1000.0], rtol=1e-15)
        np.testing.assert_allclose(F.silu(far), [0.0, -50.0 * math.exp(-50.0), 50.0, 1000.0], rtol=1e-15)
        np.testing.assert_allclose(F.elu(np.array([-1e-12, -1e-300])), [-1e-12, -1e-300], rtol=1e-12)
        for function in (F.silu, F.mish, F.gelu, F.softplus, F.elu):
            np.testing.assert_allclose(slopes(function, -800.0, 800.0), [0.0, 1.0], atol=1e-15)


@pytest.mark.parametrize("by", BACKENDS)
def test_gelu_keeps_its_digits_far_below_zero(by):
    """Torch's 1 + erf has none left at -9. The rounding of -x / sqrt 2 alone moves erfc by x^2 units in the last place."""
    with backend(by):
        for x in (-2.0, -6.0, -9.0):
            right = 0.5 * x * math.erfc(-x / math.sqrt(2.0))
            np.testing.assert_allclose(F.gelu(np.array(x)), right, rtol=(x * x + 32.0) * 2.0**-52)
        np.testing.assert_allclose(F.gelu(np.array([1.0]), "tanh"), 0.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * 1.044715)))


def test_selu_keeps_mean_0_and_variance_1():
    """Its fixed point, by sums over the normal distribution; Klambauer et al. 2017, theorem 1."""
    x, step = np.linspace(-10.0, 10.0, 100_001, retstep=True)
    y, weight = F.selu(x), np.exp(-0.5 * x * x) * step / math.sqrt(2.0 * math.pi)
    assert abs(weight @ y) < 1e-8
    assert abs(weight @ (y * y) - 1.0) < 1e-8


def test_prelu_has_a_slope_for_each_channel():
    x, w = mv.Tensor(np.full((2, 3, 2, 2), -1.0), requires_grad=True), mv.Tensor(np.array([0.1, 0.2, 0.3]), requires_grad=True)
    y = F.prelu(x, w)
    np.testing.assert_allclose(y.data[1, :, 0, 0], [-0.1, -0.2, -0.3])
    y.sum().backward()
    np.testing.assert_allclose(w.grad.data, [-8.0, -8.0, -8.0])
    np.testing.assert_allclose(x.grad.data[0, :, 1, 1], [0.1, 0.2, 0.3])
    np.testing.assert_allclose(F.prelu(np.array(-2.0), np.array([0.5])), -1.0)
    np.testing.assert_allclose(F.prelu(np.array([-2.0, 4.0]), np.array(0.5)), [-1.0, 4.0])
    with pytest.raises(ValueError, match="one for each of 3 channels"):
        F.prelu(x, np.ones(2))


def test_glu_gates_one_half_by_the_other():
    x = np.array([[1.0, -2.0, 0.0, 3.0]])
    np.testing.assert_allclose(F.glu(x), [[0.5, -2.0 * sigmoid(3.0)]], rtol=1e-15)
    np.testing.assert_allclose(F.glu(x.T, dim=0), [[0.5], [-2.0 * sigmoid(3.0)]], rtol=1e-15)
    with pytest.raises(ValueError, match=r"axis -1 must have an even size to be halved, got \(2, 3\)"):
        F.glu(np.ones((2, 3)))


def test_softmin_prefers_the_smallest():
    x = np.array([0.0, math.log(3.0)])
    np.testing.assert_allclose(F.softmin(x), [0.75, 0.25], rtol=1e-15)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: F.gelu(x, "sigmoid"), 'approximate is "none" or "tanh"'),
        (lambda x: F.hardtanh(x, 1.0, 1.0), "min_val must be below max_val, got 1.0 and 1.0"),
        (lambda x: F.celu(x, 0.0), "alpha must be positive, got 0.0"),
        (lambda x: F.gumbel_softmax(x, tau=0.0), "temperature tau must be positive, got 0.0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((2, 2)))


# --------------------------------------------------------------------------------------------------- gumbel softmax


def test_gumbel_softmax_draws_each_class_with_its_probability():
    """Jang et al. 2017, eq. 1: the largest of logits plus Gumbel noise is a draw from their softmax."""
    mv.manual_seed(0)
    n, p = 20_000, np.array([0.6, 0.3, 0.1])
    y = F.gumbel_softmax(np.log(np.tile(p, (n, 1))), hard=True)
    assert set(np.unique(y)) == {0.0, 1.0}
    np.testing.assert_array_equal(y.sum(axis=1), np.ones(n))
    assert (np.abs(y.mean(axis=0) - p) < 4.0 * np.sqrt(p * (1.0 - p) / n)).all()


def test_gumbel_softmax_gets_harder_as_tau_falls():
    sharpest = []
    for tau in (5.0, 1.0, 0.1):
        mv.manual_seed(1)
        sharpest.append(F.gumbel_softmax(np.zeros((200, 4)), tau=tau, dim=-1).max(axis=-1).mean())
    assert sharpest[0] < sharpest[1] < sharpest[2]


def test_the_hard_sample_has_the_gradient_of_the_soft_one():
    weights, grads = np.random.default_rng(3).standard_normal((5, 4)), []
    for hard in (False, True):
        mv.manual_seed(2)
        x = mv.Tensor(np.zeros((5, 4)), requires_grad=True)
        y = F.gumbel_softmax(x, tau=0.7, hard=hard, dim=0)
        (y * weights).sum().backward()
        grads.append(x.grad.data)
    np.testing.assert_array_equal(y.data.sum(axis=0), np.ones(4))
    np.testing.assert_allclose(grads[0], grads[1], rtol=1e-14)
    assert np.abs(grads[0]).max() > 0.01


# ----------------------------------------------------------------------------------------------------------- layers

# layer -> what it prints, and the function it stands for
LAYERS = [
    (nn.ReLU(), "ReLU()", F.relu),
    (nn.ReLU(inplace=True), "ReLU(inplace=True)", F.relu),
    (nn.ReLU6(), "ReLU6()", F.relu6),
    (nn.LeakyReLU(0.2), "LeakyReLU(negative_slope=0.2)", lambda x: F.leaky_relu(x, 0.2)),
    (nn.PReLU(5), "PReLU(num_parameters=5)", lambda x: F.prelu(x, np.full(5, 0.25))),
    (nn.ELU(alpha=0.5), "ELU(alpha=0.5)", lambda x: F.elu(x, 0.5)),
    (nn.CELU(2.0), "CELU(alpha=2.0)", lambda x: F.celu(x, 2.0)),
    (nn.SELU(), "SELU()", F.selu),
    (nn.GELU(), "GELU(approximate='none')", F.gelu),
    (nn.GELU("tanh"), "GELU(approximate='tanh')", lambda x: F.gelu(x, "tanh")),
    (nn.QuickGELU(), "QuickGELU()", F.quick_gelu),
    (nn.SiLU(), "SiLU()", F.silu),
    (nn.Mish(), "Mish()", F.mish),
    (nn.Hardswish(), "Hardswish()", F.hardswish),
    (nn.Hardsigmoid(), "Hardsigmoid()", F.hardsigmoid),
    (nn.Hardtanh(-2.0, 0.5), "Hardtanh(min_val=-2.0, max_val=0.5)", lambda x: F.hardtanh(x, -2.0, 0.5)),
    (nn.Sigmoid(), "Sigmoid()", F.sigmoid),
    (nn.LogSigmoid(), "LogSigmoid()", F.logsigmoid),
    (nn.Tanh(), "Tanh()", F.tanh),
    (nn.Softplus(2.0, 3.0), "Softplus(beta=2.0, threshold=3.0)", lambda x: F.softplus(x, 2.0, 3.0)),
    (nn.Softsign(), "Softsign()", F.softsign),
    (nn.GLU(dim=-2), "GLU(dim=-2)", lambda x: F.glu(x, -2)),
    (nn.Softmax(1), "Softmax(dim=1)", lambda x: F.softmax(x, 1)),
    (nn.LogSoftmax(-2), "LogSoftmax(dim=-2)", lambda x: F.log_softmax(x, -2)),
    (nn.Softmin(0), "Softmin(dim=0)", lambda x: F.softmin(x, 0)),
    (nn.Threshold(0.1, 20.0), "Threshold(threshold=0.1, value=20.0)", lambda x: F.threshold(x, 0.1, 20.0)),
]


@pytest.mark.parametrize(("layer", "text", "function"), LAYERS, ids=[text for _, text, _ in LAYERS])
def test_layers(layer, text, function):
    x = np.random.default_rng(0).standard_normal((2, 5, 4, 3))
    before = x.copy()
    np.testing.assert_array_equal(layer.double()(mv.Tensor(x)).data, function(x))
    np.testing.assert_array_equal(x, before)
    assert repr(layer) == text


def test_prelu_learns_its_weight():
    layer = nn.PReLU()
    assert [(name, p.shape) for name, p in layer.named_parameters()] == [("weight", (1,))]
    layer(mv.Tensor(np.array([[-2.0, 3.0]], np.float32))).sum().backward()
    assert layer.weight.grad.data.tolist() == [-2.0]
    assert nn.PReLU(3, init=0.5).weight.data.tolist() == [0.5, 0.5, 0.5]
