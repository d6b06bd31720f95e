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
    ],
)
def test_errors(run, message):
    x, channels, *_ = drawn((2, 3, 5))
    before = channels.copy()
    with pytest.raises(ValueError, match=message):
        run(x, channels)
    np.testing.assert_array_equal(channels, before)
