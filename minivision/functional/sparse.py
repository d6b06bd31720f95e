"""Class numbers and tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops.elementwise import raw
from ..tape import Tensor

__all__ = ["one_hot"]


def one_hot(target: Any, num_classes: int = -1) -> Tensor:
    """(*) of class numbers -> (*, num_classes) of 0 and 1; -1: as many classes as the largest number needs."""
    numbers = raw(target)
    return Tensor(np.eye(int(numbers.max()) + 1 if num_classes == -1 else num_classes, dtype=np.int64)[numbers])
