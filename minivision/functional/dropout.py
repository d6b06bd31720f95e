"""Dropping elements, channels and samples at random, with the mean kept."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import random

__all__ = ["alpha_dropout", "drop_path", "dropout", "dropout1d", "dropout2d", "dropout3d"]

SELU_FLOOR = -1.0507009873554804934193349852946 * 1.6732632423543772848170429916717  # selu(-inf)


def probability(p: float) -> float:
    """p itself; ValueError unless it lies in [0, 1]."""
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"a probability of dropping lies in [0, 1], got {p}")
    return p


def _kept(shape: tuple[int, ...], p: float, dtype: Any) -> np.ndarray:
    """1 with probability 1 - p, else 0."""
    return (random.generator().random(shape, np.float32) >= p).astype(dtype)


def _drop(input: Any, shape: tuple[int, ...], p: float, scale: bool = True) -> Any:
    """Zeroes whatever shares an element of `shape`, which broadcasts to the input's, with probability p."""
    return input * (_kept(shape, p, input.dtype) * (1.0 / (1.0 - p) if scale and p < 1.0 else 1.0))


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zeroes elements with probability p and scales the others by 1 / (1 - p); nothing where not training.

    Srivastava et al. 2014. inplace changes nothing: the argument stays as it was.
    """
    if probability(p) == 0.0 or not training:
        return input
    return _drop(input, input.shape, p)


def _drop_channels(name: str, input: Any, p: float, training: bool, axes: int, alone: int) -> Any:
    """Dropout of whole channels; the input has `axes` axes, (N, C, ..), or `alone`, without the N."""
    if input.ndim not in (axes, alone):
        raise ValueError(f"{name}: the input should have {axes} axes, or {alone} without a batch; got shape {tuple(input.shape)}")
    if probability(p) == 0.0 or not training:
        return input
    lead = 2 if input.ndim == axes else 1
    return _drop(input, (*input.shape[:lead], *(1,) * (input.ndim - lead)), p)


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zeroes whole channels with probability p;  input (N, C, L) or (C, L).  Tompson et al. 2015, section 3.2."""
    return _drop_channels("dropout1d", input, p, training, 3, 2)


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zeroes whole channels with probability p;  input (N, C, H, W); also (N, C, L), where torch too takes N for a batch."""
    return _drop_channels("dropout2d", input, p, training, max(min(input.ndim, 4), 3), 4)


def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zeroes whole channels with probability p;  input (N, C, D, H, W) or (C, D, H, W)."""
    return _drop_channels("dropout3d", input, p, training, 5, 4)


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Sets elements to selu's floor with probability p, then scales and shifts so that mean 0 and variance 1 stay.

    Klambauer et al. 2017, section 3.
    """
    if probability(p) == 0.0 or not training:
        return input
    if p == 1.0:
        return input * 0.0
    a = 1.0 / math.sqrt((1.0 - p) * (1.0 + p * SELU_FLOOR**2))
    kept = _kept(input.shape, p, input.dtype)
    return input * (a * kept) + (a * SELU_FLOOR) * ((1.0 - kept) - p)


def drop_path(input: Any, drop_prob: float = 0.0, training: bool = False, scale_by_keep: bool = True) -> Any:
    """Zeroes whole samples with probability drop_prob and scales the others by 1 / (1 - drop_prob);  input (N, *).

    Before a residual sum this skips the branch: stochastic depth, Huang et al. 2016, section 3.
    """
    if probability(drop_prob) == 0.0 or not training:
        return input
    return _drop(input, (input.shape[0],) + (1,) * (input.ndim - 1), drop_prob, scale_by_keep)
