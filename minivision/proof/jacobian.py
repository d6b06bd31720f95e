"""Jacobians of an operation, (outputs, inputs), two ways: by the numbers of its definition, and by its VJP."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..gradcheck import differences
from ..op import Op
from .case import Case

EPS = 2.0**-20  # the step of differences: a power of two, so that x + eps is exact for the arguments of `distinct`
TINY = 1e-30  # the step of the complex step: squares of it vanish against 1


def differentiable(a: Any) -> bool:
    """Whether an argument is a floating-point array: only those have derivatives."""
    return isinstance(a, np.ndarray) and a.dtype.kind in "fc"


def generator(op: Op, case: Case) -> np.random.Generator:
    """The random numbers of one case: the same in every run and in any order of cases."""
    return np.random.default_rng(zlib.crc32(f"{op.name} {case.label}".encode()))


def flatten(values: Sequence[Any], like: Sequence[Any]) -> np.ndarray:
    """The cotangents of the differentiable arguments in one vector; None is 0, one of the wrong shape is NaN."""
    parts = [np.empty(0)]
    for value, a in zip(values, like, strict=True):
        if differentiable(a):
            value = np.zeros(a.shape) if value is None else value
            parts.append(np.ravel(value) if value.shape == a.shape else np.full(a.size, np.nan))
    return np.concatenate(parts)


def worst(came: np.ndarray, expected: np.ndarray) -> float:
    """The largest |came - expected| / max(1, |expected|); infinite where something is NaN."""
    if came.size == 0:
        return 0.0
    error = np.abs(came - expected) / np.maximum(1.0, np.abs(expected))
    return float(np.max(np.where(np.isnan(error), np.inf, error)))


def complex_steps(function: Callable[[], np.ndarray], x: np.ndarray) -> np.ndarray:
    """The Jacobian of an analytic function of the complex array x: Im f(x + i h) / h has no difference to cancel."""
    jacobian = np.empty((function().size, x.size))
    for j in range(x.size):
        kept = x.flat[j]
        x.flat[j] = kept + 1j * TINY
        jacobian[:, j] = function().imag / TINY
        x.flat[j] = kept
    return jacobian


def numeric(function: Callable[[Sequence[Any]], np.ndarray], args: Sequence[Any], complex_step: bool = False) -> np.ndarray:
    """The Jacobian of a function of arrays, by complex step or by central differences."""
    kind = complex if complex_step else float
    copies = [np.array(a, kind) if differentiable(a) else a for a in args]

    def run() -> np.ndarray:
        return np.ravel(function(copies))

    inputs = filter(differentiable, copies)
    return np.concatenate([complex_steps(run, x) if complex_step else differences(run, x, EPS) for x in inputs], axis=1)


def pull(op: Op, dy: np.ndarray, kept: Any, args: Sequence[Any], attrs: Any) -> np.ndarray:
    """The cotangents of all differentiable arguments in one vector."""
    return flatten(op.pull(dy, kept, tuple(map(differentiable, args)), dict(attrs)), args)


def closed_form(op: Op, args: Sequence[Any], attrs: Any) -> np.ndarray:
    """The Jacobian whose rows are the VJP's answers to each basis vector of the output."""
    y, kept = op.definition(*args, **attrs)
    y = np.asarray(y)
    basis = np.eye(y.size).reshape(y.size, *y.shape).astype(y.dtype)
    columns = sum(a.size for a in args if differentiable(a))
    return np.array([pull(op, dy, kept, args, attrs) for dy in basis]).reshape(y.size, columns)
