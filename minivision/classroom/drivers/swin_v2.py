"""Swin v2's attention of float64, with weights that are sent, around a method that a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models.swin_v2 import SwinV2Config, WindowAttention


def small(window: tuple[int, int] = (2, 2), trained: int = 0) -> WindowAttention:
    """Two heads of three numbers; trained: with windows of this side, 0 for the window itself."""
    return WindowAttention(SwinV2Config(6, (1,), (2,), pretrained_window_sizes=(trained,)), 0, window).double()


def layer(
    student: Callable[..., Any], state: dict[str, np.ndarray], *args: Any, window: tuple[int, int] = (2, 2), trained: int = 0
) -> Any:
    """student(self, ...) where self is the small layer with these weights."""
    made = small(window, trained)
    made.load_state_dict(state)
    return student(made, *args)
