"""Dropout of elements and of whole samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import functional as F
from .. import random
from .module import Module

__all__ = ["DropPath", "Dropout"]


class Dropout(Module):
    """In training, zeroes each element with probability p and scales the others by 1 / (1 - p).  Srivastava et al. 2014."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = _probability(p)

    def forward(self, x: Any) -> Any:
        """Any shape."""
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"


class DropPath(Module):
    """In training, zeroes a whole sample with probability drop_prob and scales the others by 1 / (1 - drop_prob).

    Before a residual sum this skips the branch: stochastic depth. Huang et al. 2016, section 3.
    """

    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = _probability(drop_prob)

    def forward(self, x: Any) -> Any:
        """x (N, *) -> the same"""
        if not self.training or self.drop_prob == 0.0:
            return x
        keep = 1.0 - self.drop_prob
        kept = random.generator().random((x.shape[0],) + (1,) * (x.ndim - 1)) >= self.drop_prob
        return x * (kept / max(keep, np.finfo(np.float64).tiny)).astype(x.dtype)

    def extra_repr(self) -> str:
        """The probability."""
        return f"drop_prob={self.drop_prob:.3g}"


def _probability(p: float) -> float:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"a probability lies in [0, 1], got {p}")
    return p
