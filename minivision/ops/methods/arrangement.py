"""torch's names for the same elements in another arrangement."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...tape import METHODS, Tensor
from .. import elementwise, shape
from ._register import method, unpack


@method
def __getitem__(self: Tensor, index: Any) -> Tensor:
    return shape.getitem(self, index=shape.plain_index(index))


@method
def reshape(self: Tensor, *sizes: Any) -> Tensor:
    """The same elements in row order in another shape; one size may be -1."""
    return shape.reshape(self, shape=unpack(sizes))


METHODS["view"] = reshape


@method
def flatten(self: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The axes from start_dim to end_dim as one."""
    start, end = start_dim % max(self.ndim, 1), end_dim % max(self.ndim, 1)
    return shape.reshape(self, shape=(*self.shape[:start], int(np.prod(self.shape[start : end + 1])), *self.shape[end + 1 :]))


@method
def permute(self: Tensor, *dims: Any) -> Tensor:
    """The axes in another order."""
    return shape.permute(self, axes=unpack(dims))


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
    wanted = unpack(sizes)
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
