"""In-place changes, and what they mean on the tape."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import random
from ...errors import GraphError
from ...recording import is_recording
from ...tape import METHODS, Tensor
from .. import elementwise, indexing
from ._register import method


@method
def assign_(self: Tensor, value: Tensor) -> Tensor:
    """`x += y` and its kin: in place off the tape; on the tape a new tensor takes the name, so that no gradient is wrong."""
    if is_recording() and self.requires_grad and self.node is None:
        raise GraphError("a leaf that requires gradients cannot be changed in place while recording; use `with mv.no_grad():`")
    if is_recording() and (self.requires_grad or value.requires_grad):
        return value
    return copy_(self, value)


@method
def copy_(self: Tensor, value: Any) -> Tensor:
    """Writes `value` into this tensor's memory."""
    self[...] = value
    return self


@method
def __setitem__(self: Tensor, index: Any, value: Any) -> None:
    """Writes in place: off the tape only, and counted in `version` so that backward() notices."""
    if is_recording() and (self.requires_grad or getattr(value, "requires_grad", False)):
        raise GraphError("a tensor that requires gradients cannot be changed in place while recording; use `with mv.no_grad():`")
    self.data[indexing.plain_index(index)] = elementwise.raw(value)
    self.version[0] += 1


def _in_place(name: str) -> Any:
    """x.name_(...): x.name(...) written into x. On the tape it has no name to give to the new tensor, so it refuses."""

    def changed(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        value = METHODS[name](self, *args, **kwargs)
        if is_recording() and (self.requires_grad or value.requires_grad):
            raise GraphError(f"{name}_() cannot change a tensor that gradients flow through: write `x = x.{name}(...)`")
        return copy_(self, value)

    return changed


for _name in (
    "abs", "ceil", "clamp", "cos", "div", "exp", "floor", "index_add", "index_copy", "index_fill", "log", "masked_fill", "mul",
    "neg", "pow", "remainder", "round", "rsqrt", "scatter", "scatter_add", "sigmoid", "sin", "sqrt", "square", "tanh", "tril",
    "triu",
):  # fmt: skip
    METHODS[f"{_name}_"] = _in_place(_name)

METHODS["fill_"] = copy_
METHODS["zero_"] = lambda self: copy_(self, 0)
METHODS["add_"] = lambda self, other, alpha=1: _in_place("add")(self, other if alpha == 1 else other * alpha)
METHODS["sub_"] = lambda self, other, alpha=1: _in_place("sub")(self, other if alpha == 1 else other * alpha)


@method
def uniform_(self: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Draws every element from U(a, b)."""
    return copy_(self, random.generator().random(self.shape) * (b - a) + a)


@method
def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Draws every element from N(mean, std^2)."""
    return copy_(self, random.generator().standard_normal(self.shape) * std + mean)


@method
def bernoulli_(self: Tensor, p: float = 0.5) -> Tensor:
    """Draws 1 with probability p, else 0, for every element."""
    return copy_(self, np.asarray(random.generator().random(self.shape) < p))
