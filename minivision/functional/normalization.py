"""Normalisations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops
from ..ops.elementwise import raw
from ..tape import Tensor

__all__ = ["batch_norm", "layer_norm"]


def layer_norm(input: Any, normalized_shape: tuple[int, ...], weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Normalises the last len(normalized_shape) axes to mean 0 and variance 1, then scales and shifts."""
    if len(normalized_shape) == 1:
        return ops.norm.layer_norm(input, weight, bias, eps=eps)
    lead = input.shape[: input.ndim - len(normalized_shape)]
    flat = [None if p is None else np.reshape(p, (-1,)) for p in (weight, bias)]
    return np.reshape(ops.norm.layer_norm(np.reshape(input, (*lead, -1)), *flat, eps=eps), input.shape)


def batch_norm(
    input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Any:  # fmt: skip
    """Normalises each channel of input (N, C, ...) to mean 0 and variance 1, then scales and shifts by weight, bias (C).

    training: by the batch's mean and biased variance, and running <- (1 - momentum) running + momentum batch in place,
    with the unbiased variance. Otherwise by running_mean and running_var. Ioffe & Szegedy 2015, algorithms 1 and 2.
    """
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError(
                "batch_norm: outside training running_mean and running_var are needed; train first, or pass training=True"
            )
        return ops.batch_norm.batch_norm_eval(input, running_mean, running_var, weight, bias, eps=eps)
    ops.batch_norm.check_channels("batch_norm", input, running_mean=running_mean, running_var=running_var)
    n = math.prod(input.shape) // max(input.shape[1], 1)
    if n < 2:
        raise ValueError(f"batch_norm: training needs more than one value in each channel, got input {tuple(input.shape)}")
    seen: list[np.ndarray] = []
    y = ops.batch_norm.batch_norm(input, weight, bias, eps=eps, seen=seen)
    _follow(running_mean, seen[0], momentum)
    _follow(running_var, seen[1] * (n / (n - 1)), momentum)
    return y


def _follow(running: Any, batch: np.ndarray, momentum: float) -> None:
    """running <- (1 - momentum) running + momentum batch, in place."""
    if running is not None:
        raw(running)[...] = (1.0 - momentum) * raw(running) + momentum * batch
    if isinstance(running, Tensor):
        running.version[0] += 1  # backward() of an evaluation that kept it notices
