"""Connectionist temporal classification under torch's name."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..errors import ShapeError
from ..ops.elementwise import raw
from ._losses import check_reduction, describe, reduce

__all__ = ["ctc_loss"]


def ctc_loss(
    log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0, reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:  # fmt: skip
    """-log of the probability of all paths that read as the target once repeats and blanks are removed.

    log_probs (T, N, C), or (T, C) for one sequence, from log_softmax; targets (N, S) padded, or all labels one after
    another (their sum); lengths (N). A target too long for its input costs infinity, or 0 with zero_infinity. "mean"
    divides each loss by its target's length, at least 1, and takes the mean over N. The gradient is that with respect to
    log_probs themselves; that of the logits before log_softmax is what torch gives.  Graves et al. 2006, section 4.1.
    """
    check_reduction(reduction)
    batched = log_probs.ndim == 3
    if not batched and log_probs.ndim != 2:
        hint = "log_probs is (T, N, C), or (T, C) for one sequence"
        raise ShapeError("ctc_loss", f"log_probs has {log_probs.ndim} axes", describe(log_probs=log_probs), hint)
    x = log_probs if batched else np.expand_dims(log_probs, 1)
    times = _lengths("input_lengths", input_lengths, x.shape[1], x.shape[0])
    counts = _lengths("target_lengths", target_lengths, x.shape[1])
    padded = _padded(np.asarray(raw(targets)), counts)
    _check_labels(padded[np.arange(padded.shape[1]) < counts[:, None]], x.shape[2], blank)
    losses = ops.ctc.ctc_loss(x, padded, times, counts, blank=int(blank), zero_infinity=bool(zero_infinity))
    if reduction == "mean":
        return np.mean(losses / np.maximum(counts, 1).astype(x.dtype))
    return losses[0] if reduction == "none" and not batched else reduce(losses, reduction)


def _lengths(name: str, lengths: Any, batch: int, longest: int | None = None) -> np.ndarray:
    """(N) whole numbers from 0 to `longest`, from an array, a list, or one number for one sequence."""
    found = np.asarray(raw(lengths)).reshape(-1)
    if found.size != batch or (found.size and found.dtype.kind not in "iu"):
        raise ValueError(f"ctc_loss: {name} are {batch} whole numbers, one for each sequence; got {found.size} of {found.dtype}")
    if found.size and (found.min() < 0 or (longest is not None and found.max() > longest)):
        top = "" if longest is None else f" to {longest}"
        raise ValueError(f"ctc_loss: {name} are from 0{top}; got {found.min()} to {found.max()}")
    return found.astype(np.int64)


def _padded(targets: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(N, S) labels from (N, S), from (S) of one sequence, or from all labels one after another."""
    longest, total = int(np.max(counts, initial=0)), int(np.sum(counts))
    if targets.ndim == 2 and len(targets) == len(counts) and targets.shape[1] >= longest:
        return targets
    if targets.ndim == 1 and (targets.size == total or (len(counts) == 1 and targets.size >= total)):
        padded = np.zeros((len(counts), longest), targets.dtype)
        padded[np.arange(longest) < counts[:, None]] = targets[:total]
        return padded
    problem = (
        f"targets has shape {targets.shape}; {len(counts)} sequences of up to {longest} labels, {total} in all, do not fit it"
    )
    hint = "targets are (N, S), padded to the longest, or all labels one after another (sum of target_lengths)"
    raise ShapeError("ctc_loss", problem, describe(targets=targets, target_lengths=counts), hint)


def _check_labels(labels: np.ndarray, classes: int, blank: int) -> None:
    """ValueError for a blank that is no class, or a label that is none or is the blank."""
    if not 0 <= blank < classes:
        raise ValueError(f"ctc_loss: blank is a class number from 0 to {classes - 1}, got {blank}")
    if labels.size and labels.dtype.kind not in "iu":
        raise ValueError(f"ctc_loss: targets are class numbers, integers from 0 to {classes - 1}; got {labels.dtype}")
    wrong = labels[(labels < 0) | (labels >= classes) | (labels == blank)]
    if wrong.size:
        raise ValueError(
            f"ctc_loss: targets are class numbers from 0 to {classes - 1} other than the blank {blank}; got {wrong[0]}"
        )
