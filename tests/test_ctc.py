"""CTC: its shapes, reductions and limits; every alignment counted; gradients through log_softmax; what is refused."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import minivision as mv
import minivision.functional as F
from minivision import nn

RNG = np.random.default_rng(0)
LOGITS = RNG.standard_normal((6, 3, 4))
TARGETS = np.array([[1, 2, 2], [3, 0, 0], [1, 1, 0]])
TIMES, COUNTS = np.array([6, 3, 5]), np.array([3, 1, 2])


def reads_as(path, blank=0):
    return [k for k, _ in itertools.groupby(path) if k != blank]


def test_equal_probabilities_count_the_paths():
    """With all log-probabilities 0 the likelihood is the number of paths that read as the target."""
    for target in ([], [1], [1, 2], [1, 1], [2, 1, 2]):
        paths = sum(reads_as(path) == target for path in itertools.product(range(3), repeat=5))
        loss = F.ctc_loss(np.zeros((5, 1, 3)), np.array([target], np.int64), [5], [len(target)], reduction="sum")
        assert math.isclose(loss, -math.log(paths), rel_tol=1e-13), target


def test_padded_concatenated_and_single_targets_are_the_same():
    x = F.log_softmax(mv.tensor(LOGITS), -1)
    padded = F.ctc_loss(x, mv.tensor(TARGETS), mv.tensor(TIMES), mv.tensor(COUNTS), reduction="none")
    joined = np.concatenate([labels[:n] for labels, n in zip(TARGETS, COUNTS, strict=True)])
    np.testing.assert_array_equal(F.ctc_loss(x, joined, tuple(TIMES), list(COUNTS), reduction="none").data, padded.data)
    for n in range(3):
        one = F.ctc_loss(x[:, n], TARGETS[n], TIMES[n], COUNTS[n], reduction="none")
        assert one.shape == ()
        assert math.isclose(one.item(), padded.data[n], rel_tol=1e-13)
    assert math.isclose(F.ctc_loss(x, TARGETS, TIMES, COUNTS, reduction="sum").item(), padded.data.sum(), rel_tol=1e-13)
    mean = np.mean(padded.data / COUNTS)
    assert math.isclose(nn.CTCLoss()(x, TARGETS, TIMES, COUNTS).item(), mean, rel_tol=1e-13)


def test_the_gradient_of_the_logits_is_p_minus_the_share_of_paths():
    """Graves et al. 2006, eq. 16; nothing flows to times beyond a sequence's own."""
    x = mv.tensor(LOGITS[:, :1], requires_grad=True)
    F.ctc_loss(F.log_softmax(x, -1), TARGETS[:1, :2], [4], [2], reduction="sum").backward()
    p = np.exp(LOGITS[:, 0]) / np.exp(LOGITS[:, 0]).sum(axis=-1, keepdims=True)
    share, total = np.zeros((6, 4)), 0.0
    for path in itertools.product(range(4), repeat=4):
        if reads_as(path) == [1, 2]:
            likelihood = math.prod(p[t, k] for t, k in enumerate(path))
            total += likelihood
            for t, k in enumerate(path):
                share[t, k] += likelihood
    expected = np.where(np.arange(6)[:, None] < 4, p - share / total, 0.0)
    np.testing.assert_allclose(x.grad.data[:, 0], expected, rtol=1e-10, atol=1e-14)


def test_a_target_that_does_not_fit():
    """Two equal labels need a blank between them: three times at least."""
    arguments = (np.array([[1, 1]]), [2], [2])
    x = mv.tensor(LOGITS[:, :1], requires_grad=True)
    assert F.ctc_loss(F.log_softmax(x, -1), *arguments).item() == math.inf
    loss = F.ctc_loss(F.log_softmax(x, -1), *arguments, zero_infinity=True)
    loss.backward()
    assert loss.item() == 0.0
    np.testing.assert_array_equal(x.grad.data, np.zeros((6, 1, 4)))
    x.grad = None
    F.ctc_loss(F.log_softmax(x, -1), *arguments).backward()
    assert np.isnan(x.grad.data[:2]).all()  # an infinite loss has no gradient, and says so
    assert (x.grad.data[2:] == 0.0).all()
    log_p = F.log_softmax(LOGITS[:, :1], -1)
    assert F.ctc_loss(log_p, np.zeros((1, 0), np.int64), [0], [0], reduction="sum") == 0.0
    assert F.ctc_loss(log_p, np.array([[1]]), [0], [1]) == math.inf


def test_impossible_and_undefined_log_probabilities():
    x = F.log_softmax(LOGITS[:, :1], -1).copy()
    x[2, 0, 3] = -np.inf  # a class that the target lacks
    clean = F.ctc_loss(F.log_softmax(LOGITS[:, :1], -1), TARGETS[:1], [6], [3])
    leaf = mv.tensor(x, requires_grad=True)
    loss = F.ctc_loss(leaf, TARGETS[:1], [6], [3])
    loss.backward()
    assert math.isclose(loss.item(), clean, rel_tol=1e-13)
    assert np.isfinite(leaf.grad.data).all()
    x[:, 0, 2] = -np.inf
    assert F.ctc_loss(x, TARGETS[:1], [6], [3]) == math.inf
    x[3] = np.nan
    assert math.isnan(F.ctc_loss(x, TARGETS[:1], [6], [3]))


def test_long_sequences_stay_finite():
    """200 times and 80 labels: likelihoods of 1e-200 and less, in float32."""
    rng = np.random.default_rng(3)
    x = mv.tensor(rng.standard_normal((200, 2, 30)).astype(np.float32), requires_grad=True)
    loss = F.ctc_loss(F.log_softmax(x, -1), rng.integers(1, 30, (2, 80)), [200, 170], [80, 40], reduction="none")
    loss.sum().backward()
    assert loss.dtype == np.float32
    assert np.isfinite(loss.data).all()
    assert (loss.data > 100.0).all()
    np.testing.assert_allclose(x.grad.data.sum(axis=-1), 0.0, atol=1e-4)  # p and the shares of paths both add up to 1


X = np.zeros((4, 2, 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X, np.array([[1, 3], [1, 2]]), [4, 4], [2, 2]), "class numbers from 0 to 2 other than the blank 0; got 3"),
        ((X, np.array([[1, 0], [1, 2]]), [4, 4], [2, 2]), "other than the blank 0; got 0"),
        ((X, np.array([[1, 2], [1, 2]]), [4, 5], [2, 2]), "input_lengths are from 0 to 4; got 4 to 5"),
        ((X, np.array([[1, 2], [1, 2]]), [4], [2, 2]), "input_lengths are 2 whole numbers, one for each sequence; got 1"),
        ((X, np.array([[1, 2], [1, 2]]), [4, 4], [2, -1]), "target_lengths are from 0; got -1 to 2"),
        ((X, np.array([[1.0], [1.0]]), [4, 4], [1, 1]), "integers from 0 to 2; got float64"),
        ((X, np.array([[1], [1]]), [4, 4], [2, 1]), r"targets has shape \(2, 1\); 2 sequences of up to 2 labels, 3 in all"),
        ((X, np.array([1, 2]), [4, 4], [2, 1]), r"targets has shape \(2,\)"),
        ((X[0, 0], np.array([1]), [4], [1]), "log_probs has 1 axes"),
    ],
)
def test_what_ctc_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        F.ctc_loss(*arguments)


def test_a_blank_that_is_no_class():
    with pytest.raises(ValueError, match="blank is a class number from 0 to 2, got 3"):
        F.ctc_loss(X, np.array([[1], [1]]), [4, 4], [1, 1], blank=3)
