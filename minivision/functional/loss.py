"""Losses between an input and its target: classes, probabilities, numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..errors import ShapeError
from ..ops.elementwise import raw, shape_of
from ._losses import (
    check_classes,
    check_reduction,
    classes_last,
    describe,
    mean_over_weights,
    reduce,
    rows_of,
    same_shape,
    warn_of_broadcasting,
)  # fmt: skip

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "distillation_loss", "huber_loss", "kl_div",
    "l1_loss", "mse_loss", "nll_loss", "sigmoid_focal_loss", "smooth_l1_loss",
]  # fmt: skip


def cross_entropy(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
) -> Any:
    """Negative log-likelihood of the classes under softmax.

    input (N, C), (C) or (N, C, d1, ...) logits; target either class numbers, input's shape without C, or class
    probabilities, of input's shape. weight (C): a factor for each class. Targets equal to ignore_index cost 0.
    label_smoothing spreads that share of the target evenly over the classes (Szegedy et al. 2016, section 7).
    reduction: "none", "sum", or "mean", which for class numbers divides by the sum of the counted targets' weights, for
    probabilities by the number of targets. Raises ValueError for a target that is no class number.
    """
    check_reduction(reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing is a share between 0 and 1, got {label_smoothing}")
    if shape_of(target) == shape_of(input) and raw(target).dtype.kind == "f":
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    rows, numbers = rows_of("cross_entropy", input, target)
    counts = check_classes("cross_entropy", numbers, rows.shape[-1], ignore_index)
    losses = ops.loss.cross_entropy(rows, numbers, weight, smoothing=float(label_smoothing), ignore_index=int(ignore_index))
    return _reduced(losses, reduction, counts, numbers, weight, shape_of(target))


def _reduced(losses: Any, reduction: str, counts: np.ndarray, numbers: np.ndarray, weight: Any, shape: tuple[int, ...]) -> Any:
    """The losses (M) of rows reduced, or in the target's shape."""
    if reduction == "mean":
        return mean_over_weights(losses, counts, numbers, weight)
    return np.sum(losses) if reduction == "sum" else np.reshape(losses, shape)


def _soft_cross_entropy(input: Any, target: Any, weight: Any, reduction: str, label_smoothing: float) -> Any:
    """-sum_c w_c q_c log p_c,  q = (1 - a) target + a / C,  p = softmax(input), a = label_smoothing.

    input and target (C), (N, C) or (N, C, d1, ...); the losses, one for each target, are reduced.
    """
    logits, q = classes_last("cross_entropy", input), classes_last("cross_entropy", target)
    if label_smoothing:
        q = (1.0 - label_smoothing) * q + label_smoothing / q.shape[-1]
    q = q if weight is None else q * weight
    return reduce(-np.sum(q * ops.softmax.log_softmax(logits), axis=-1), reduction)


def nll_loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
    """-w_t input_t: cross_entropy for an input that is log-probabilities already; shapes, reduction and errors as there."""
    check_reduction(reduction)
    rows, numbers = rows_of("nll_loss", input, target)
    counts = check_classes("nll_loss", numbers, rows.shape[-1], ignore_index)
    classes = np.where(counts, numbers, 0)
    losses = -np.take_along_axis(rows, classes[:, None], 1)[:, 0]
    losses = np.where(counts, losses if weight is None else losses * weight[classes], 0.0)
    return _reduced(losses, reduction, counts, numbers, weight, shape_of(target))


def binary_cross_entropy(input: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Any:
    """-t log x - (1 - t) log(1 - x), each logarithm at least -100; input x and target t are probabilities of one shape.

    weight, which broadcasts, multiplies each loss. Raises ValueError for an input outside 0..1.
    """
    same_shape("binary_cross_entropy", input, target)
    outside = raw(input)[(raw(input) < 0) | (raw(input) > 1)]
    if outside.size:
        raise ValueError(
            f"binary_cross_entropy: input is probabilities, from 0 to 1; got {outside[0]}; "
            "for logits take binary_cross_entropy_with_logits"
        )
    losses = ops.loss.binary_cross_entropy(input, target)
    return reduce(losses if weight is None else losses * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Any:
    """-p t log s - (1 - t) log(1 - s),  s = sigmoid(input);  input and target t of one shape.

    weight multiplies each loss, pos_weight p the part of the positives; both broadcast to the input.
    """
    same_shape("binary_cross_entropy_with_logits", input, target)
    losses = ops.loss.binary_cross_entropy_with_logits(input, target, pos_weight)
    return reduce(losses if weight is None else losses * weight, reduction)


def sigmoid_focal_loss(inputs: Any, targets: Any, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "none") -> Any:
    """-alpha_t (1 - p_t)^gamma log p_t,  p_t = p where targets are 1, 1 - p where 0,  p = sigmoid(inputs).

    alpha_t likewise of alpha; a negative alpha leaves it out.  Lin et al. 2017, eq. 5. inputs and targets of one shape.
    """
    same_shape("sigmoid_focal_loss", inputs, targets)
    p = ops.activation.sigmoid(inputs)
    wrong = p * (1.0 - targets) + (1.0 - p) * targets  # 1 - p_t
    losses = ops.loss.binary_cross_entropy_with_logits(inputs, targets, None) * wrong**gamma
    return reduce(losses if alpha < 0 else losses * (alpha * targets + (1.0 - alpha) * (1.0 - targets)), reduction)


def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Any:
    """t (log t - input): Kullback-Leibler's divergence of the target t from an input of log-probabilities.

    log_target: the target is log t. reduction "batchmean", the divergence itself, divides the sum by the length of the
    first axis; "mean" divides it by the number of all elements.
    """
    check_reduction(reduction, "batchmean")
    warn_of_broadcasting("kl_div", input, target)
    if log_target:
        losses = np.exp(target) * (target - input)
    else:
        losses = target * (np.log(np.where(raw(target) == 0, 1.0, target)) - input)  # 0 log 0 = 0
    return np.sum(losses) / float(input.shape[0]) if reduction == "batchmean" else reduce(losses, reduction)


def distillation_loss(logits: Any, teacher_logits: Any, tau: float = 1.0, reduction: str = "mean") -> Any:
    """tau^2 sum_c q_c log(q_c / p_c),  q = softmax(teacher_logits / tau),  p = softmax(logits / tau): learning from a teacher.

    logits and teacher_logits (..., C), of one shape; the losses are (...), and "mean" is that over all of them. The teacher
    counts as a constant: no gradient goes through it. A class that it rules out (q_c = 0) costs nothing. The gradient of the
    mean over B rows, tau (p - q) / B, keeps its size whatever the temperature tau is: at tau = 1 the loss is the cross-entropy
    with q, less the entropy of q; as tau grows it comes to the squared error of the logits, |d - mean d|^2 / (2 C) with
    d = logits - teacher_logits.  Hinton et al. 2015, section 2; the factor tau^2 is told there.

    Raises ShapeError where the shapes differ or are (); ValueError for a tau that is not above 0.
    """
    check_reduction(reduction)
    if not tau > 0.0:
        raise ValueError(f"distillation_loss: the temperature tau must be above 0, got {tau}")
    if shape_of(logits) != shape_of(teacher_logits) or not shape_of(logits):
        problem = f"a student's logits are {shape_of(logits)}, its teacher's {shape_of(teacher_logits)}"
        told = describe(logits=logits, teacher_logits=teacher_logits)
        raise ShapeError("distillation_loss", problem, told, "both are (..., C), logits of the same classes")
    log_q, log_p = ops.softmax.log_softmax(raw(teacher_logits) / tau), ops.softmax.log_softmax(logits / tau)
    q = np.exp(log_q)
    gaps = np.where(q == 0.0, 0.0, log_q) - np.where(q == 0.0, 0.0, log_p)  # 0 log 0 = 0
    return reduce(tau * tau * np.sum(q * gaps, axis=-1), reduction)


def mse_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Any:
    """(input - target)^2; weight, of the same shape, makes it a weighted mean or sum."""
    warn_of_broadcasting("mse_loss", input, target)
    return reduce(np.square(input - target), reduction, weight)


def l1_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Any:
    """|input - target|; weight, of the same shape, makes it a weighted mean or sum."""
    warn_of_broadcasting("l1_loss", input, target)
    return reduce(np.absolute(input - target), reduction, weight)


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Any:
    """d^2 / 2 up to |d| = delta, delta (|d| - delta / 2) beyond;  d = input - target.  Huber 1964.

    weight multiplies each loss; the mean divides by their number.
    """
    if delta <= 0:
        raise ValueError(f"huber_loss: delta must be above 0, got {delta}")
    warn_of_broadcasting("huber_loss", input, target)
    losses = _huber(input - target, float(delta))
    return reduce(losses if weight is None else losses * weight, reduction)


def smooth_l1_loss(input: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Any:
    """d^2 / (2 beta) up to |d| = beta, |d| - beta / 2 beyond;  d = input - target.  Girshick 2015, eq. 3, with its 1 a beta."""
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be below 0, got {beta}")
    warn_of_broadcasting("smooth_l1_loss", input, target)
    d = input - target
    return reduce(np.absolute(d) if beta == 0 else _huber(d, float(beta)) / float(beta), reduction)


def _huber(d: Any, delta: float) -> Any:
    """c (d - c / 2) with c = d held between -delta and delta: both of Huber's branches at once, finite slopes at infinity."""
    c = np.clip(d, -delta, delta)
    return c * (d - 0.5 * c)
