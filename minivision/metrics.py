"""How good answers are: top-k accuracy, confusion matrix, precision and recall, average precision; arrays in, numbers out."""

from __future__ import annotations

from typing import Any

import numpy as np


def topk_accuracy(scores: Any, labels: Any, k: int = 1) -> float:
    """The share of rows whose label is among the k highest scores; scores (N, C), labels (N) of class numbers.

    Equal scores: a label counts as right only if fewer than k classes score as high or higher, so that a network which answers
    the same for all classes earns nothing by it.
    """
    scores, labels = _rows(scores), _class_numbers(labels, np.shape(scores))
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"topk_accuracy: k is from 1 to the {scores.shape[1]} classes, got {k}")
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    return float(np.mean(np.sum(scores >= own, axis=1) <= k))  # its own score is one of them; NaN is never as high


def confusion_matrix(predicted: Any, labels: Any, classes: int) -> np.ndarray:
    """(C, C) of counts: row, what it is; column, what was answered. The diagonal is right."""
    predicted, labels = (_whole(each, name) for each, name in ((predicted, "predicted"), (labels, "labels")))
    if predicted.shape != labels.shape:
        raise ValueError(f"confusion_matrix: predicted and labels are as many, got {predicted.shape} and {labels.shape}")
    for name, each in ("predicted", predicted), ("labels", labels):
        if each.size and not (each.min() >= 0 and each.max() < classes):
            raise ValueError(f"confusion_matrix: {name} are from 0 to {classes - 1}, got {each.min()} to {each.max()}")
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def precision_recall(scores: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall at every distinct score as threshold, from the highest down; scores (N), labels (N) of 0 and 1.

    Precision: of those at or above the threshold, the share that is positive; recall: of the positives, the share that is at
    or above it. Equal scores enter together: no order among them is made up. ValueError where there is no positive.
    """
    scores, positive = np.asarray(scores), np.asarray(labels)
    if scores.ndim != 1 or scores.shape != positive.shape:
        raise ValueError(f"average precision: scores and labels are both (N), got {scores.shape} and {positive.shape}")
    if not np.isin(positive, (0, 1)).all() or np.isnan(scores).any():
        raise ValueError("average precision: labels are 0 or 1, and no score is NaN")
    if not positive.any():
        raise ValueError("average precision: without a positive there is no recall")
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of each run of equal scores
    found = np.cumsum(positive[order])[last]
    return found / (last + 1), found / found[-1]


def average_precision(scores: Any, labels: Any) -> float:
    """The area under the steps of precision over recall: sum_n (R_n - R_(n-1)) P_n, nothing interpolated."""
    precision, recall = precision_recall(scores, labels)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def mean_average_precision(scores: Any, labels: Any) -> float:
    """mAP: the mean of average_precision over the classes that occur; scores (N, C), labels (N, C) of 0 and 1."""
    scores, labels = _rows(scores), np.asarray(labels)
    if scores.shape != labels.shape:
        raise ValueError(f"mean_average_precision: scores and labels are both (N, C), got {scores.shape} and {labels.shape}")
    occur = np.flatnonzero(labels.any(axis=0))
    if not occur.size:
        raise ValueError("mean_average_precision: no class has a positive")
    return float(np.mean([average_precision(scores[:, c], labels[:, c]) for c in occur]))


def _rows(scores: Any) -> np.ndarray:
    scores = np.asarray(scores)
    if scores.ndim != 2 or not scores.size:
        raise ValueError(f"scores are (N, C), at least one, got {scores.shape}")
    return scores


def _whole(numbers: Any, name: str) -> np.ndarray:
    numbers = np.asarray(numbers)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise ValueError(f"{name} are (N) of whole numbers, got {numbers.dtype} {numbers.shape}")
    return numbers.astype(np.int64)


def _class_numbers(labels: Any, shape: tuple[int, ...]) -> np.ndarray:
    labels = _whole(labels, "labels")
    if len(labels) != shape[0] or (labels.min() < 0 or labels.max() >= shape[1]):
        raise ValueError(
            f"labels are {shape[0]} numbers from 0 to {shape[1] - 1}, got {labels.shape} of {labels.min()} to {labels.max()}"
        )
    return labels
