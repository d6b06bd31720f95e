"""Measures of inequality: textbook sums in loops, closed-form gradients against the tape and complex steps, identities."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minivision as mv
from minivision import inequality as I
from minivision.gradcheck import differences

EPS = np.finfo(np.float64).eps
VECTORS = [
    np.array([1.0, 2.0, 4.0]),
    np.array([0.03, 5.0, 0.7, 0.7, 2.2]),
    np.random.default_rng(0).uniform(0.01, 9.0, 12),
    1.0 + 1e-3 * np.random.default_rng(1).standard_normal(6),
]


def with_(function, *numbers):
    return lambda losses: function(losses, *numbers)


MEASURES = {"theil": (I.theil, I.theil_gradient), "gini": (I.gini, I.gini_gradient)}
MEASURES["variance of logs"] = (I.variance_of_logs, I.variance_of_logs_gradient)
for number in (-1.5, 0.0, 0.3, 1.0 - 1e-7, 1.0, 2.0, 3.5):
    MEASURES[f"GE({number})"] = with_(I.generalised_entropy, number), with_(I.generalised_entropy_gradient, number)
for number in (0.2, 1.0, 1.0 + 1e-7, 2.5):
    MEASURES[f"A({number})"] = with_(I.atkinson, number), with_(I.atkinson_gradient, number)
EACH = pytest.mark.parametrize(("measure", "gradient"), MEASURES.values(), ids=MEASURES)
VECTOR = pytest.mark.parametrize("losses", VECTORS, ids=len)


def near(came, expected, size=1.0, roundings=40):
    """Equal but for that many roundings of numbers of that size."""
    np.testing.assert_allclose(came, expected, rtol=0, atol=roundings * EPS * size)


def largest(losses):
    """No smaller than any number on the way to a measure: shares to the powers -1.5 .. 3.5, and their logarithms' squares."""
    x = losses / losses.mean()
    return 1.0 + x.max() ** 3.5 + x.min() ** -1.5 + np.log(losses.min()) ** 2


@VECTOR
def test_the_values_are_the_textbooks_sums(losses):
    M, m = len(losses), sum(losses) / len(losses)
    near(I.theil(losses), sum(l / m * math.log(l / m) for l in losses) / M)
    near(I.generalised_entropy(losses, 0.0), -sum(math.log(l / m) for l in losses) / M)
    for a in (-1.5, 0.3, 2.0, 3.5):
        size = max(1.0, *((l / m) ** a for l in losses)) / abs(a * (a - 1.0))
        near(I.generalised_entropy(losses, a), sum((l / m) ** a - 1.0 for l in losses) / (M * a * (a - 1.0)), size)
    for e in (0.2, 2.5):
        near(I.atkinson(losses, e), 1.0 - (sum(l ** (1.0 - e) for l in losses) / M) ** (1.0 / (1.0 - e)) / m)
    near(I.atkinson(losses, 1.0), 1.0 - math.prod(losses) ** (1.0 / M) / m)
    near(I.gini(losses), sum(abs(a - b) for a in losses for b in losses) / (2.0 * M * sum(losses)))
    near(I.gini(losses), sum((2 * i - M - 1) * l for i, l in enumerate(sorted(losses), 1)) / (M * sum(losses)))
    logs = [math.log(l) for l in losses]
    near(I.variance_of_logs(losses), sum((each - sum(logs) / M) ** 2 for each in logs) / M, np.abs(logs).max() ** 2 + 1.0)


@EACH
@VECTOR
def test_the_closed_form_is_what_the_tape_finds(measure, gradient, losses):
    tensor = mv.tensor(losses, requires_grad=True)
    came = mv.grad(measure(tensor), tensor).data
    expected = gradient(losses)
    near(came, expected, 1.0 + np.abs(expected).max())


@EACH
@VECTOR
def test_the_closed_form_is_the_derivative(measure, gradient, losses):
    expected = gradient(losses)
    if measure is I.gini:  # no complex step through a modulus; equal losses have no derivative
        kinks = np.array([np.sum(losses == l) > 1 for l in losses])
        found = differences(lambda: np.array([measure(losses)]), losses, 1e-6)[0]
        near(found[~kinks], expected[~kinks], 1.0 / 1e-6)
        return
    if measure is MEASURES["A(1.0000001)"][0]:
        return  # NumPy's log1p of complex numbers has no digits where they are small
    step = 1e-30  # f(l + i h) = f(l) + i h f'(l) + O(h^2), and nothing is subtracted
    found = [measure(losses + 1j * step * row).imag / step for row in np.eye(len(losses))]
    near(found, expected, 1.0 + np.abs(expected).max())


@EACH
@VECTOR
def test_scale_does_not_matter_and_so_the_gradient_is_at_right_angles_to_the_losses(measure, gradient, losses):
    size, expected = largest(losses), gradient(losses)
    for scale in (1e-6, 3.0, 1e8):
        near(measure(scale * losses), measure(losses), size)
        near(gradient(scale * losses) * scale, expected, 1.0 + np.abs(expected).max())
    near(losses @ expected, 0.0, np.abs(losses * expected).max() + 1.0)
    near(measure(np.repeat(losses, 3)), measure(losses), size)  # the same shares among three times as many


@EACH
def test_it_is_zero_where_all_are_equal_and_only_there(measure, gradient):
    for M in (1, 4, 7):
        equal = np.full(M, 0.3)
        near(measure(equal), 0.0)
        near(gradient(equal), 0.0, 1.0 / 0.3)
    for losses in VECTORS:
        assert measure(losses) > 1e-8
        assert measure(0.5 * losses + 0.5 * losses.mean()) < measure(losses)


@VECTOR
def test_the_measures_are_each_others_limits_and_functions(losses):
    variation = losses.std() / losses.mean()
    near(I.generalised_entropy(losses, 2.0), variation**2 / 2.0, max(1.0, variation**2))
    for h in (1e-3, 1e-6, 1e-9):
        for sign in (-1.0, 1.0):
            assert abs(I.generalised_entropy(losses, 1.0 + sign * h) - I.theil(losses)) <= 20.0 * h + 40 * EPS
            assert abs(I.generalised_entropy(losses, sign * h) - I.generalised_entropy(losses, 0.0)) <= 40.0 * h + 40 * EPS
            assert abs(I.atkinson(losses, 1.0 + sign * h) - I.atkinson(losses, 1.0)) <= 20.0 * h + 40 * EPS
    for e in (0.2, 0.7, 2.5):
        a = 1.0 - e
        near(I.atkinson(losses, e), 1.0 - (a * (a - 1.0) * I.generalised_entropy(losses, a) + 1.0) ** (1.0 / a))
    near(I.atkinson(losses, 1.0), -math.expm1(-I.generalised_entropy(losses, 0.0)))
    assert 0.0 < I.gini(losses) <= 1.0 - 1.0 / len(losses)


@pytest.mark.parametrize("bad", [0.0, -0.25, np.nan, np.inf])
@EACH
def test_losses_have_to_be_positive(measure, gradient, bad):
    for losses in (np.array([1.0, bad, 2.0]), mv.tensor(np.array([1.0, bad, 2.0]))):
        with pytest.raises(ValueError, match=rf"losses must be positive.*loss 1 is {bad}"):
            measure(losses)
    with pytest.raises(ValueError, match="losses must be positive"):
        gradient(np.array([1.0, bad, 2.0]))
    with pytest.raises(ValueError, match=r"are a vector, one of each task, got shape \(2, 1\)"):
        measure(np.ones((2, 1)))


def test_atkinsons_aversion_is_above_zero():
    with pytest.raises(ValueError, match="aversion"):
        I.atkinson([1.0, 2.0], 0.0)


def test_float32_stays_float32():
    losses = mv.tensor(VECTORS[1].astype(np.float32), requires_grad=True)
    for measure, _ in MEASURES.values():
        assert measure(losses).dtype == np.float32
