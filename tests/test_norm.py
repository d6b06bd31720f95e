"""RMS, group, instance and local response normalisation, weight and spectral normalisation: meaning, errors, layers."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

import minivision as mv
import minivision.functional as F
from minivision import nn
from minivision.op import OPS
from minivision.ops.indexing import Parts


def normal(*shape, seed=5):
    return np.random.default_rng(seed).standard_normal(shape)


# ------------------------------------------------------------------------------------------------------------- rows


@pytest.mark.parametrize("shape", [(6,), (4, 6), (3, 4, 6)])
def test_rms_norm_over_several_axes(shape):
    x, w = normal(3, 4, 6) + 2.0, normal(*shape, seed=6)
    axes = tuple(range(3 - len(shape), 3))
    expected = x / np.sqrt((x * x).mean(axes, keepdims=True) + 0.1) * w
    np.testing.assert_allclose(F.rms_norm(x, shape, w, 0.1), expected, rtol=1e-12)
    layer = nn.RMSNorm(shape, eps=0.1).double()
    layer.load_state_dict({"weight": w})
    np.testing.assert_allclose(layer(mv.Tensor(x)).data, expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rms_norm_takes_the_machine_epsilon(dtype):
    x = np.full((1, 4), 1e-4, dtype)
    eps = float(np.finfo(dtype).eps)
    y = F.rms_norm(x, (4,))
    assert y.dtype == dtype
    np.testing.assert_allclose(y, np.full((1, 4), 1e-4 / math.sqrt(1e-8 + eps)), rtol=1e-6)


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
@pytest.mark.parametrize(
    ("shape", "normalized"), [((2, 4), (5,)), ((2, 4), (2, 5)), ((4,), (2, 4)), ((2, 4), ())], ids=str
)  # fmt: skip
def test_a_normalized_shape_that_does_not_fit(name, shape, normalized):
    with pytest.raises(mv.ShapeError, match=f"{name}: normalized_shape is"):
        getattr(F, name)(np.zeros(shape), normalized)


def test_a_weight_of_several_axes_that_does_not_fit():
    for run in (F.layer_norm, F.rms_norm):
        with pytest.raises(mv.ShapeError, match=r"weight is \(3, 2\), but normalized_shape is \(2, 3\)"):
            run(np.zeros((4, 2, 3)), (2, 3), np.ones((3, 2)))


USES = {
    "both": lambda s, y: (s * s).sum() + y.sum() * 2.0 + (y * y * y).sum(),
    "the sum alone": lambda s, y: (s * s).sum(),
    "the normalised alone": lambda s, y: (y * y * y).sum(),
    "rows of both": lambda s, y: (s[0] * y[1]).sum(),
}


@pytest.mark.parametrize("shape", [(6,), (4, 6)])
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_sum_and_its_layer_norm_in_one_pass(shape, use):
    """Equal to the two one after the other, in both element types, with gradients of gradients."""
    arrays = [normal(2, 4, 6), normal(2, 4, 6, seed=6), normal(*shape, seed=7), normal(*shape, seed=8)]

    def separate(x, residual, *parameters):
        s = x + residual
        return s, F.layer_norm(s, shape, *parameters, 0.1)

    for dtype, tolerance in ((np.float32, 1e-4), (np.float64, 1e-11)):
        found = []
        for run in (separate, lambda x, r, *parameters: F.add_layer_norm(x, r, shape, *parameters, 0.1)):
            tensors = [mv.tensor(a.astype(dtype), requires_grad=True) for a in arrays]
            loss = use(*run(*tensors))
            first = mv.grad(loss, tensors[:2], create_graph=True)
            second = mv.grad((first[0] * first[1]).sum(), tensors[:2])
            found.append([a.numpy() for a in (loss.detach(), *(g.detach() for g in first), *second)])
        for expected, came in zip(*found, strict=True):
            np.testing.assert_allclose(came, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


def test_the_cotangents_of_a_sum_and_its_layer_norm_are_not_copied_together():
    x, residual, ds, dy = (normal(3, 4, seed=seed) for seed in range(4))
    both, kept = OPS["add_layer_norm"].forward((x, residual, None, None), {})
    parts = Parts(ds, 0, both.shape, (0, 1, 2)) + Parts(dy, 1, both.shape, (0, 1, 2))
    apart = OPS["add_layer_norm"].pull(parts, kept, (True, True, False, False), {})[0]
    assert parts.total is None
    np.testing.assert_array_equal(apart, OPS["add_layer_norm"].pull(np.stack([ds, dy]), kept, (True, True, False, False), {})[0])


def test_a_residual_of_another_shape():
    with pytest.raises(mv.ShapeError, match="input and residual are added: same shape"):
        F.add_layer_norm(np.zeros((2, 3, 4)), np.zeros((2, 4, 3)), (3, 4))


def test_layer_norm_2d_is_layer_norm_of_each_pixel():
    x, layer = normal(2, 5, 3, 4), nn.LayerNorm2d(5).double()
    layer.load_state_dict({"weight": normal(5), "bias": normal(5, seed=7)})
    expected = F.layer_norm(x.transpose(0, 2, 3, 1), (5,), layer.weight.data, layer.bias.data, 1e-6).transpose(0, 3, 1, 2)
    for memory in (x, np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)):
        np.testing.assert_allclose(layer(mv.Tensor(memory)).data, expected, rtol=1e-12, atol=1e-14)
    assert layer.eps == 1e-6
    assert list(nn.LayerNorm2d(5, affine=False).parameters()) == []


# --------------------------------------------------------------------------------------------------------- channels


@pytest.mark.parametrize("shape", [(2, 6), (2, 6, 5), (3, 6, 2, 4), (1, 6, 2, 2, 3)])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_group_norm(shape, groups):
    x, w, b = normal(*shape) * 3 + 1, normal(6, seed=1), normal(6, seed=2)
    layer = nn.GroupNorm(groups, 6, eps=0.2).double()
    layer.load_state_dict({"weight": w, "bias": b})
    y = layer(mv.Tensor(x)).data
    size = 6 // groups
    for n in range(shape[0]):
        for c in range(6):
            group = x[n, c // size * size : (c // size + 1) * size]
            expected = (x[n, c] - group.mean()) / math.sqrt(group.var() + 0.2) * w[c] + b[c]
            np.testing.assert_allclose(y[n, c], expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: F.group_norm(np.zeros((2, 6, 3)), 4), r"x has 6 channels at axis 1, which 4 groups do not divide"),
        (lambda: F.group_norm(np.zeros((2, 6, 3)), 0), "which 0 groups do not divide"),
        (lambda: F.group_norm(np.zeros((2, 6, 3)), 2, np.ones(3)), r"weight is \(3,\), but x has 6 channels"),
        (lambda: F.group_norm(np.zeros((1, 6)), 6), "has one value alone"),
        (lambda: F.group_norm(np.zeros(6), 2), "at least 2 axes"),
        (lambda: nn.GroupNorm(4, 6), "4 groups do not divide 6 channels"),
        (lambda: F.instance_norm(np.zeros((2, 6, 1))), "more than one value in each channel of an image"),
        (lambda: F.instance_norm(np.zeros((2, 6, 2)), np.zeros(5)), r"running_mean is \(5,\), but x has 6 channels"),
        (lambda: F.instance_norm(np.zeros((2, 6, 2)), use_input_stats=False), "running_mean and running_var are needed"),
        (lambda: F.local_response_norm(np.zeros((2, 6)), 3), "at least 3 axes"),
        (lambda: F.local_response_norm(np.zeros((2, 6, 2)), 0), "size counts channels, at least 1, got 0"),
        (lambda: nn.BatchNorm2d(3)(np.zeros((2, 3, 4))), "BatchNorm2d: x should have 4 axes, got 3"),
        (lambda: nn.BatchNorm1d(3)(np.zeros((2, 3, 4, 4))), "BatchNorm1d: x should have 2 or 3 axes, got 4"),
        (lambda: nn.InstanceNorm2d(3)(np.zeros((2, 3))), "InstanceNorm2d: x should have 3 or 4 axes, got 2"),
        (lambda: nn.InstanceNorm2d(4, affine=True)(np.zeros((2, 3, 2, 2), np.float32)), r"weight is \(4,\), but x has 3"),
    ],
)
def test_errors(run, message):
    with pytest.raises(ValueError, match=message):
        run()


def test_instance_norm_follows_the_mean_over_the_images():
    x = normal(3, 2, 4, 5)
    layer = nn.InstanceNorm2d(2, eps=0.1, momentum=0.3, track_running_stats=True).double()
    y = layer(mv.Tensor(x)).data
    mean, var = x.mean((2, 3), keepdims=True), x.var((2, 3), keepdims=True)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 0.1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.running_mean.data, 0.3 * mean.mean((0, 2, 3)), rtol=1e-12)
    unbiased = x.var((2, 3), ddof=1).mean(0)
    np.testing.assert_allclose(layer.running_var.data, 0.7 + 0.3 * unbiased, rtol=1e-12)
    m, v = (a.data.reshape(1, 2, 1, 1) for a in (layer.running_mean, layer.running_var))
    np.testing.assert_allclose(layer.eval()(mv.Tensor(x)).data, (x - m) / np.sqrt(v + 0.1), rtol=1e-12, atol=1e-12)
    assert layer.num_batches_tracked.item() == 0


@pytest.mark.parametrize(
    ("kind", "shape"), [(nn.InstanceNorm1d, (3, 5)), (nn.InstanceNorm2d, (3, 5, 2)), (nn.InstanceNorm3d, (3, 2, 2, 2))]
)
def test_instance_norm_takes_one_image_alone(kind, shape):
    x, layer = normal(*shape), kind(3, affine=True).double()
    np.testing.assert_array_equal(layer(mv.Tensor(x)).data, layer(mv.Tensor(x[None])).data[0])


@pytest.mark.parametrize("size", [1, 2, 3, 5, 20])
def test_local_response_norm_by_loops(size):
    x = normal(2, 6, 3, 2)
    y = nn.LocalResponseNorm(size, alpha=0.8, beta=0.6, k=2.0)(mv.Tensor(x)).data
    for n, c, i, j in np.ndindex(x.shape):
        near = x[n, max(0, c - size // 2) : c + (size - 1) // 2 + 1, i, j]
        assert y[n, c, i, j] == pytest.approx(x[n, c, i, j] / (2.0 + 0.8 / size * (near**2).sum()) ** 0.6, rel=1e-12)


@pytest.mark.parametrize(
    ("kind", "shape"), [(nn.BatchNorm1d, (4, 3)), (nn.BatchNorm1d, (4, 3, 2)), (nn.BatchNorm3d, (2, 3, 2, 1, 2))]
)
def test_batch_norm_of_vectors_sequences_and_volumes(kind, shape):
    x, layer = normal(*shape) + 3.0, kind(3, eps=0.1).double()
    axes = (0, *range(2, len(shape)))
    expected = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 0.1)
    np.testing.assert_allclose(layer(mv.Tensor(x)).data, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.running_mean.data, 0.1 * x.mean(axes), rtol=1e-12)


def test_a_layer_ends_a_residual_block_in_one_pass():
    x, r, layer = normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=1), nn.BatchNorm2d(3).double()
    other = copy.deepcopy(layer)
    expected = np.maximum(other(mv.Tensor(x)).data + r, 0)
    np.testing.assert_allclose(layer(mv.Tensor(x), residual=mv.Tensor(r), activation="relu").data, expected, rtol=1e-12)
    np.testing.assert_array_equal(layer.running_var.data, other.running_var.data)


KEYS = {
    "LayerNorm((4,), eps=1e-05, elementwise_affine=True)": (nn.LayerNorm(4), ["weight", "bias"]),
    "RMSNorm((4,), eps=None, elementwise_affine=True)": (nn.RMSNorm(4), ["weight"]),
    "GroupNorm(2, 4, eps=1e-05, affine=True)": (nn.GroupNorm(2, 4), ["weight", "bias"]),
    "LocalResponseNorm(5, alpha=0.0001, beta=0.75, k=1.0)": (nn.LocalResponseNorm(5), []),
    "BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)": (
        nn.BatchNorm1d(3), ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"],
    ),
    "InstanceNorm3d(3, eps=1e-05, momentum=0.1, affine=False, track_running_stats=False)": (nn.InstanceNorm3d(3), []),
}  # fmt: skip


@pytest.mark.parametrize("text", KEYS)
def test_what_a_layer_says_and_keeps(text):
    layer, keys = KEYS[text]
    assert repr(layer) == text
    assert list(layer.state_dict()) == keys


# ---------------------------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("dim", [0, 1, -1, None])
def test_weight_norm_gives_each_direction_its_length(dim):
    v = normal(3, 4, 2)
    shape = tuple(n if dim is not None and i == dim % 3 else 1 for i, n in enumerate(v.shape))
    g = np.abs(normal(*shape, seed=1))
    rest = tuple(i for i, n in enumerate(shape) if dim is None or i != dim % 3)
    w = F.weight_norm(v, g, dim)
    np.testing.assert_allclose(np.sqrt((w * w).sum(rest, keepdims=True)), g, rtol=1e-12)
    np.testing.assert_allclose(w * np.sqrt((v * v).sum(rest, keepdims=True)), v * g, rtol=1e-12)
    np.testing.assert_allclose(F.weight_norm(7.0 * v, g, dim), w, rtol=1e-12)


def test_weight_norm_of_a_layer_changes_nothing_at_first_and_then_learns():
    layer, x = nn.Conv2d(2, 3, 2).double(), mv.Tensor(normal(1, 2, 4, 4))
    before, weight = layer(x).data, layer.weight.data.copy()
    assert nn.utils.weight_norm(layer) is layer
    np.testing.assert_allclose(layer(x).data, before, rtol=1e-12, atol=1e-14)
    assert {name: a.shape for name, a in layer.state_dict().items()} == {
        "bias": (3,), "weight_g": (3, 1, 1, 1), "weight_v": (3, 2, 2, 2),
    }  # fmt: skip
    layer(x).sum().backward()
    assert [name for name, p in layer.named_parameters() if p.grad is None] == []
    along = (layer.weight_v.grad.data * layer.weight_v.data).sum((1, 2, 3))
    np.testing.assert_allclose(along, 0.0, atol=1e-13)  # a direction has no gradient along itself: eq. 3
    layer.load_state_dict({**layer.state_dict(), "weight_g": 2.0 * layer.weight_g.data})
    np.testing.assert_allclose(layer(x).data - layer.bias.data[:, None, None], 2.0 * (before - layer.bias.data[:, None, None]))
    nn.utils.remove_weight_norm(layer)
    assert sorted(layer.state_dict()) == ["bias", "weight"]
    np.testing.assert_allclose(layer.weight.data, 2.0 * weight, rtol=1e-12)


def test_spectral_norm_divides_by_the_largest_singular_value():
    layer, x = nn.Linear(5, 4).double(), mv.Tensor(normal(2, 5))
    weight = layer.weight.data.copy()
    nn.utils.spectral_norm(layer, n_power_iterations=60)
    assert list(layer.state_dict()) == ["bias", "weight_orig", "weight_u", "weight_v"]
    layer(x).sum().backward()
    sigma = np.linalg.svd(weight, compute_uv=False)[0]
    np.testing.assert_allclose(layer.weight.data, weight / sigma, rtol=1e-9)
    assert layer.weight_orig.grad is not None
    u, v = layer.weight_u.data.copy(), layer.weight_v.data.copy()
    layer.eval()(x)
    np.testing.assert_array_equal(layer.weight_u.data, u)  # evaluation moves nothing
    np.testing.assert_array_equal(layer.weight_v.data, v)
    nn.utils.remove_spectral_norm(layer.train())
    assert sorted(layer.state_dict()) == ["bias", "weight"]
    assert layer.training
    np.testing.assert_allclose(layer.weight.data, weight / sigma, rtol=1e-9)


def test_gradients_through_spectral_norm_equal_differences():
    layer, x = nn.Conv2d(2, 3, 2).double(), normal(1, 2, 3, 3)
    nn.utils.spectral_norm(layer).eval()
    direction, dy = normal(*layer.weight_orig.shape, seed=8), normal(1, 3, 2, 2, seed=9)
    (dw,) = mv.grad(layer(mv.Tensor(x)), [layer.weight_orig], mv.Tensor(dy))
    values = []
    for step in (1e-6, -1e-6):
        layer.weight_orig.data += step * direction
        values.append(np.sum(layer(mv.Tensor(x)).data * dy))
        layer.weight_orig.data -= step * direction
    assert np.sum(dw.data * direction) == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-7)


@pytest.mark.parametrize(
    ("run", "error", "message"),
    [
        (lambda: F.weight_norm(normal(3, 2), normal(3)), mv.ShapeError, r"g is \(3,\), but v with dim=0 has \(3, 1\) lengths"),
        (lambda: F.weight_norm(normal(3, 2), normal(3, 1), 2), ValueError, "dim must lie between -2 and 1"),
        (lambda: nn.utils.weight_norm(nn.ReLU()), ValueError, "ReLU has no parameter 'weight' of its own"),
        (lambda: nn.utils.weight_norm(nn.utils.weight_norm(nn.Linear(2, 2))), ValueError, "made of others already"),
        (lambda: nn.utils.remove_weight_norm(nn.Linear(2, 2)), ValueError, "Linear.weight is not under weight_norm"),
        (lambda: nn.utils.spectral_norm(nn.Linear(2, 2), n_power_iterations=0), ValueError, "must be at least 1, got 0"),
    ],
)
def test_errors_of_weights(run, error, message):
    with pytest.raises(error, match=message):
        run()
