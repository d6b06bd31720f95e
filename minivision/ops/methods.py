"""torch.Tensor's names on a Tensor: the attributes and methods that models, lessons and users call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import GraphError
from ..recording import is_recording
from ..tape import METHODS, NUMPY, Tensor
from . import elementwise, reduce, shape
from .matmul import matmul


def method(function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a function (its name may end in _method) a method of every Tensor."""
    METHODS[function.__name__.removesuffix("_method")] = function
    return function


def _unpack(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The sizes or axes of f(2, 3) and of f((2, 3)) alike."""
    return tuple(args[0]) if len(args) == 1 and isinstance(args[0], (tuple, list)) else args


# ------------------------------------------------------------------------------------------- leaving and converting


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
    """The values in another element type."""
    return self if np.dtype(dtype) == self.dtype else elementwise.cast(self, dtype=np.dtype(dtype))


METHODS["astype"] = METHODS["type"] = to
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


METHODS["dim"] = lambda self: self.ndim
METHODS["numel"] = lambda self: self.data.size

# -------------------------------------------------------------------------------------------------------- in place


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

# ----------------------------------------------------------------------------------------------------- arrangement


@method
def __getitem__(self: Tensor, index: Any) -> Tensor:
    return shape.getitem(self, index=shape.plain_index(index))


@method
def reshape(self: Tensor, *sizes: Any) -> Tensor:
    """The same elements in row order in another shape; one size may be -1."""
    return shape.reshape(self, shape=_unpack(sizes))


METHODS["view"] = reshape


@method
def flatten(self: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The axes from start_dim to end_dim as one."""
    start, end = start_dim % max(self.ndim, 1), end_dim % max(self.ndim, 1)
    return shape.reshape(self, shape=(*self.shape[:start], int(np.prod(self.shape[start : end + 1])), *self.shape[end + 1 :]))


@method
def permute(self: Tensor, *dims: Any) -> Tensor:
    """The axes in another order."""
    return shape.permute(self, axes=_unpack(dims))


@method
def transpose(self: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two axes swapped."""
    return shape.swapaxes(self, dim0, dim1)


@method
def unsqueeze(self: Tensor, dim: int) -> Tensor:
    """A new axis of size 1."""
    return shape.expand_dims(self, dim)


@method
def squeeze(self: Tensor, dim: int | None = None) -> Tensor:
    """Without an axis of size 1, or without all of them."""
    return shape.squeeze(self, dim)


@method
def expand(self: Tensor, *sizes: Any) -> Tensor:
    """Axes of size 1 repeated, without copying; -1 keeps a size."""
    wanted = _unpack(sizes)
    own = (1,) * (len(wanted) - self.ndim) + self.shape
    return shape.broadcast_to(self, shape=tuple(n if w == -1 else w for w, n in zip(wanted, own, strict=True)))


def _along(dim: int, ndim: int, part: Any) -> tuple[Any, ...]:
    """The index that takes `part` of one axis and all of the others."""
    return (*(slice(None),) * (dim % ndim), part)


@method
def unbind(self: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis."""
    return tuple(self[_along(dim, self.ndim, i)] for i in range(self.shape[dim]))


@method
def split(self: Tensor, split_size: int | list[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Stretches along an axis, each of split_size (or of the sizes in a list)."""
    total = self.shape[dim]
    sizes = [min(split_size, total - i) for i in range(0, total, split_size)] if isinstance(split_size, int) else split_size
    if sum(sizes) != total:
        raise ValueError(f"split sizes {sizes} do not add up to {total}, the size of axis {dim}")
    ends = np.cumsum(sizes).tolist()
    return tuple(self[_along(dim, self.ndim, slice(end - n, end))] for n, end in zip(sizes, ends, strict=True))


@method
def chunk(self: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Up to `chunks` stretches of equal size (the last may be shorter)."""
    return split(self, -(-self.shape[dim] // chunks), dim)


@method
def masked_fill(self: Tensor, mask: Any, value: float) -> Tensor:
    """`value` where the mask holds."""
    return elementwise.where(mask, np.asarray(value, self.dtype), self)


# --------------------------------------------------------------------------------------------- products, reductions


@method
def matmul_method(self: Any, other: Any) -> Any:
    """Matrix product; a vector on the left is a row, on the right a column."""
    if min(self.ndim, other.ndim) >= 2:
        return matmul(self, other)
    a = np.expand_dims(self, 0) if self.ndim == 1 else self
    b = np.expand_dims(other, 1) if other.ndim == 1 else other
    y = matmul(a, b)
    y = np.squeeze(y, -1) if other.ndim == 1 else y
    return np.squeeze(y, -1 if other.ndim == 1 else -2) if self.ndim == 1 else y


NUMPY[np.matmul] = METHODS["__matmul__"] = METHODS["bmm"] = METHODS["mm"] = matmul_method


def _reduction(reduce_op: Any) -> Callable[..., Any]:
    def reduced(self: Tensor, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False) -> Any:
        along = dim if axis is None else axis
        return reduce_op(self, axis=tuple(along) if isinstance(along, list) else along, keepdims=keepdim or keepdims)

    return reduced


METHODS["sum"], METHODS["mean"] = _reduction(reduce.sum), _reduction(reduce.mean)
METHODS["amax"], METHODS["amin"] = _reduction(reduce.max), _reduction(reduce.min)


def _with_indices(reduce_op: Any, find: Any) -> Callable[..., Any]:
    def reduced(self: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
        if dim is None:
            return reduce_op(self, axis=None, keepdims=False)
        indices = np.expand_dims(find(self.data, axis=dim), dim)
        values: Any = shape.gather(self, indices, axis=dim)
        return (values, Tensor(indices)) if keepdim else (np.squeeze(values, dim), Tensor(indices.squeeze(dim)))

    return reduced


METHODS["max"], METHODS["min"] = _with_indices(reduce.max, np.argmax), _with_indices(reduce.min, np.argmin)
METHODS["argmax"] = lambda self, dim=None, keepdim=False: Tensor(np.asarray(np.argmax(self.data, axis=dim, keepdims=keepdim)))
METHODS["argmin"] = lambda self, dim=None, keepdim=False: Tensor(np.asarray(np.argmin(self.data, axis=dim, keepdims=keepdim)))
METHODS["any"] = lambda self, dim=None: Tensor(np.asarray(np.any(self.data, axis=dim)))
METHODS["all"] = lambda self, dim=None: Tensor(np.asarray(np.all(self.data, axis=dim)))


@method
def var(self: Tensor, dim: Any = None, correction: int = 1, keepdim: bool = False) -> Tensor:
    """Variance with Bessel's correction, as torch has it."""
    return reduce.var(self, axis=dim, correction=correction, keepdims=keepdim)


@method
def std(self: Tensor, dim: Any = None, correction: int = 1, keepdim: bool = False) -> Tensor:
    """The square root of var."""
    return np.sqrt(var(self, dim, correction, keepdim))


@method
def norm(self: Tensor) -> Tensor:
    """The Euclidean norm of all elements."""
    return np.sqrt(reduce.sum(self * self))
