"""CSWin's attention of float64, with weights that are sent, around a method that a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models.cswin import LePEAttention
from ...tape import Tensor


def inside(student: Callable[..., Any], dim: int, num_heads: int, state: dict[str, np.ndarray], qkv: Tensor) -> Any:
    """student(self, qkv) where self is the attention of that many channels and heads."""
    made = LePEAttention(dim, num_heads).double()
    made.load_state_dict(state)
    return student(made, qkv)
