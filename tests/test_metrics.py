"""Metrics against their definitions in loops, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from minivision import metrics


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_topk_is_the_share_of_labels_among_the_k_best(rng):
    scores, labels = rng.standard_normal((50, 7)), rng.integers(7, size=50)
    for k in range(1, 8):
        best = [set(np.argsort(-row)[:k]) for row in scores]
        assert metrics.topk_accuracy(scores, labels, k) == np.mean(
            [label in few for few, label in zip(best, labels, strict=True)]
        )
    assert metrics.topk_accuracy(scores, labels, 7) == 1.0


def test_equal_scores_earn_nothing():
    assert metrics.topk_accuracy(np.zeros((4, 3)), np.arange(4) % 3, 2) == 0.0
    assert metrics.topk_accuracy(np.zeros((4, 3)), np.arange(4) % 3, 3) == 1.0


def test_the_confusion_matrix_counts_pairs(rng):
    predicted, labels = rng.integers(4, size=(2, 90))
    counted = np.zeros((4, 4), int)
    for answer, truth in zip(predicted, labels, strict=True):
        counted[truth, answer] += 1
    np.testing.assert_array_equal(metrics.confusion_matrix(predicted, labels, 4), counted)
    assert metrics.confusion_matrix([], [], 2).tolist() == [[0, 0], [0, 0]]


def test_average_precision_by_hand():
    """Positives at ranks 1 and 3: (1/1 + 2/3) / 2. Two equal scores, one of them positive: 1/2."""
    assert metrics.average_precision([0.9, 0.5, 0.4, 0.1], [1, 0, 1, 0]) == pytest.approx(5 / 6)
    assert metrics.average_precision([0.5, 0.5], [1, 0]) == metrics.average_precision([0.5, 0.5], [0, 1]) == 0.5


@pytest.mark.parametrize("levels", [1, 2, 5, 1000])
def test_average_precision_is_scikit_learn_s(rng, levels):
    for _ in range(30):
        scores, labels = rng.integers(levels, size=40) / levels, rng.integers(2, size=40)
        if labels.any():
            assert metrics.average_precision(scores, labels) == pytest.approx(
                reference.average_precision_score(labels, scores), abs=1e-12
            )
            precision, recall, _ = reference.precision_recall_curve(labels, scores)
            own = metrics.precision_recall(scores, labels)
            np.testing.assert_allclose(own[0][::-1], precision[:-1], atol=1e-12)
            np.testing.assert_allclose(own[1][::-1], recall[:-1], atol=1e-12)


def test_the_mean_is_over_classes_that_occur(rng):
    scores, labels = rng.standard_normal((30, 3)), np.zeros((30, 3), int)
    labels[:10, 0], labels[5:20, 2] = 1, 1
    each = [metrics.average_precision(scores[:, c], labels[:, c]) for c in (0, 2)]
    assert metrics.mean_average_precision(scores, labels) == pytest.approx(np.mean(each))


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: metrics.topk_accuracy(np.zeros((2, 3)), [0, 1], 4), "k is from 1 to the 3 classes, got 4"),
        (lambda: metrics.topk_accuracy(np.zeros((2, 3)), [0, 3]), "2 numbers from 0 to 2"),
        (lambda: metrics.topk_accuracy(np.zeros(3), [0]), r"scores are \(N, C\)"),
        (lambda: metrics.topk_accuracy(np.zeros((2, 3)), [0.0, 1.0]), "whole numbers"),
        (lambda: metrics.confusion_matrix([0, 2], [0, 1], 2), "predicted are from 0 to 1, got 0 to 2"),
        (lambda: metrics.confusion_matrix([0], [0, 1], 2), "as many"),
        (lambda: metrics.average_precision([0.1, 0.2], [0, 0]), "without a positive"),
        (lambda: metrics.average_precision([0.1, np.nan], [0, 1]), "NaN"),
        (lambda: metrics.average_precision([0.1, 0.2], [0, 2]), "0 or 1"),
        (lambda: metrics.mean_average_precision(np.zeros((2, 3)), np.zeros((2, 3))), "no class has a positive"),
    ],
)
def test_what_makes_no_sense_is_refused(call, told):
    with pytest.raises(ValueError, match=told):
        call()
