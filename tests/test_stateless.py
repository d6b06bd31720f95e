"""A module called with other tensors in the place of its parameters."""

from __future__ import annotations

import numpy as np
import pytest

import minivision as mv
from minivision import nn
from minivision.nn.utils import functional_call

RNG = np.random.default_rng(0)


def others(module):
    """New values for every parameter, made by an operation."""
    return {name: mv.tensor(RNG.standard_normal(p.shape), requires_grad=True) * 2.0 for name, p in module.named_parameters()}


def mlp():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.ModuleDict({"last": nn.Linear(4, 2)})["last"]).double()


def test_it_is_the_module_with_those_values_loaded_and_leaves_it_as_it_was():
    model, x = mlp(), mv.tensor(RNG.standard_normal((5, 3)))
    own, before = dict(model.named_parameters()), model.state_dict()
    given = others(model)
    came = functional_call(model, given, (x,))
    assert all(p is own[name] for name, p in model.named_parameters())
    assert list(own) == [name for name, _ in model.named_parameters()]
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(values, before[name])
    model.load_state_dict({name: t.data for name, t in given.items()})
    np.testing.assert_array_equal(came.data, model(x).data)


def test_what_is_not_named_stays_the_modules_own():
    model, x = mlp(), mv.tensor(RNG.standard_normal((5, 3)))
    bias = mv.tensor(np.array([3.0, -1.0]))
    own = model[2].bias.data.copy()
    np.testing.assert_allclose(functional_call(model, {"2.bias": bias}, x).data, model(x).data - own + bias.data, rtol=1e-14)


def test_gradients_go_to_the_tensors_to_the_second_order_too():
    model, x = mlp(), RNG.standard_normal((5, 3))
    names, values = zip(*[(n, mv.tensor(p.data.copy(), requires_grad=True)) for n, p in model.named_parameters()], strict=True)
    assert mv.gradcheck(lambda *w: functional_call(model, dict(zip(names, w, strict=True)), x), values, second_order=True)
    assert all(p.grad is None for p in model.parameters())


def test_a_shared_parameter_is_replaced_wherever_it_stands():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)
            self.two.weight = self.one.weight

        def forward(self, x):
            return self.two(self.one(x))

    model, x = Tied(), mv.tensor(RNG.standard_normal((2, 3)).astype(np.float32))
    w = mv.tensor(np.eye(3, dtype=np.float32))
    want = x.data + model.one.bias.data + model.two.bias.data
    for name in ("one.weight", "two.weight"):
        np.testing.assert_array_equal(functional_call(model, {name: w}, (x,)).data, want)
    assert model.one.weight is model.two.weight
    assert isinstance(model.one.weight, nn.Parameter)
    with pytest.raises(ValueError, match=r"one\.weight and two\.weight are one parameter"):
        functional_call(model, {"one.weight": w, "two.weight": w * 2.0}, (x,))


def test_buffers_may_be_given_and_are_then_the_ones_that_training_moves():
    model, x = nn.BatchNorm1d(3), mv.tensor(RNG.standard_normal((6, 3)).astype(np.float32))
    mean = mv.tensor(np.ones(3, np.float32))
    functional_call(model, {"running_mean": mean}, x)
    np.testing.assert_array_equal(model.running_mean.data, np.zeros(3))
    np.testing.assert_allclose(mean.data, 0.9 + 0.1 * x.data.mean(0), rtol=1e-6)


def test_the_module_is_whole_after_an_error_and_mistakes_are_named():
    model = mlp()
    own, given = dict(model.named_parameters()), others(model)
    with pytest.raises(mv.ShapeError):
        functional_call(model, given, mv.tensor(np.zeros((5, 4))))
    with pytest.raises(ValueError, match="Sequential has no parameter or buffer 'head'"):
        functional_call(model, {**given, "head": given["2.bias"]}, mv.tensor(np.zeros((5, 3))))
    with pytest.raises(mv.ShapeError, match=r"2\.bias of Sequential has shape \(2,\)"):
        functional_call(model, {"2.bias": given["0.bias"]}, mv.tensor(np.zeros((5, 3))))
    with pytest.raises(TypeError, match=r"0\.bias is to be a Tensor, got ndarray"):
        functional_call(model, {"0.bias": np.zeros(4)}, mv.tensor(np.zeros((5, 3))))
    assert all(p is own[name] for name, p in model.named_parameters())


def test_keywords_reach_the_module():
    model = nn.BatchNorm1d(3)
    x = mv.tensor(RNG.standard_normal((6, 3)).astype(np.float32))
    y = functional_call(model, dict(model.named_parameters()), (x,), {"activation": "relu"})
    assert y.data.min() == 0.0


def test_a_layer_whose_weight_is_made_of_others_takes_others():
    layer, x = nn.utils.weight_norm(nn.Linear(3, 2)).double(), RNG.standard_normal((4, 3))
    g = mv.tensor(np.array([[2.0], [0.5]]), requires_grad=True)
    v = layer.weight_v.data
    want = x @ (g.data * v / np.linalg.norm(v, axis=1, keepdims=True)).T + layer.bias.data
    y = functional_call(layer, {"weight_g": g}, (x,))
    np.testing.assert_allclose(y.data, want, rtol=1e-12)
    y.sum().backward()
    assert g.grad is not None
    assert layer.weight_g.grad is None
    np.testing.assert_allclose(layer(x).data, x @ layer.weight.data.T + layer.bias.data, rtol=1e-12)
