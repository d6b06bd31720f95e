"""A non-local block of float64, with weights that are sent, around a method that a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models.nonlocal_net import NonLocalBlock


def small(**options: Any) -> NonLocalBlock:
    """A block for 6 channels, 3 inside, in evaluation mode."""
    return NonLocalBlock(6, **options).double().eval()


def block(student: Callable[..., Any], state: dict[str, np.ndarray], *args: Any, **options: Any) -> Any:
    """student(self, ...) where self is the small block with these weights."""
    made = small(**options)
    made.load_state_dict(state)
    return student(made, *args)
