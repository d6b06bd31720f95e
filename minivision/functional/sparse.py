"""Class numbers and tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..ops.elementwise import raw
from ..tape import Tensor

__all__ = ["embedding", "one_hot"]


def one_hot(tensor: Any, num_classes: int = -1) -> Tensor:
    """(*) of class numbers -> (*, num_classes) of 0 and 1; -1: as many classes as the largest number needs."""
    numbers = np.asarray(raw(tensor))
    if num_classes == -1 and not numbers.size:
        raise ValueError("one_hot: without class numbers the number of classes must be given")
    classes = int(numbers.max()) + 1 if num_classes == -1 else num_classes
    numbers = ops.indexing.whole_numbers("one_hot", numbers, max(classes, 1), "class")
    return Tensor((numbers[..., None] == np.arange(classes)).astype(np.int64))


def embedding(input: Any, weight: Any, padding_idx: int | None = None) -> Any:
    """Rows of a table;  input (*) of whole numbers below V, weight (V, D) -> (*, D).

    The row padding_idx (it may be counted from the end) gets no gradient. Raises ShapeError naming a number out of range.
    """
    rows = weight.shape[0]
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise ValueError(f"embedding: padding_idx {padding_idx} does not lie between {-rows} and {rows - 1}")
    numbers = ops.indexing.whole_numbers("embedding", input, rows)
    return ops.embedding.embedding(weight, numbers, padding_idx=padding_idx if padding_idx is None else padding_idx % rows)
