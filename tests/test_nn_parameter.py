"""Parameters that are drawn when they are needed, and the rules that draw them."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from scipy import stats

import minivision as mv
from minivision import nn
from minivision.nn import init
from minivision.nn.parameter import without_values


def mlp():
    return nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.Linear(7, 7), nn.Embedding(3, 7))


def drawn(rule, shape, seed=3):
    mv.manual_seed(seed)
    return nn.Parameter(shape, rule).data


def test_building_300_million_parameters_takes_no_memory():
    tracemalloc.start()
    model = nn.ModuleList([nn.Sequential(nn.Linear(1024, 4096), nn.Linear(4096, 1024), nn.LayerNorm(1024)) for _ in range(36)])
    assert mv.count_parameters(model) == 36 * (2 * 1024 * 4096 + 4096 + 3 * 1024)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6


def test_shape_and_type_are_known_before_the_values():
    p = nn.Parameter((2, 3), init.normal())
    assert (p.shape, p.ndim, p.dtype, p.size(), p.requires_grad, p.is_filled()) == ((2, 3), 2, np.float32, (2, 3), True, False)
    assert repr(p) == "Parameter(shape=(2, 3), float32, values not drawn yet)"
    assert not p.is_filled()
    assert (p.data.shape, p.data.dtype, p.is_filled(), p.data is p.data) == ((2, 3), np.float32, True, True)
    assert "made by" not in repr(p)
    assert "requires_grad=True" in repr(p)


def test_the_order_of_reading_changes_no_value():
    mv.manual_seed(7)
    one = mlp()
    forward = {name: p.data for name, p in one.named_parameters()}
    mv.manual_seed(7)
    other = mlp()
    mv.manual_seed(8)
    backward = {name: p.data for name, p in reversed(list(other.named_parameters()))}
    third = mlp()
    for name, p in third.named_parameters():
        np.testing.assert_array_equal(forward[name], backward[name])
        assert name.startswith("1.") or not (p.data == forward[name]).all()  # another seed; LayerNorm's are constants
    assert not (forward["2.weight"] == forward["3.weight"][:1]).any()  # each parameter has its own seed


def test_the_element_type_changes_no_value():
    mv.manual_seed(7)
    early = mlp().double()
    mv.manual_seed(7)
    late = mlp()
    for p, q in zip(early.parameters(), late.parameters(), strict=True):
        assert (p.dtype, q.dtype) == (np.float64, np.float32)
        np.testing.assert_array_equal(p.data, q.data)


def test_values_given_are_copied_and_must_be_floats():
    array = np.ones((2, 2), np.float64, order="F")
    p = nn.Parameter(array)
    array[...] = 5.0
    np.testing.assert_array_equal(p.data, np.ones((2, 2)))
    assert (p.dtype, p.data.flags.c_contiguous) == (np.float64, True)
    assert (nn.Parameter(mv.tensor(2.5)).data, nn.Parameter([1.5]).dtype) == (np.float32(2.5), np.float32)
    with pytest.raises(TypeError, match="only floating-point"):
        nn.Parameter(np.arange(3))
    with pytest.raises(TypeError, match="only floating-point"):
        nn.Parameter((3,), dtype=np.int64)
    with pytest.raises(ValueError, match="a tuple of sizes"):
        nn.Parameter((2, -1))


def test_another_rule_may_be_given_before_or_after_the_values_were_read():
    p, q = nn.Parameter((3,)), nn.Parameter(np.zeros(3, np.float32))
    for parameter in (p, q):
        assert init.constant_(parameter, 2.5) is parameter
        np.testing.assert_array_equal(parameter.data, [2.5] * 3)
        version = parameter.version[0]
        init.ones_(parameter)
        np.testing.assert_array_equal(parameter.data, [1.0] * 3)
        assert parameter.version[0] > version
    assert (q.dtype, q.data.flags.writeable) == (np.float32, True)


def test_values_are_the_parameter_s_own():
    table = np.ones((2, 2), np.float32)
    p, q = nn.Parameter((2, 2), lambda rng, shape: table), nn.Parameter((1,), init.ones(), dtype=np.float64)
    p.data[...] = 5.0
    q.data[...] = 5.0  # a constant is drawn as one number, spread out
    np.testing.assert_array_equal(table, np.ones((2, 2)))


def test_a_rule_of_the_wrong_shape_is_an_error():
    with pytest.raises(ValueError, match=r"should give shape \(2, 3\), got \(3, 2\)"):
        _ = nn.Parameter((2, 3), lambda rng, shape: np.zeros((3, 2))).data


def test_assigning_values_needs_the_shape():
    with pytest.raises(ValueError, match=r"shape \(2,\) cannot take values of shape \(1,\)"):
        nn.Parameter((2,)).assign(np.zeros(1))


def test_without_values_reads_zeros_and_restores_the_plan_even_after_an_error():
    mv.manual_seed(1)
    p, q = nn.Parameter((1000, 1000, 1000), init.normal()), nn.Parameter(np.ones(2, np.float32))
    with without_values([p, q]):
        assert (p.data.strides, p.data[5, 5, 5], q.data[0]) == ((0, 0, 0), 0.0, 1.0)
    with pytest.raises(KeyError), without_values([p, q]):
        {}[p]
    assert (p.is_filled(), p.shape, q.data[1]) == (False, (1000, 1000, 1000), 1.0)


def test_training_reaches_a_parameter_that_was_never_read():
    layer = nn.Linear(3, 2)
    layer(mv.tensor(np.ones((4, 3), np.float32))).sum().backward()
    np.testing.assert_array_equal(layer.bias.grad.data, [4.0, 4.0])


# (rule, the distribution that it should draw from); the weights have fan_in 50 * 6 and fan_out 40 * 6
FAN_IN, FAN_OUT, SHAPE = 300, 240, (40, 50, 2, 3)
GAIN = math.sqrt(2.0 / (1.0 + 0.3**2))


def centred(s):
    return stats.uniform(-s, 2.0 * s)


RULES = {
    "uniform": (init.uniform(-2.0, 5.0), stats.uniform(-2.0, 7.0)),
    "normal": (init.normal(1.0, 0.5), stats.norm(1.0, 0.5)),
    "trunc_normal": (init.trunc_normal(0.5, 2.0, -1.0, 1.5), stats.truncnorm(-0.75, 0.5, 0.5, 2.0)),
    "trunc_normal, defaults": (init.trunc_normal(), stats.truncnorm(-2.0, 2.0)),
    "kaiming_uniform": (init.kaiming_uniform(a=0.3), centred(GAIN * math.sqrt(3.0 / FAN_IN))),
    "kaiming_uniform, fan_out": (init.kaiming_uniform(0.3, "fan_out"), centred(GAIN * math.sqrt(3.0 / FAN_OUT))),
    "kaiming_normal, relu": (init.kaiming_normal(nonlinearity="relu"), stats.norm(0.0, math.sqrt(2.0 / FAN_IN))),
    "kaiming_normal, tanh": (init.kaiming_normal(0.0, "fan_out", "tanh"), stats.norm(0.0, 5.0 / 3.0 / math.sqrt(FAN_OUT))),
    "xavier_uniform": (init.xavier_uniform(2.0), centred(2.0 * math.sqrt(6.0 / (FAN_IN + FAN_OUT)))),
    "xavier_normal": (init.xavier_normal(), stats.norm(0.0, math.sqrt(2.0 / (FAN_IN + FAN_OUT)))),
}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_draws_from_its_distribution(name):
    rule, distribution = RULES[name]
    values = drawn(rule, SHAPE)
    assert values.dtype == np.float32
    assert stats.kstest(values.ravel().astype(np.float64), distribution.cdf).pvalue > 0.01
    low, high = distribution.support()
    assert low - 1e-6 <= values.min() <= values.max() <= high + 1e-6
    assert (drawn(rule, SHAPE) == values).all()
    assert not (drawn(rule, SHAPE, seed=4) == values).all()


def test_torch_defaults_of_linear_and_conv():
    mv.manual_seed(0)
    linear, conv = nn.Linear(400, 300), nn.Conv2d(40, 60, (3, 5), groups=2)
    for layer, fan_in in ((linear, 400), (conv, 20 * 15)):
        s = 1.0 / math.sqrt(fan_in)
        for values in (layer.weight.data.ravel(), layer.bias.data):
            assert stats.kstest(values.astype(np.float64), centred(s).cdf).pvalue > 0.01


def test_rules_refuse_what_they_cannot_do():
    with pytest.raises(ValueError, match="should hold at least 1 %"):
        init.trunc_normal(0.0, 1.0, 5.0, 6.0)
    with pytest.raises(ValueError, match="at least 2 axes"):
        _ = nn.Parameter((3,), init.xavier_uniform()).data
    with pytest.raises(ValueError, match='"fan_in" or "fan_out"'):
        _ = nn.Parameter((3, 3), init.kaiming_uniform(mode="fan")).data
    with pytest.raises(ValueError, match="nonlinearity is one of"):
        init.calculate_gain("softsign")
