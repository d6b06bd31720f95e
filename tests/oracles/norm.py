"""Normalisations: each statistic by math.fsum over a list of elements, each element by itself."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from . import Oracle

Index = tuple[int, ...]


def _indices(shape: Index) -> Iterable[Index]:
    return itertools.product(*map(range, shape))


def _moments(values: list[float]) -> tuple[float, float]:
    mean = math.fsum(values) / len(values)
    return mean, math.fsum((v - mean) ** 2 for v in values) / len(values)


def _eps(rng: np.random.Generator) -> float:
    return float(10.0 ** rng.integers(-6, 0))


def _maybe(rng: np.random.Generator, shape: Index) -> Any:
    """An array, or sometimes None."""
    return rng.standard_normal(shape) if rng.random() < 0.7 else None


# ------------------------------------------------------------------------------------------------------------- rows


def _rows(rng: np.random.Generator, parameters: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape = (*rng.integers(1, 7, rng.integers(0, 3)), rng.integers(1, 40))
    x = rng.standard_normal(shape) * 3.0 + rng.choice([0.0, 10.0])
    return (x, *(_maybe(rng, shape[-1:]) for _ in range(parameters))), {"eps": _eps(rng)}


def _layer_norm(x: Any, weight: Any, bias: Any, eps: float) -> Any:
    y = np.empty(x.shape)
    for lead in _indices(x.shape[:-1]):
        mean, variance = _moments([float(v) for v in x[lead]])
        for j, v in enumerate(x[lead]):
            h = (v - mean) / math.sqrt(variance + eps)
            y[(*lead, j)] = h * (1.0 if weight is None else weight[j]) + (0.0 if bias is None else bias[j])
    return y


def _summed_rows(rng: np.random.Generator) -> tuple[tuple[Any, ...], dict[str, Any]]:
    (x, *parameters), attrs = _rows(rng, 2)
    return (x, rng.standard_normal(x.shape), *parameters), attrs


def _add_layer_norm(x: Any, residual: Any, weight: Any, bias: Any, eps: float) -> Any:
    y = np.empty((2, *x.shape))
    for i in _indices(x.shape):
        y[(0, *i)] = math.fsum([x[i], residual[i]])
    y[1] = _layer_norm(y[0], weight, bias, eps)
    return y


def _rms_norm(x: Any, weight: Any, eps: float) -> Any:
    y = np.empty(x.shape)
    for lead in _indices(x.shape[:-1]):
        root = math.sqrt(math.fsum(v * v for v in x[lead]) / x.shape[-1] + eps)
        for j, v in enumerate(x[lead]):
            y[(*lead, j)] = v / root * (1.0 if weight is None else weight[j])
    return y


# --------------------------------------------------------------------------------------------------------- channels


def _shape(rng: np.random.Generator, channels: int, least: int = 2) -> Index:
    axes = rng.integers(0, 4)
    return (int(rng.integers(least, 5)), channels, *(int(n) for n in rng.integers(1, 5, axes)))


def _image(rng: np.random.Generator, shape: Index) -> Any:
    """An array of this shape with, now and then, its channels last in memory."""
    x = rng.standard_normal(shape) * 2.0 + 1.0
    order = (0, *range(2, x.ndim), 1)
    return np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order)) if rng.random() < 0.5 else x


def _ending(rng: np.random.Generator, shape: Index) -> tuple[Any, dict[str, Any]]:
    """A residual or none, an activation or none, eps."""
    activation = "relu" if rng.random() < 0.5 else None
    return (_image(rng, shape) if rng.random() < 0.5 else None), {"activation": activation, "eps": _eps(rng)}


def _batch(rng: np.random.Generator) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape = _shape(rng, int(rng.integers(1, 20)))
    residual, attributes = _ending(rng, shape)
    return (_image(rng, shape), _maybe(rng, shape[1:2]), _maybe(rng, shape[1:2]), residual), attributes


def _evaluation(rng: np.random.Generator) -> tuple[tuple[Any, ...], dict[str, Any]]:
    (x, weight, bias, residual), attributes = _batch(rng)
    return (x, rng.standard_normal(x.shape[1]), rng.uniform(0.2, 3.0, x.shape[1]), weight, bias, residual), attributes


def _normalized(x: Any, moments: Any, weight: Any, bias: Any, residual: Any, eps: float, activation: str | None) -> Any:
    """Element by element, with moments(index) = (mean, variance)."""
    y = np.empty(x.shape)
    for i in _indices(x.shape):
        mean, variance = moments(i)
        u = (x[i] - mean) / math.sqrt(variance + eps) * (1.0 if weight is None else weight[i[1]])
        u += (0.0 if bias is None else bias[i[1]]) + (0.0 if residual is None else residual[i])
        y[i] = max(u, 0.0) if activation == "relu" else u
    return y


def _batch_norm(x: Any, weight: Any, bias: Any, residual: Any, eps: float, activation: str | None) -> Any:
    of = [_moments([float(x[i]) for i in _indices(x.shape) if i[1] == c]) for c in range(x.shape[1])]
    return _normalized(x, lambda i: of[i[1]], weight, bias, residual, eps, activation)


def _batch_norm_eval(x: Any, mean: Any, variance: Any, *rest: Any, eps: float, activation: str | None) -> Any:
    return _normalized(x, lambda i: (mean[i[1]], variance[i[1]]), *rest, eps, activation)


def _groups(rng: np.random.Generator) -> tuple[tuple[Any, ...], dict[str, Any]]:
    groups, size = int(rng.integers(1, 5)), int(rng.integers(1, 5))
    shape = _shape(rng, groups * size, 1)
    arrays = _image(rng, shape), _maybe(rng, shape[1:2]), _maybe(rng, shape[1:2])
    return arrays, {"groups": groups, "eps": _eps(rng)}


def _group_norm(x: Any, weight: Any, bias: Any, groups: int, eps: float) -> Any:
    size = x.shape[1] // groups
    members: dict[Index, list[float]] = {}
    for i in _indices(x.shape):
        members.setdefault((i[0], i[1] // size), []).append(float(x[i]))
    of = {where: _moments(values) for where, values in members.items()}
    return _normalized(x, lambda i: of[i[0], i[1] // size], weight, bias, None, eps, None)


def _responses(rng: np.random.Generator) -> tuple[tuple[Any, ...], dict[str, Any]]:
    constants = {"alpha": float(rng.uniform(0.0, 2.0)), "beta": float(rng.uniform(0.1, 2.0)), "k": float(rng.uniform(0.5, 2.0))}
    return (_image(rng, _shape(rng, int(rng.integers(1, 9)), 1)),), {"size": int(rng.integers(1, 12)), **constants}


def _local_response_norm(x: Any, size: int, alpha: float, beta: float, k: float) -> Any:
    """Channel c is divided by a power of the squares of channels c - size // 2 .. c + (size - 1) // 2."""
    y = np.empty(x.shape)
    for i in _indices(x.shape):
        near = range(max(0, i[1] - size // 2), min(x.shape[1], i[1] + (size - 1) // 2 + 1))
        squares = math.fsum(float(x[(i[0], c, *i[2:])]) ** 2 for c in near)
        y[i] = x[i] / (k + alpha * squares / size) ** beta
    return y


# ---------------------------------------------------------------------------------------------------------- weights


def _weights(rng: np.random.Generator) -> tuple[tuple[Any, ...], dict[str, Any]]:
    shape = tuple(int(n) for n in rng.integers(1, 5, rng.integers(1, 5)))
    dim = None if rng.random() < 0.2 else int(rng.integers(-len(shape), len(shape)))
    lengths = tuple(n if dim is not None and i == dim % len(shape) else 1 for i, n in enumerate(shape))
    return (rng.standard_normal(shape), rng.standard_normal(lengths)), {"dim": dim}


def _weight_norm(v: Any, g: Any, dim: int | None) -> Any:
    w, axis = np.empty(v.shape), None if dim is None else dim % v.ndim
    for i in _indices(v.shape):
        same = [float(v[j]) for j in _indices(v.shape) if axis is None or j[axis] == i[axis]]
        w[i] = v[i] / math.hypot(*same) * g[tuple(n if a == axis else 0 for a, n in enumerate(i))]
    return w


ORACLES = {
    "layer_norm": Oracle(lambda rng: _rows(rng, 2), _layer_norm),
    "add_layer_norm": Oracle(_summed_rows, _add_layer_norm),
    "rms_norm": Oracle(lambda rng: _rows(rng, 1), _rms_norm),
    "batch_norm": Oracle(_batch, _batch_norm),
    "batch_norm_eval": Oracle(_evaluation, _batch_norm_eval),
    "group_norm": Oracle(_groups, _group_norm),
    "local_response_norm": Oracle(_responses, _local_response_norm),
    "weight_norm": Oracle(_weights, _weight_norm),
}
