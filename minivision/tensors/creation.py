"""Making tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tape import Tensor

__all__ = ["tensor"]


def tensor(data: Any, requires_grad: bool = False, dtype: Any = None) -> Tensor:
    """A Tensor with a copy of `data` (numbers, nested lists, an array). Python floats become float32, as in torch."""
    array = data.data if isinstance(data, Tensor) else data
    keep = isinstance(array, (np.ndarray, np.generic))
    array = np.array(array, dtype=dtype, order="C")
    if dtype is None and not keep and array.dtype == np.float64:
        array = array.astype(np.float32)
    return Tensor(array.astype(array.dtype.newbyteorder("="), copy=False), requires_grad)
