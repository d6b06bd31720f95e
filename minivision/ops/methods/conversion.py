"""Leaving and converting: numpy, item, detach, to, requires_grad_, size."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import GraphError
from ...tape import METHODS, Tensor
from .. import elementwise
from ._register import method, unpack


@method
def numpy(self: Tensor) -> np.ndarray:
    """The values as a read-only view: change a tensor with `t[...] = value`, which the tape notices, or change a copy."""
    view = self.data.view()
    view.flags.writeable = False
    return view


@method
def item(self: Tensor) -> Any:
    """The value of a one-element tensor as a Python number."""
    if self.data.size != 1:
        raise ValueError(f"item() needs one element, got shape {self.shape}")
    return self.data.item()


@method
def tolist(self: Tensor) -> Any:
    """The values as nested lists."""
    return self.data.tolist()


@method
def detach(self: Tensor) -> Tensor:
    """The same memory, off the tape."""
    return Tensor(self.data, version=self.version)


@method
def clone(self: Tensor) -> Tensor:
    """A copy, on the tape."""
    return elementwise.multiply(self, 1.0) if self.dtype.kind == "f" else Tensor(self.data.copy())


@method
def contiguous(self: Tensor) -> Tensor:
    """Itself: kernels take any layout."""
    return self


@method
def to(self: Tensor, dtype: Any) -> Tensor:
    """The values in another element type, or in that of another tensor."""
    wanted = dtype.dtype if isinstance(dtype, (Tensor, np.ndarray)) else np.dtype(dtype)
    return self if wanted == self.dtype else elementwise.cast(self, dtype=wanted)


METHODS["astype"] = METHODS["type"] = METHODS["type_as"] = to
for _name, _dtype in {"float": np.float32, "double": np.float64, "long": np.int64, "int": np.int32, "bool": np.bool_}.items():
    METHODS[_name] = lambda self, _dtype=_dtype: to(self, _dtype)


@method
def requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Turns a leaf's need for a gradient on or off."""
    if self.node is not None:
        raise GraphError("only a leaf's requires_grad can be changed; use .detach() first")
    Tensor(self.data, requires_grad)  # refuses integers
    self.requires_grad = requires_grad
    return self


@method
def size(self: Tensor, dim: int | None = None) -> Any:
    """The shape, or one axis of it."""
    return self.shape if dim is None else self.shape[dim]


METHODS["dim"] = METHODS["ndimension"] = lambda self: self.ndim
METHODS["numel"] = METHODS["nelement"] = lambda self: self.data.size
METHODS["is_floating_point"] = lambda self: self.dtype.kind == "f"
METHODS["is_contiguous"] = lambda self: self.data.flags.c_contiguous


@method
def new_full(self: Tensor, size: Any, fill_value: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of another shape, all of one value, in this one's element type."""
    return Tensor(np.full(tuple(size), fill_value, dtype or self.dtype), requires_grad)


@method
def new_tensor(self: Tensor, data: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of the data, in this one's element type."""
    return Tensor(np.array(elementwise.raw(data), dtype or self.dtype, order="C"), requires_grad)


METHODS["new_zeros"] = lambda self, *size, **kwargs: new_full(self, unpack(size), 0, **kwargs)
METHODS["new_ones"] = lambda self, *size, **kwargs: new_full(self, unpack(size), 1, **kwargs)
