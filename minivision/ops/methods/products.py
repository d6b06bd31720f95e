"""Matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...tape import METHODS, NUMPY
from ..matmul import matmul
from ._register import method


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
