"""Dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import random

__all__ = ["dropout"]


def dropout(input: Any, p: float = 0.5, training: bool = True) -> Any:
    """Zeroes elements with probability p and scales the others by 1 / (1 - p); nothing where not training."""
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"the dropout probability lies in [0, 1], got {p}")
    if not training or p == 0.0:
        return input
    keep = random.generator().random(input.shape, np.float32) >= p
    return input * (keep.astype(input.dtype) * (1.0 / (1.0 - p) if p < 1.0 else 0.0))
