"""In-place changes, and what they mean on the tape."""

from __future__ import annotations

from typing import Any

from ...errors import GraphError
from ...recording import is_recording
from ...tape import METHODS, Tensor
from .. import elementwise, shape
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
    if self.requires_grad and is_recording():
        raise GraphError("a tensor that requires gradients cannot be changed in place while recording; use `with mv.no_grad():`")
    self.data[shape.plain_index(index)] = elementwise.raw(value)
    self.version[0] += 1


METHODS["fill_"] = copy_
METHODS["zero_"] = lambda self: copy_(self, 0)
METHODS["add_"] = lambda self, other, alpha=1: assign_(self, self + other * alpha)
METHODS["sub_"] = lambda self, other, alpha=1: assign_(self, self - other * alpha)
METHODS["mul_"] = lambda self, other: assign_(self, self * other)
METHODS["div_"] = lambda self, other: assign_(self, self / other)
