"""Tensors of random numbers, from minivision's own generator (mv.manual_seed) or from one that is given."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import random
from ..ops.elementwise import raw
from ..ops.methods._register import unpack
from ..tape import Tensor
from .creation import check_memory

__all__ = ["bernoulli", "multinomial", "normal", "rand", "rand_like", "randint", "randn", "randn_like", "randperm"]

Generator = np.random.Generator | None


def rand(*size: Any, generator: Generator = None, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    """Numbers from U[0, 1), float32 or float64."""
    return Tensor((generator or random.generator()).random(unpack(size), dtype), requires_grad)


def randn(*size: Any, generator: Generator = None, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    """Numbers from N(0, 1), float32 or float64."""
    return Tensor((generator or random.generator()).standard_normal(unpack(size), dtype), requires_grad)


def rand_like(input: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Numbers from U[0, 1) in the shape and element type of another."""
    return rand(tuple(input.shape), dtype=dtype or input.dtype, requires_grad=requires_grad)


def randn_like(input: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Numbers from N(0, 1) in the shape and element type of another."""
    return randn(tuple(input.shape), dtype=dtype or input.dtype, requires_grad=requires_grad)


def normal(mean: Any, std: Any, size: Any = (), *, generator: Generator = None) -> Tensor:
    """Numbers from N(mean, std^2): one for each element of mean and std, or of a shape for two numbers."""
    mean, std = raw(mean), raw(std)
    shape = np.broadcast_shapes(np.shape(mean), np.shape(std), tuple(size))
    return Tensor(np.asarray(randn(shape, generator=generator).data * std + mean, np.float32))


def randint(*bounds_and_size: Any, generator: Generator = None, dtype: Any = np.int64) -> Tensor:
    """randint(high, size) or randint(low, high, size): whole numbers from low (0) to high - 1."""
    *bounds, size = bounds_and_size
    low, high = bounds if len(bounds) == 2 else (0, *bounds)
    if high <= low:
        raise ValueError(f"randint: high should be greater than low, got {low} and {high}")
    return Tensor((generator or random.generator()).integers(low, high, tuple(size)).astype(dtype, copy=False))


def randperm(n: int, *, generator: Generator = None) -> Tensor:
    """The numbers 0 .. n - 1 in random order."""
    check_memory("randperm", n)
    return Tensor((generator or random.generator()).permutation(n))


def bernoulli(input: Any, *, generator: Generator = None) -> Tensor:
    """1 with the probability that each element gives, else 0, in its element type."""
    p = np.asarray(raw(input))
    if p.dtype.kind != "f" or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"bernoulli: probabilities from 0 to 1 are needed, got {p.dtype} from {p.min()} to {p.max()}")
    return Tensor(((generator or random.generator()).random(p.shape) < p).astype(p.dtype))


def multinomial(input: Any, num_samples: int, replacement: bool = False, *, generator: Generator = None) -> Tensor:
    """Numbers of classes, drawn by weight;  weights (C) or (N, C), which need not add up to 1 -> (..., num_samples).

    Without replacement by the largest log w + Gumbel noise, which draws one class after another by weight (Efraimidis &
    Spirakis 2006); then no more can be drawn than have a weight above 0.
    """
    weights, rng = np.asarray(raw(input), np.float64), generator or random.generator()
    _check_weights(weights, num_samples, replacement)
    if replacement:
        ends = np.cumsum(weights, axis=-1)
        draws = rng.random((*weights.shape[:-1], num_samples)) * ends[..., -1:]
        draws = np.minimum(draws, np.nextafter(ends[..., -1:], 0.0))  # the product may round up to the end itself
        return Tensor(np.sum(draws[..., None] >= ends[..., None, :], axis=-1))
    with np.errstate(divide="ignore"):
        keys = np.log(weights) + rng.gumbel(size=weights.shape)
    return Tensor(np.argsort(-keys, axis=-1)[..., :num_samples])


def _check_weights(weights: np.ndarray, num_samples: int, replacement: bool) -> None:
    if weights.ndim not in (1, 2) or num_samples < 1:
        raise ValueError(f"multinomial: weights (C) or (N, C) and samples from 1 are needed, got {weights.shape}, {num_samples}")
    if not (np.isfinite(weights) & (weights >= 0)).all() or not weights.sum(axis=-1).all():
        raise ValueError("multinomial: the weights of a row should be finite, none negative and not all 0")
    most = int(np.min(np.count_nonzero(weights, axis=-1), initial=num_samples))
    if not replacement and num_samples > most:
        raise ValueError(f"multinomial: {num_samples} different classes cannot be drawn where {most} have a weight above 0")
