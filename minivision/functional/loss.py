"""Losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..ops.elementwise import raw

__all__ = ["cross_entropy", "reduce"]


def cross_entropy(input: Any, target: Any, *, reduction: str = "mean", label_smoothing: float = 0.0) -> Any:
    """Negative log-likelihood of the classes under softmax;  input (N, C), target (N) of class numbers 0..C-1.

    label_smoothing spreads that share of the target evenly over the classes (Szegedy et al. 2016). Raises ValueError for
    a target that is no class number.
    """
    classes, numbers = input.shape[-1], np.asarray(raw(target))
    if numbers.dtype.kind not in "iu" or (numbers.size and not 0 <= numbers.min() <= numbers.max() < classes):
        came = f"{numbers.dtype}" + (f" from {numbers.min()} to {numbers.max()}" if numbers.size else "")
        raise ValueError(f"cross_entropy: targets are class numbers, integers from 0 to {classes - 1}; got {came}")
    return reduce(ops.loss.cross_entropy(input, numbers, smoothing=label_smoothing), reduction)


def reduce(losses: Any, reduction: str) -> Any:
    """The mean, the sum, or the losses themselves ("none")."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'reduction is "mean", "sum" or "none", got {reduction!r}')
    return losses if reduction == "none" else np.mean(losses) if reduction == "mean" else np.sum(losses)
