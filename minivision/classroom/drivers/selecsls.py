"""A small SelecSLS of float64, with weights that are sent, around a method that a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models import create_model
from ...models.selecsls import SelecSLSBlock
from ...tape import Tensor


def small() -> Any:
    """Two stages, of three blocks and of two."""
    stages = ((4, (4, 6, 5)), (6, (8, 7)))
    return create_model("selecsls_digits", stages=stages, head=((6, 3, 2),), num_classes=3).double().eval()


def block(skip: int) -> Any:
    """A block from 3 channels to 5, with a chain of 4."""
    return SelecSLSBlock(3, skip, 4, 5, 1).double().eval()


def joined(student: Callable[..., Any], state: dict[str, np.ndarray], x: Tensor, skip: Tensor | None, channels: int) -> Any:
    """student(self, x, skip) where self is a block with these weights."""
    whole = block(channels)
    whole.load_state_dict(state)
    return student(whole, x, skip)


def steps(student: Callable[..., Any], state: dict[str, np.ndarray], x: Tensor) -> list[tuple[str, Any]]:
    """All that the student's steps(self, x) gives for the small model with these weights."""
    whole = small()
    whole.load_state_dict(state)
    return [(name, y.detach()) for name, y in student(whole, x)]
