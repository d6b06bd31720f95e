"""Modules of the residual networks, with weights that are sent, around a method that a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models.resnet import PadShortcut
from ...models.senet import SqueezeExcitation
from ...tape import Tensor


def shortcut(student: Callable[..., Any], more: int, stride: int, x: Tensor) -> Any:
    """student(self, x) where self is a PadShortcut."""
    return student(PadShortcut(more, stride), x)


def gates(student: Callable[..., Any], reduction: int, state: dict[str, np.ndarray], x: Tensor) -> Any:
    """student(self, x) where self is a SqueezeExcitation with these weights, for as many channels as x has."""
    made = SqueezeExcitation(x.shape[1], reduction).to(x.dtype)
    made.load_state_dict(state)
    return student(made, x)
