"""A module as a function of its parameters: forward with other tensors in their places, differentiable through those."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ShapeError
from ..tape import Tensor
from .module import Module

__all__ = ["functional_call"]

Place = tuple[Module, str]


def functional_call(
    module: Module, parameters: Mapping[str, Any], args: Any = (), kwargs: Mapping[str, Any] | None = None
) -> Any:
    """module(*args, **kwargs), computed with the given tensors as its parameters and buffers of those names.

    parameters: {dotted path, as in named_parameters(): Tensor}; what it does not name stays the module's own, and a parameter
    shared by several layers is replaced in all of them by any of its names. args: a tuple, or the one argument. The result is
    differentiable with respect to the tensors, however they were made, so to the second order too. Afterwards the module has
    its own again, also after an error. ValueError for a name that it has not, or two tensors for one shared parameter;
    ShapeError for another shape; TypeError for what is no Tensor.
    """
    places = _places(module, parameters)
    kept = [(owner, name, vars(owner)[name]) for found, _ in places for owner, name in found]
    try:
        for found, tensor in places:
            for owner, name in found:
                vars(owner)[name] = tensor
        return module(*(args if isinstance(args, tuple) else (args,)), **(kwargs or {}))
    finally:
        for owner, name, own in kept:
            vars(owner)[name] = own


def _places(module: Module, parameters: Mapping[str, Any]) -> list[tuple[list[Place], Tensor]]:
    """(every attribute that holds the named parameter, what it is to hold), after all is checked."""
    named: dict[str, Tensor] = {}
    holders: dict[int, list[Place]] = {}
    for path, owner in module._tree():
        for full, own, _ in owner._entries(path, recurse=False):
            named[full] = own
            holders.setdefault(id(own), []).append((owner, full.rpartition(".")[2]))
    chosen: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in parameters.items():
        if name not in named:
            raise ValueError(f"functional_call: {type(module).__name__} has no parameter or buffer {name!r}")
        if not isinstance(tensor, Tensor):
            raise TypeError(f"functional_call: {name} is to be a Tensor, got {type(tensor).__name__}")
        own = named[name]
        if tensor.shape != own.shape:
            problem = f"{name} of {type(module).__name__} has shape {own.shape}, what stands for it {tensor.shape}"
            raise ShapeError("functional_call", problem, f"{name} {tensor.shape}")
        before, other = chosen.setdefault(id(own), (name, tensor))
        if other is not tensor:
            raise ValueError(f"functional_call: {before} and {name} are one parameter, and two tensors were given for it")
    return [(holders[key], tensor) for key, (_, tensor) in chosen.items()]
