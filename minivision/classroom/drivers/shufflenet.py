"""A unit of ShuffleNet v2 of float64, with weights that are sent, around a method that a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models.shufflenet_v2 import Unit
from ...tape import Tensor


def unit(student: Callable[..., Any], channels: int, shuffle: bool, state: dict[str, np.ndarray], x: Tensor) -> Any:
    """student(self, x) where self is a unit of stride 1, in evaluation."""
    made = Unit(channels, shuffle).double().eval()
    made.load_state_dict(state)
    return student(made, x)
