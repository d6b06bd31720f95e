"""Joining and arranging tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["cat", "stack"]


def cat(tensors: Sequence[Any], dim: int = 0) -> Any:
    """The tensors one after another along an axis."""
    return np.concatenate(tensors, axis=dim)


def stack(tensors: Sequence[Any], dim: int = 0) -> Any:
    """The tensors side by side along a new axis."""
    return np.stack(tensors, axis=dim)
