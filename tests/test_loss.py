"""Losses against their formulas written as loops; weights, ignored targets, reductions; layers; what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minivision as mv
import minivision.functional as F
from minivision import kernels, nn
from minivision.backend import backend
from minivision.gradcheck import gradcheck

BACKENDS = [
    "numpy",
    pytest.param("c", marks=pytest.mark.skipif(not kernels.AVAILABLE, reason=f"no kernels here: {kernels.REASON}")),
]
RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 3))
WEIGHT = np.array([0.5, 2.0, 1.5])


def log_p(row):
    total = math.fsum(math.exp(v) for v in row)
    return [v - math.log(total) for v in row]


def leaf(x):
    return mv.tensor(np.array(x), requires_grad=True)


# ---------------------------------------------------------------------------------------------------- cross-entropy


@pytest.mark.parametrize("by", BACKENDS)
def test_cross_entropy_of_class_numbers(by):
    """mean: the weighted losses over the weights of the targets that count."""
    target, a = np.array([2, -100, 0, 1]), 0.1
    losses, weights = [], []
    for row, t in zip(X, target, strict=True):
        if t >= 0:
            spread = -a / 3 * sum(w * v for w, v in zip(WEIGHT, log_p(row), strict=True))
            losses.append(-(1 - a) * WEIGHT[t] * log_p(row)[t] + spread)
            weights.append(WEIGHT[t])
    with backend(by):
        args = (mv.tensor(X), target, mv.tensor(WEIGHT))
        none = F.cross_entropy(*args, reduction="none", label_smoothing=a)
        assert none.data[1] == 0.0
        np.testing.assert_allclose(none.data[[0, 2, 3]], losses, rtol=1e-13)
        assert math.isclose(F.cross_entropy(*args, reduction="sum", label_smoothing=a).item(), sum(losses), rel_tol=1e-13)
        assert math.isclose(F.cross_entropy(*args, label_smoothing=a).item(), sum(losses) / sum(weights), rel_tol=1e-13)
        unweighted = -(log_p(X[0])[2] + log_p(X[2])[0] + log_p(X[3])[1]) / 3
        assert math.isclose(F.cross_entropy(mv.tensor(X), target).item(), unweighted, rel_tol=1e-13)


@pytest.mark.parametrize("by", BACKENDS)
def test_cross_entropy_of_probabilities(by):
    """One-hot probabilities are class numbers; the mean divides by the number of targets, whatever the weights."""
    numbers = np.array([2, 1, 0, 1])
    hot = np.eye(3)[numbers]
    with backend(by):
        for smoothing in (0.0, 0.2):
            numbered = F.cross_entropy(mv.tensor(X), numbers, WEIGHT, reduction="none", label_smoothing=smoothing).data
            soft = F.cross_entropy(mv.tensor(X), mv.tensor(hot), WEIGHT, reduction="none", label_smoothing=smoothing).data
            np.testing.assert_allclose(soft, numbered, rtol=1e-13)
            mean = F.cross_entropy(mv.tensor(X), hot, WEIGHT, label_smoothing=smoothing).item()
            assert math.isclose(mean, numbered.sum() / 4, rel_tol=1e-13)
        q = leaf(np.full((4, 3), 1 / 3))
        F.cross_entropy(mv.tensor(X), q, reduction="sum").backward()
    np.testing.assert_allclose(q.grad.data, [[-v for v in log_p(row)] for row in X], rtol=1e-13)


@pytest.mark.parametrize("by", BACKENDS)
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_classes_of_pixels(name, by):
    """(N, C, d1, d2) is (N d1 d2, C); (C) is one row."""
    x, target = RNG.standard_normal((2, 3, 4, 5)), RNG.integers(0, 3, (2, 4, 5))
    target[0, 1] = 255
    loss = getattr(F, name)
    with backend(by):
        images, rows = leaf(x), leaf(np.moveaxis(x, 1, -1).reshape(-1, 3))
        losses = loss(images, target, ignore_index=255, reduction="none")
        assert losses.shape == target.shape
        np.testing.assert_array_equal(losses.data.ravel(), loss(rows, target.ravel(), None, 255, "none").data)
        loss(images, target, WEIGHT, 255).backward()
        loss(rows, target.ravel(), WEIGHT, 255).backward()
        np.testing.assert_allclose(np.moveaxis(images.grad.data, 1, -1).reshape(-1, 3), rows.grad.data, rtol=1e-12)
        one = loss(mv.tensor(x[0, :, 0, 0]), np.array(2), reduction="none")
        assert one.shape == ()
        assert math.isclose(one.item(), loss(mv.tensor(x[:1, :, 0, 0]), np.array([2])).item(), rel_tol=1e-13)
        q = np.full(x.shape, 1 / 3)
        assert F.cross_entropy(mv.tensor(x), q, reduction="none").shape == (2, 4, 5)


def test_nll_loss_is_what_cross_entropy_does_after_log_softmax():
    target = np.array([2, -100, 0, 1])
    first, second = leaf(X), leaf(X)
    for reduction in ("mean", "sum"):
        one = F.nll_loss(F.log_softmax(first, 1), target, mv.tensor(WEIGHT), reduction=reduction)
        two = F.cross_entropy(second, target, mv.tensor(WEIGHT), reduction=reduction)
        assert math.isclose(one.item(), two.item(), rel_tol=1e-13)
        one.backward()
        two.backward()
    np.testing.assert_allclose(first.grad.data, second.grad.data, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("by", BACKENDS)
def test_the_gradient_is_p_minus_the_target(by):
    x, target = leaf(X), np.array([0, 1, 2, -100])
    with backend(by):
        F.cross_entropy(x, target).backward()
    p = np.exp([log_p(row) for row in X])
    expected = (p - np.eye(4, 3)) / 3
    expected[3] = 0.0
    np.testing.assert_allclose(x.grad.data, expected, rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("by", BACKENDS)
def test_infinite_logits_and_nothing_to_count(by):
    with backend(by), np.errstate(all="ignore"):
        shut = np.array([[0.0, -np.inf, 1.0]])
        assert math.isclose(F.cross_entropy(shut, np.array([2])), math.log1p(math.exp(-1.0)), rel_tol=1e-14)
        assert F.cross_entropy(shut, np.array([1])) == np.inf
        assert math.isnan(F.cross_entropy(np.full((1, 3), -np.inf), np.array([1])))
        assert math.isnan(F.cross_entropy(np.array([[0.0, np.inf]]), np.array([0])))
        assert math.isnan(F.cross_entropy(X[:2], np.array([-100, -100])))
        assert F.cross_entropy(X[:2], np.array([-100, -100]), reduction="sum") == 0.0
        assert math.isnan(F.cross_entropy(np.zeros((0, 3)), np.zeros(0, np.int64)))


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_targets_that_are_no_classes(name):
    loss, x = getattr(F, name), mv.tensor(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=rf"{name}: .*integers from 0 to 2; got int64 from 0 to 7; ignore_index is -100"):
        loss(x, np.array([0, 7]))
    with pytest.raises(ValueError, match="got int64 from -1 to 1"):
        loss(x, np.array([1, -1]))
    with pytest.raises(ValueError, match=f"got int64 from {2**40}"):
        loss(x, np.array([255, 2**40]), ignore_index=255)
    with pytest.raises(ValueError, match="integers from 0 to 2; got float64"):
        loss(x, np.array([0.0, 1.0]))
    with pytest.raises(mv.ShapeError, match=r"target has shape \(3,\), but input \(2, 3\) asks for \(2,\)"):
        loss(x, np.array([0, 1, 2]))
    with pytest.raises(mv.ShapeError, match="no axis of classes"):
        loss(mv.tensor(1.0), np.array(0))
    with pytest.raises(ValueError, match="'mean', 'sum', 'none'; got 'average'"):
        loss(x, np.array([0, 1]), reduction="average")


def test_other_arguments_that_cross_entropy_refuses():
    x, target = mv.tensor(np.zeros((2, 3))), np.array([0, 1])
    with pytest.raises(ValueError, match=r"share between 0 and 1, got 1\.5"):
        F.cross_entropy(x, target, label_smoothing=1.5)
    with pytest.raises(mv.ShapeError, match=r"weight has 2 at axis -1 \(C\), but x axis -1 has 3"):
        F.cross_entropy(x, target, np.ones(2))
    with pytest.raises(TypeError, match="element types must agree"):
        F.cross_entropy(x, target, np.ones(3, np.float32))


# --------------------------------------------------------------------------------------------- events, distributions


def test_binary_cross_entropy_by_hand():
    p, t, w = np.array([0.25, 0.5, 0.75]), np.array([1.0, 0.0, 0.25]), np.array([1.0, 2.0, 4.0])
    each = [math.log(4), math.log(2), 0.25 * math.log(4 / 3) + 0.75 * math.log(4)]
    np.testing.assert_allclose(F.binary_cross_entropy(p, t, reduction="none"), each, rtol=1e-14)
    assert math.isclose(F.binary_cross_entropy(p, t, w), np.dot(w, each) / 3, rel_tol=1e-14)
    logits = np.log(p / (1 - p))
    np.testing.assert_allclose(F.binary_cross_entropy_with_logits(logits, t, reduction="none"), each, rtol=1e-14)
    positives = [5 * math.log(4), math.log(2), 5 * 0.25 * math.log(4 / 3) + 0.75 * math.log(4)]
    weighted = F.binary_cross_entropy_with_logits(logits, t, w, "sum", pos_weight=np.array(5.0))
    assert math.isclose(weighted, np.dot(w, positives), rel_tol=1e-14)


def test_certainty_costs_at_most_100_and_logits_do_not_overflow():
    x, t = leaf([0.0, 1.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0, 1.0])
    losses = F.binary_cross_entropy(x, t, reduction="none")
    np.testing.assert_array_equal(losses.data, [100.0, 100.0, 0.0, 0.0])
    losses.sum().backward()
    np.testing.assert_allclose(x.grad.data, [-1e12, 1e12, 0.0, 0.0])
    z = leaf([800.0, -800.0, 800.0, -800.0])
    losses = F.binary_cross_entropy_with_logits(z, np.array([0.0, 1.0, 1.0, 0.0]), reduction="none")
    np.testing.assert_array_equal(losses.data, [800.0, 800.0, 0.0, 0.0])
    losses.sum().backward()
    np.testing.assert_array_equal(z.grad.data, [1.0, -1.0, 0.0, 0.0])


def test_a_probability_is_between_0_and_1_and_shapes_are_equal():
    with pytest.raises(ValueError, match=r"from 0 to 1; got 1\.5; for logits take"):
        F.binary_cross_entropy(np.array([0.5, 1.5]), np.zeros(2))
    for loss in (F.binary_cross_entropy, F.binary_cross_entropy_with_logits, F.sigmoid_focal_loss):
        with pytest.raises(mv.ShapeError, match=r"target has shape \(2,\), but input has \(2, 1\)"):
            loss(np.full((2, 1), 0.5), np.zeros(2))


def test_focal_loss_is_weighted_cross_entropy():
    x, t = np.array([2.0, -1.0, 0.5]), np.array([1.0, 0.0, 0.0])
    s = [1 / (1 + math.exp(-v)) for v in x]
    right = [s[0], 1 - s[1], 1 - s[2]]
    each = [-a * (1 - p) ** 2 * math.log(p) for a, p in zip([0.25, 0.75, 0.75], right, strict=True)]
    np.testing.assert_allclose(F.sigmoid_focal_loss(x, t), each, rtol=1e-13)
    plain = F.sigmoid_focal_loss(x, t, alpha=-1, gamma=0, reduction="mean")
    assert math.isclose(plain, F.binary_cross_entropy_with_logits(x, t), rel_tol=1e-14)


def test_kl_div():
    q, p = np.array([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5]]), np.array([[0.25, 0.25, 0.5], [0.5, 0.25, 0.25]])
    rows = [0.5 * math.log(2) - 0.25 * math.log(2), math.log(2)]
    assert math.isclose(F.kl_div(np.log(p), q, "batchmean"), sum(rows) / 2, rel_tol=1e-14)
    assert math.isclose(F.kl_div(np.log(p), q), sum(rows) / 6, rel_tol=1e-14)
    assert math.isclose(F.kl_div(np.log(q[:1]), np.log(p[:1]), "sum", log_target=True), 0.25 * math.log(2), rel_tol=1e-14)
    x, t = leaf(np.log(p)), leaf(q)
    F.kl_div(x, t, "sum").backward()
    np.testing.assert_allclose(x.grad.data, -q)
    assert np.isfinite(t.grad.data).all()


@pytest.mark.parametrize("by", BACKENDS)
@pytest.mark.parametrize("tau", [0.5, 1.0, 4.0])
def test_distillation_loss_and_its_gradient(by, tau):
    """tau^2 KL by loops, any axes before the classes; tau (p - q) / B by the tape, and by differences; none for the teacher."""
    z, taught = RNG.standard_normal((2, 4, 3)), leaf(2 * RNG.standard_normal((2, 4, 3)))
    log_ps, log_qs = ([log_p(row / tau) for row in x.reshape(-1, 3)] for x in (z, taught.data))
    each = [
        tau**2 * math.fsum(math.exp(b) * (b - a) for a, b in zip(one, other, strict=True))
        for one, other in zip(log_ps, log_qs, strict=True)
    ]
    with backend(by):
        x = leaf(z)
        np.testing.assert_allclose(F.distillation_loss(x, taught, tau, "none").data.ravel(), each, rtol=1e-11)
        assert math.isclose(F.distillation_loss(z, taught.data, tau, "sum"), sum(each), rel_tol=1e-12)
        loss = F.distillation_loss(x, taught, tau)
        assert math.isclose(loss.item(), sum(each) / 8, rel_tol=1e-12)
        loss.backward()
        gradient = tau * (np.exp(log_ps) - np.exp(log_qs)).reshape(z.shape) / 8
        np.testing.assert_allclose(x.grad.data, gradient, rtol=0, atol=1e-15)
        assert taught.grad is None
        assert gradcheck(lambda x: F.distillation_loss(x, taught, tau), leaf(z), second_order=True)


def test_a_cold_teacher_is_a_soft_label_and_a_hot_one_is_matched_in_its_logits():
    """tau = 1: cross-entropy less the entropy of q. tau -> infinity: the gradient (d - mean d) / (B C), d = z - v, with an error
    that falls as 1 / tau (Hinton et al. 2015, section 2.1), so that 2 g(2 tau) - g(tau) is left with one of 1 / tau^2."""
    z, v = leaf(X), 2 * RNG.standard_normal(X.shape)
    log_q = np.array([log_p(row) for row in v])
    entropy = -np.sum(np.exp(log_q) * log_q, axis=1).mean()
    assert math.isclose(F.distillation_loss(z, v).item(), F.cross_entropy(z, np.exp(log_q)).item() - entropy, rel_tol=1e-12)
    d = X - v
    limit = (d - d.mean(axis=1, keepdims=True)) / d.size
    one, two, four = (mv.grad(F.distillation_loss(z, v, tau), z).data for tau in (500.0, 1000.0, 2000.0))
    np.testing.assert_allclose((one - limit) / 2, two - limit, rtol=0.02, atol=1e-6)
    first, second = 2 * two - one - limit, 2 * four - two - limit
    assert np.abs(first).max() < 1e-5
    np.testing.assert_allclose(first / 4, second, rtol=0.05, atol=1e-8)
    assert math.isclose(F.distillation_loss(z, v, 1e4).item(), d.size * np.sum(limit**2) / 2, rel_tol=1e-3)


def test_a_teacher_may_rule_out_classes_and_a_student_of_its_opinion_loses_nothing():
    shut = np.array([[0.0, 1.0, -np.inf], [-np.inf, 2.0, -np.inf]])
    for student, finite in ((shut, True), (np.zeros((2, 3)), True), (np.array([[0.0, -np.inf, 0.0]] * 2), False)):
        x = leaf(student)
        loss = F.distillation_loss(x, shut, tau=2.0)
        assert np.isfinite(loss.item()) == finite
        if finite:
            loss.backward()
            assert np.isfinite(x.grad.data).all()
    assert F.distillation_loss(shut, shut, tau=2.0) == F.distillation_loss(X, X, tau=3.0) == 0.0
    assert math.isnan(F.distillation_loss(X, np.full(X.shape, np.nan)))


def test_teachers_that_there_are_not():
    for tau in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match=f"the temperature tau must be above 0, got {tau}"):
            F.distillation_loss(X, X, tau)
    with pytest.raises(mv.ShapeError, match=r"a student's logits are \(4, 3\), its teacher's \(3,\)"):
        F.distillation_loss(X, X[0])
    with pytest.raises(mv.ShapeError, match="logits of the same classes"):
        F.distillation_loss(mv.tensor(1.0), mv.tensor(1.0))
    with pytest.raises(ValueError, match="'mean', 'sum', 'none'; got 'batchmean'"):
        F.distillation_loss(X, X, reduction="batchmean")


# ------------------------------------------------------------------------------------------------------- regression

D = np.array([-3.0, -1.0, -0.25, 0.0, 0.5, 1.0, 2.0])
REGRESSION = {
    "mse_loss": ({}, lambda d: d * d, lambda d: 2 * d),
    "l1_loss": ({}, abs, np.sign),
    "huber_loss": (
        {"delta": 0.5}, lambda d: d * d / 2 if abs(d) <= 0.5 else 0.5 * (abs(d) - 0.25), lambda d: np.clip(d, -0.5, 0.5),
    ),
    "smooth_l1_loss": ({"beta": 0.5}, lambda d: d * d if abs(d) <= 0.5 else abs(d) - 0.25, lambda d: np.clip(2 * d, -1, 1)),
}  # fmt: skip


@pytest.mark.parametrize("name", REGRESSION)
def test_regression(name):
    (attrs, value, slope), loss = REGRESSION[name], getattr(F, name)
    x, t = leaf(D + 1.0), leaf(np.ones(7))
    each = loss(x, t, reduction="none", **attrs)
    np.testing.assert_allclose(each.data, [value(d) for d in D], rtol=1e-15)
    each.sum().backward()
    np.testing.assert_allclose(x.grad.data, [slope(d) for d in D], rtol=1e-15)
    np.testing.assert_array_equal(t.grad.data, -x.grad.data)
    assert math.isclose(loss(x, t, **attrs).item(), np.mean(each.data), rel_tol=1e-15)
    assert math.isclose(loss(x, t, "sum", **attrs).item(), np.sum(each.data), rel_tol=1e-15)
    with pytest.warns(UserWarning, match=rf"{name}: input is \(7, 1\), target \(7,\)"):
        assert loss(np.ones((7, 1)), np.ones(7), "none", **attrs).shape == (7, 7)


def test_weights_of_regression():
    w, each = np.array([1.0, 3.0]), {"mse_loss": [4.0, 1.0], "l1_loss": [2.0, 1.0], "huber_loss": [1.5, 0.5]}
    for name, (a, b) in each.items():
        divisor = 2.0 if name == "huber_loss" else 4.0  # the number of elements, or the sum of the weights
        came = getattr(F, name)(np.array([2.0, 1.0]), np.zeros(2), weight=w)
        assert math.isclose(came, (a + 3.0 * b) / divisor, rel_tol=1e-15), name


def test_slopes_at_infinity_and_beta_0():
    for loss in (F.huber_loss, F.smooth_l1_loss):
        x = leaf([np.inf, -np.inf])
        loss(x, np.zeros(2), "sum").backward()
        np.testing.assert_array_equal(x.grad.data, [1.0, -1.0])
    assert F.smooth_l1_loss(np.array([0.5]), np.zeros(1), beta=0.0) == 0.5
    with pytest.raises(ValueError, match="beta must not be below 0, got -1"):
        F.smooth_l1_loss(D, D, beta=-1)
    with pytest.raises(ValueError, match="delta must be above 0, got 0"):
        F.huber_loss(D, D, delta=0)


# ----------------------------------------------------------------------------------------------------------- layers


def test_layers_are_the_functions():
    x, p, t, numbers = mv.tensor(X), mv.tensor(RNG.uniform(0.1, 0.9, (4, 3))), mv.tensor(np.eye(4, 3)), np.array([0, 2, 1, 0])
    w, b = mv.tensor(WEIGHT), mv.tensor(np.array([1.0, 2.0, 3.0]))
    for layer, args, expected in [
        (nn.CrossEntropyLoss(w, 0, "sum", 0.1), (x, numbers), F.cross_entropy(x, numbers, w, 0, "sum", 0.1)),
        (nn.NLLLoss(w, 0, "sum"), (x, numbers), F.nll_loss(x, numbers, w, 0, "sum")),
        (nn.BCELoss(w, "sum"), (p, t), F.binary_cross_entropy(p, t, w, "sum")),
        (nn.BCEWithLogitsLoss(w, "sum", b), (x, t), F.binary_cross_entropy_with_logits(x, t, w, "sum", b)),
        (nn.KLDivLoss("batchmean", True), (x, p), F.kl_div(x, p, "batchmean", True)),
        (nn.MSELoss("sum"), (x, p), F.mse_loss(x, p, "sum")),
        (nn.L1Loss("sum"), (x, p), F.l1_loss(x, p, "sum")),
        (nn.SmoothL1Loss("sum", 0.2), (x, p), F.smooth_l1_loss(x, p, "sum", 0.2)),
        (nn.HuberLoss("sum", 0.2), (x, p), F.huber_loss(x, p, "sum", 0.2)),
    ]:
        assert layer(*args).item() == expected.item(), layer


def test_weights_are_buffers_and_settings_are_shown():
    assert list(nn.CrossEntropyLoss().state_dict()) == []
    assert list(nn.CrossEntropyLoss(WEIGHT).state_dict()) == list(nn.NLLLoss(WEIGHT).state_dict()) == ["weight"]
    assert list(nn.BCEWithLogitsLoss(WEIGHT, pos_weight=WEIGHT).state_dict()) == ["weight", "pos_weight"]
    assert repr(nn.HuberLoss(delta=2.0)) == "HuberLoss(delta=2.0, reduction='mean')"
    assert repr(nn.CrossEntropyLoss()) == "CrossEntropyLoss(ignore_index=-100, label_smoothing=0.0, reduction='mean')"
