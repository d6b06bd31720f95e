"""Weights made of other parameters just before each forward pass: weight normalisation and spectral normalisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from .. import functional as F
from .. import random
from ..ops.weight_norm import norm_shape
from ..recording import no_grad
from ..tape import Tensor
from .module import Handle, Module
from .parameter import Parameter

Made = TypeVar("Made", bound=Module)


class _Hook:
    """Before forward, module.`name` = `make(module)`: a Tensor that the true parameters get their gradients through."""

    def __init__(self, name: str, kind: str, make: Callable[[Module], Tensor]) -> None:
        self.name, self.kind, self.make = name, kind, make

    def __call__(self, module: Module, args: tuple[Any, ...]) -> None:
        setattr(module, self.name, self.make(module))


def _take(module: Module, name: str, kind: str) -> Parameter:
    """The parameter of that name, which the module no longer has."""
    weight = vars(module).get(name)
    if not isinstance(weight, Parameter):
        raise ValueError(f"{kind}: {type(module).__name__} has no parameter {name!r} of its own, or it is made of others already")
    delattr(module, name)
    return weight


def _install(module: Module, name: str, kind: str, make: Callable[[Module], Tensor]) -> None:
    hook = _Hook(name, kind, make)
    with no_grad():
        hook(module, ())
    Handle(module.__dict__.setdefault("_pre_hooks", {}), hook)


def _remove(module: Made, name: str, kind: str, *parts: str) -> Made:
    """The weight as it is now becomes a parameter again, and its parts go."""
    found = [n for n, hook in module._pre_hooks.items() if isinstance(hook, _Hook) and (hook.name, hook.kind) == (name, kind)]
    if not found:
        raise ValueError(f"remove_{kind}: {type(module).__name__}.{name} is not under {kind}")
    hook: Any = module.__dict__["_pre_hooks"].pop(found[0])
    with no_grad():
        weight = hook.make(module).data
    delattr(module, name)
    for part in parts:
        delattr(module, f"{name}_{part}")
        module.__dict__.get("_buffers", {}).pop(f"{name}_{part}", None)
    module.register_parameter(name, Parameter(weight))
    return module


def weight_norm(module: Made, name: str = "weight", dim: int | None = 0) -> Made:
    """Makes module.weight of a length and a direction: weight = g v / |v|, one length for each index of axis dim.

    The parameters are then weight_g and weight_v, as in published checkpoints. dim=None: one length for all. Changes the
    module and returns it; ValueError where it has no such parameter.  Salimans & Kingma 2016.
    """
    weight = _take(module, name, "weight_norm")
    shape = norm_shape(weight.shape, dim)
    rest = tuple(i for i, n in enumerate(shape) if dim is None or i != dim % len(shape))
    length = np.sqrt(np.sum(weight.data * weight.data, axis=rest, keepdims=True))
    module.register_parameter(f"{name}_g", Parameter(length, requires_grad=weight.requires_grad))
    module.register_parameter(f"{name}_v", Parameter(weight.data, requires_grad=weight.requires_grad))

    def make(m: Module) -> Tensor:
        return F.weight_norm(getattr(m, f"{name}_v"), getattr(m, f"{name}_g"), dim)

    _install(module, name, "weight_norm", make)
    return module


def remove_weight_norm(module: Made, name: str = "weight") -> Made:
    """Puts weight_g and weight_v together as one parameter again."""
    return _remove(module, name, "weight_norm", "g", "v")


def spectral_norm(
    module: Made, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int = 0
) -> Made:  # fmt: skip
    """Divides module.weight, as a matrix with axis dim for its rows, by an estimate of its largest singular value.

    The estimate u W v is improved by power iteration at each forward pass in training; u and v stay as buffers. State:
    weight_orig, weight_u, weight_v.  Miyato et al. 2018, algorithm 1.
    """
    if n_power_iterations < 1:
        raise ValueError(f"spectral_norm: n_power_iterations must be at least 1, got {n_power_iterations}")
    weight = _take(module, name, "spectral_norm")
    module.register_parameter(f"{name}_orig", Parameter(weight.data, requires_grad=weight.requires_grad))
    rows = weight.shape[dim]
    for part, size in {"u": rows, "v": weight.data.size // rows}.items():
        start = random.generator().standard_normal(size).astype(weight.dtype)
        module.register_buffer(f"{name}_{part}", _unit(start, eps))

    def make(m: Module) -> Tensor:
        original, u, v = (getattr(m, f"{name}_{part}") for part in ("orig", "u", "v"))
        if m.training:
            _iterate(np.moveaxis(original.data, dim, 0).reshape(rows, -1), u, v, n_power_iterations, eps)
        outer = u.data[:, None] * v.data  # (rows, columns), a constant: d(u W v) / dW
        moved = [original.shape[dim], *(n for i, n in enumerate(original.shape) if i != dim % original.ndim)]
        return original / (original * np.moveaxis(outer.reshape(moved), 0, dim)).sum()

    _install(module, name, "spectral_norm", make)
    return module


def remove_spectral_norm(module: Made, name: str = "weight") -> Made:
    """The weight as it is now, already divided, as one parameter again."""
    before, module.training = module.training, False
    try:
        return _remove(module, name, "spectral_norm", "orig", "u", "v")
    finally:
        module.training = before


def _unit(x: np.ndarray, eps: float) -> np.ndarray:
    """x / max(|x|, eps)"""
    return x / max(float(np.linalg.norm(x)), eps)


def _iterate(matrix: np.ndarray, u: Tensor, v: Tensor, times: int, eps: float) -> None:
    """v <- W^T u / |W^T u|,  u <- W v / |W v|, in place."""
    for _ in range(times):
        v.data = _unit(matrix.T @ u.data, eps)
        u.data = _unit(matrix @ v.data, eps)
    for vector in (u, v):
        vector.version[0] += 1
