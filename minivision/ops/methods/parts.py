"""torch's names for parts of an array along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._axes import along, dimension
from ._register import method


@method
def narrow(self: Any, dim: int, start: int, length: int) -> Any:
    """The stretch of `length` from `start` on along an axis."""
    dim = dimension("narrow", self, dim)
    begin = start + self.shape[dim] if start < 0 else start
    if not 0 <= begin <= begin + length <= self.shape[dim]:
        raise ValueError(f"narrow: {length} elements from {start} on do not lie in axis {dim} of {tuple(self.shape)}")
    return self[along(dim, slice(begin, begin + length))]


@method
def select(self: Any, dim: int, index: int) -> Any:
    """One slice along an axis."""
    return self[along(dimension("select", self, dim), int(index))]


@method
def unbind(self: Any, dim: int = 0) -> tuple[Any, ...]:
    """The slices along an axis: of the first, what a loop over a Tensor gives. TypeError for a 0-d one, which has none."""
    if not self.ndim:
        raise TypeError("a 0-d Tensor has no slices and cannot be iterated over; .item() is its number")
    dim = dimension("unbind", self, dim)
    return tuple(self[along(dim, i)] for i in range(self.shape[dim]))


@method
def split(self: Any, split_size: int | list[int], dim: int = 0) -> tuple[Any, ...]:
    """Stretches along an axis, each of split_size (or of the sizes in a list)."""
    dim = dimension("split", self, dim)
    total = self.shape[dim]
    if isinstance(split_size, int) and split_size < 1:
        raise ValueError(f"split: stretches should hold at least one element, got {split_size}")
    starts = range(0, max(total, 1), split_size) if isinstance(split_size, int) else ()
    sizes = split_size if not isinstance(split_size, int) else [min(split_size, total - i) for i in starts]
    if sum(sizes) != total or min(sizes, default=0) < 0:
        raise ValueError(f"split sizes {sizes} do not add up to {total}, the size of axis {dim}")
    ends = np.cumsum(sizes).tolist()
    return tuple(self[along(dim, slice(end - n, end))] for n, end in zip(sizes, ends, strict=True))


@method
def chunk(self: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    """Up to `chunks` stretches of equal size (the last may be shorter)."""
    if chunks < 1:
        raise ValueError(f"chunk: at least one stretch is needed, got {chunks}")
    total = self.shape[dimension("chunk", self, dim)]
    return split(self, -(-total // chunks), dim) if total else split(self, [0] * chunks, dim)
