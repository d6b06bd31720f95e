"""Batch normalisation against its formulas, its running averages, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import minivision as mv
import minivision.functional as F

SHAPES = [(4, 3), (3, 2, 5), (2, 3, 4, 5), (2, 3, 2, 2, 3), (1, 2, 3, 3)]


def drawn(shape, dtype=np.float64):
    """x far from 0, a weight, a bias, a running mean and a running variance."""
    rng, channels = np.random.default_rng(0), shape[1]
    arrays = [rng.normal(5.0, 2.0, shape), *rng.standard_normal((3, channels)), rng.uniform(0.5, 2.0, channels)]
    return [a.astype(dtype) for a in arrays]


def by_channel(x, weight, bias, mean, variance, eps):
    """The formula, one channel after another."""
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        y[:, c] = (x[:, c] - mean[c]) / np.sqrt(variance[c] + eps) * weight[c] + bias[c]
    return y


def moments(x, ddof=0):
    rows = np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)
    return rows.mean(1), rows.var(1, ddof=ddof)


@pytest.mark.parametrize("shape", SHAPES)
def test_training(shape):
    x, weight, bias, *_ = drawn(shape)
    y = F.batch_norm(x, None, None, weight, bias, training=True, eps=1e-3)
    np.testing.assert_allclose(y, by_channel(x, weight, bias, *moments(x), 1e-3), rtol=1e-12, atol=1e-12)
    plain = F.batch_norm(x, None, None, training=True)
    np.testing.assert_allclose(moments(plain)[0], 0.0, atol=1e-13)
    np.testing.assert_allclose(moments(plain)[1], moments(x)[1] / (moments(x)[1] + 1e-5), rtol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_evaluation(shape):
    x, weight, bias, mean, variance = drawn(shape)
    y = F.batch_norm(x, mean, variance, weight, bias, eps=1e-3)
    np.testing.assert_allclose(y, by_channel(x, weight, bias, mean, variance, 1e-3), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_running_averages_take_the_unbiased_variance(shape):
    x, _, _, mean, variance = drawn(shape)
    running = [mv.Tensor(mean.copy()), mv.Tensor(variance.copy())]
    F.batch_norm(mv.Tensor(x), *running, training=True, momentum=0.3)
    np.testing.assert_allclose(running[0].data, 0.7 * mean + 0.3 * moments(x)[0], rtol=1e-12)
    np.testing.assert_allclose(running[1].data, 0.7 * variance + 0.3 * moments(x, ddof=1)[1], rtol=1e-12)
    assert [t.version for t in running] == [[1], [1]]


def test_evaluation_and_the_definition_leave_running_averages_alone():
    x, weight, bias, mean, variance = drawn((3, 2, 4))
    running = [mv.Tensor(mean.copy()), mv.Tensor(variance.copy())]
    F.batch_norm(mv.Tensor(x), *running, weight, bias)
    t = mv.Tensor(x, requires_grad=True)
    (dx,) = mv.grad([(F.batch_norm(t, *running, training=True) ** 3).sum()], [t], create_graph=True)
    after = [r.data.copy() for r in running]
    (dx * dx).sum().backward()  # replays the definition, but has seen no new batch
    for r, expected in zip(running, after, strict=True):
        np.testing.assert_array_equal(r.data, expected)
        assert r.version == [1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_running_averages_of_plain_arrays_and_of_none(dtype):
    x, weight, bias, mean, _ = drawn((3, 2, 4), dtype)
    kept = mean.copy()
    y = F.batch_norm(x, mean, None, weight, bias, training=True, momentum=1.0)
    assert y.dtype == mean.dtype == dtype
    np.testing.assert_allclose(mean, moments(x)[0], rtol=1e-6)
    assert not np.array_equal(kept, mean)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_equal_differences(shape, training):
    arrays = drawn(shape)
    rng = np.random.default_rng(1)
    dy, directions = rng.standard_normal(shape), [rng.standard_normal(a.shape) for a in arrays[:3]]
    mean, variance = (None, None) if training else arrays[3:]

    def run(x, weight, bias):
        return F.batch_norm(x, mean, variance, weight, bias, training=training)

    tensors = [mv.Tensor(a, requires_grad=True) for a in arrays[:3]]
    for t, v, cotangent in zip(tensors, directions, mv.grad(run(*tensors), tensors, mv.Tensor(dy)), strict=True):
        moved = [run(*(a + e * v if a is t.data else a for a in arrays[:3])) for e in (1e-5, -1e-5)]
        expected = np.sum(dy * (moved[0] - moved[1])) / 2e-5
        assert np.sum(cotangent.data * v) == pytest.approx(expected, rel=1e-7, abs=1e-7)


def test_a_running_average_that_moves_before_backward_is_noticed():
    x, _, _, mean, variance = drawn((3, 2, 4))
    running = [mv.Tensor(mean), mv.Tensor(variance)]
    t = mv.Tensor(x, requires_grad=True)
    y = F.batch_norm(t, *running)
    F.batch_norm(t, *running, training=True)
    with pytest.raises(mv.GraphError, match="mean was changed in place"):
        y.sum().backward()


def test_sums_of_many_pixels_are_accurate():
    """Summed axis by axis, n pixels err by the number of terms in the longest sums, not by n."""
    x = drawn((64, 3, 56, 56), np.float32)[0]
    channels_last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    exact = F.batch_norm(x.astype(np.float64), None, None, training=True)
    n, unit = 64 + 56 + 56, np.finfo(np.float32).eps / 2
    bound = n * unit / (1 - n * unit) * (np.abs(x).mean() / 2.0 + np.abs(exact))  # the mean's error over sigma, and r's
    for layout in (x, channels_last):
        assert np.all(np.abs(F.batch_norm(layout, None, None, training=True) - exact) <= bound)


# ------------------------------------------------------------------------------------------- with a residual and a relu


def endings(x, *arguments, **attributes):
    """Every ending as separate steps: (residual, activation, the function)."""
    residual = np.random.default_rng(2).standard_normal(x.shape)
    plain = F.batch_norm(x, *arguments, **attributes)
    yield None, None, plain
    yield residual, None, plain + residual
    yield None, "relu", np.where(plain > 0, plain, 0)
    yield residual, "relu", np.where(plain + residual > 0, plain + residual, 0)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_follows_in_one_pass_is_what_follows(shape, training):
    x, weight, bias, mean, variance = drawn(shape)
    for residual, activation, expected in endings(x, mean.copy(), variance.copy(), weight, bias, training):
        y = F.batch_norm(
            x, mean.copy(), variance.copy(), weight, bias, training, residual=residual, activation=activation
        )  # fmt: skip
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_gradients_of_what_follows_in_one_pass(training):
    x, weight, bias, mean, variance = drawn((3, 4, 5, 2))
    residual, dy = np.random.default_rng(3).standard_normal((2, *x.shape))
    results = []
    for fused in (True, False):
        tensors = [mv.Tensor(a, requires_grad=True) for a in (x, weight, bias, residual)]
        extras = {"residual": tensors[3], "activation": "relu"} if fused else {}
        y = F.batch_norm(tensors[0], mean.copy(), variance.copy(), *tensors[1:3], training=training, **extras)
        y = y if fused else (y + tensors[3]).relu()
        results.append(mv.grad(y, tensors, mv.Tensor(dy)))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one.data, other.data, rtol=1e-12, atol=1e-12)


def test_a_relu_keeps_nan_and_shuts_the_rest_out():
    x = np.array([[1.0, np.nan], [3.0, 2.0]])
    y = F.batch_norm(x, np.zeros(2), np.ones(2), np.array([-1.0, 1.0]), None, activation="relu", eps=0.0)
    np.testing.assert_array_equal(y, [[0.0, np.nan], [0.0, 2.0]])


def test_a_result_that_changes_before_backward_is_noticed():
    x = mv.Tensor(drawn((3, 2, 4))[0], requires_grad=True)
    y = F.batch_norm(x, None, None, training=True, residual=x, activation="relu")
    with mv.no_grad():
        y[...] = 1.0
    with pytest.raises(mv.GraphError, match="result was changed in place"):
        y.sum().backward()


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda x, c: F.batch_norm(x, c, c[:2]), r"batch_norm_eval: variance is \(2,\), but x has 3 channels at axis 1"),
        (lambda x, c: F.batch_norm(x, c, c[:2], training=True), r"batch_norm: running_var is \(2,\), but x has 3 channels"),
        (lambda x, c: F.batch_norm(x, None, None, c[:1], training=True), r"batch_norm: weight is \(1,\), but x has 3 channels"),
        (lambda x, c: F.batch_norm(x.transpose(0, 2, 1), c, c), r"x seem to stand last: pass x.transpose\(1, -1\)"),
        (lambda x, c: F.batch_norm(x[0, :, 0], c, c), r"x should have at least 2 axes \(N, C, ...\), got 1"),
        (lambda x, c: F.batch_norm(x, None, None), "outside training running_mean and running_var are needed"),
        (
            lambda x, c: F.batch_norm(x[:1, :, :1], c, c, training=True),
            r"more than one value in each channel, got input \(1, 3, 1\)",
        ),
        (lambda x, c: F.batch_norm(x[:0], c, c, training=True), "more than one value in each channel"),
        (lambda x, c: F.batch_norm(x, c, c, residual=x[:1]), r"the residual is \(1, 3, 5\), but x is \(2, 3, 5\)"),
        (lambda x, c: F.batch_norm(x, c, c, activation="gelu"), "the activation is None or \"relu\", got 'gelu'"),
    ],
)
def test_errors(run, message):
    x, channels, *_ = drawn((2, 3, 5))
    before = channels.copy()
    with pytest.raises(ValueError, match=message):
        run(x, channels)
    np.testing.assert_array_equal(channels, before)
