"""What the losses share: reductions, classes on the last axis, targets that are class numbers."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..ops.elementwise import raw, shape_of


def check_reduction(reduction: str, *more: str) -> None:
    """ValueError for a reduction that there is not."""
    if reduction not in ("mean", "sum", "none", *more):
        raise ValueError(f"reduction is {', '.join(map(repr, ('mean', 'sum', 'none', *more)))}; got {reduction!r}")


def reduce(losses: Any, reduction: str, weight: Any = None) -> Any:
    """The mean, the sum, or the losses themselves ("none"); with weights, the weighted mean or sum."""
    check_reduction(reduction)
    if weight is not None:
        weighted = losses * weight
        return (
            np.sum(weighted) / np.sum(np.broadcast_to(weight, weighted.shape))
            if reduction == "mean"
            else reduce(weighted, reduction)
        )
    return losses if reduction == "none" else np.mean(losses) if reduction == "mean" else np.sum(losses)


def warn_of_broadcasting(name: str, input: Any, target: Any) -> None:
    """UserWarning for an input and a target of different shapes: of (N, 1) and (N) comes (N, N), which is rarely meant."""
    if shape_of(input) != shape_of(target):
        what = f"{name}: input is {shape_of(input)}, target {shape_of(target)}; they are broadcast, which is rarely meant"
        warnings.warn(f"{what}; reshape one of them", UserWarning, stacklevel=3)


def same_shape(name: str, input: Any, target: Any) -> None:
    """ShapeError where a target is not of the input's shape."""
    if shape_of(input) != shape_of(target):
        problem = f"target has shape {shape_of(target)}, but input has {shape_of(input)}"
        raise ShapeError(name, problem, describe(input=input, target=target), "the two shapes must be equal; reshape one of them")


def describe(**arrays: Any) -> str:
    """`input (2, 3) float32, target (2,) int64`."""
    return ", ".join(
        f"{name} {tuple(a.shape)} {a.dtype}" if hasattr(a, "shape") else f"{name} {a!r}" for name, a in arrays.items()
    )


def classes_last(name: str, input: Any) -> Any:
    """input (C), (N, C) or (N, C, d1, ...) with its classes last: (C), (N, C) or (N, d1, ..., C)."""
    if input.ndim == 0:
        raise ShapeError(name, "input has no axis of classes", describe(input=input), "input is (C), (N, C) or (N, C, d1, ...)")
    return input if input.ndim <= 2 else np.moveaxis(input, 1, -1)


def rows_of(name: str, input: Any, target: Any) -> tuple[Any, np.ndarray]:
    """(input as rows (M, C), class numbers (M)) from input (C), (N, C) or (N, C, d1, ...) and target (), (N) or (N, d1, ...)."""
    last, numbers = classes_last(name, input), np.asarray(raw(target))
    if numbers.shape != last.shape[:-1]:
        problem = f"target has shape {numbers.shape}, but input {tuple(input.shape)} asks for {tuple(last.shape[:-1])}"
        hint = "class numbers have the input's shape without its classes (axis 1); class probabilities have the input's shape"
        raise ShapeError(name, problem, describe(input=input, target=target), hint)
    if numbers.dtype.kind not in "iu":
        raise ValueError(f"{name}: targets are class numbers, integers from 0 to {last.shape[-1] - 1}; got {numbers.dtype}")
    rows = last if last.ndim == 2 else np.reshape(last, (math.prod(last.shape[:-1]), last.shape[-1]))
    return rows, numbers.reshape(-1)


def check_classes(name: str, numbers: np.ndarray, classes: int, ignore_index: int) -> np.ndarray:
    """Which targets count; ValueError for one that is neither a class number nor to be ignored."""
    counts = numbers != ignore_index
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < classes:
        left = numbers[counts]
        if left.size and not 0 <= left.min() <= left.max() < classes:
            came = f"{numbers.dtype} from {left.min()} to {left.max()}"
            hint = f"; ignore_index is {ignore_index}"
            raise ValueError(f"{name}: targets are class numbers, integers from 0 to {classes - 1}; got {came}{hint}")
    return counts


def mean_over_weights(losses: Any, counts: np.ndarray, numbers: np.ndarray, weight: Any) -> Any:
    """sum of the losses / sum of w_t over the targets that count."""
    total = float(np.count_nonzero(counts)) if weight is None else np.sum(weight[numbers[counts]])
    return np.sum(losses) / total
