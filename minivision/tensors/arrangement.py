"""Joining and arranging tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ops.methods._axes import dimension
from ..ops.methods.arrangement import expand as broadcast_to
from ..ops.methods.arrangement import (
    flatten,
    flip,
    movedim,
    permute,
    reshape,
    roll,
    rot90,
    squeeze,
    t,
    tile,
    transpose,
    tril,
    triu,
    unflatten,
    unsqueeze,
)
from ..ops.methods.parts import chunk, narrow, select, split, unbind

__all__ = [
    "broadcast_tensors",
    "broadcast_to",
    "cat",
    "chunk",
    "concat",
    "flatten",
    "flip",
    "meshgrid",
    "moveaxis",
    "movedim",
    "narrow",
    "permute",
    "reshape",
    "roll",
    "rot90",
    "select",
    "split",
    "squeeze",
    "stack",
    "swapaxes",
    "t",
    "tile",
    "transpose",
    "tril",
    "triu",
    "unbind",
    "unflatten",
    "unsqueeze",
]  # fmt: skip

moveaxis, swapaxes = movedim, transpose


def cat(tensors: Sequence[Any], dim: int = 0) -> Any:
    """The tensors one after another along an axis. Empty vectors (0,) beside arrays of more axes are left out."""
    held = [x for x in tensors if x.shape != (0,)] or list(tensors)
    if not held:
        raise ValueError("cat: at least one tensor is needed")
    return np.concatenate(held, axis=dimension("cat", held[0], dim))


concat = cat


def stack(tensors: Sequence[Any], dim: int = 0) -> Any:
    """The tensors, all of one shape, side by side along a new axis."""
    shapes = {tuple(x.shape) for x in tensors}
    if len(shapes) != 1:
        raise ValueError(f"stack: tensors of one shape are needed, got {sorted(shapes) or 'none'}")
    return np.stack(tensors, axis=dimension("stack", tensors[0], dim, more=min(tensors[0].ndim, 1)))


def broadcast_tensors(*tensors: Any) -> tuple[Any, ...]:
    """Each tensor broadcast to the shape of all."""
    shape = np.broadcast_shapes(*(tuple(x.shape) for x in tensors))
    return tuple(broadcast_to(x, shape) for x in tensors)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Any, ...]:
    """The coordinates of a grid from those of its axes, vectors; indexing "xy" swaps the first two axes, as for images."""
    axes = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    if indexing not in ("ij", "xy") or any(x.ndim > 1 for x in axes):
        raise ValueError(f'meshgrid: vectors and indexing "ij" or "xy" are needed, got {indexing!r}, {[x.shape for x in axes]}')
    ends = [reshape(x, (1,) * k + (-1,) + (1,) * (len(axes) - k - 1)) for k, x in enumerate(axes)]
    grids = broadcast_tensors(*ends)
    return tuple(transpose(g, 0, 1) for g in grids) if indexing == "xy" and len(axes) > 1 else grids
