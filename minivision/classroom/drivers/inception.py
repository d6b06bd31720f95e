"""Small Inception modules of float64 in evaluation mode, with weights that are sent, around a method that a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models.inception_resnet_v2 import Residual, block8
from ...models.inception_v4 import InceptionC, Layers
from ...tape import Tensor

SMALL = Layers(32)  # 48 maps for module C, 65 for the residual module


def module_c(student: Callable[..., Any], state: dict[str, np.ndarray], x: Tensor) -> Any:
    """student(self, x) where self is a module C with these weights."""
    made = InceptionC(SMALL).double().eval()
    made.load_state_dict(state)
    return student(made, x)


def small_residual(scale: float, last: bool) -> Residual:
    """A residual module of the 8x8 map."""
    made = block8(SMALL, scale).double().eval()
    made.last = last
    return made


def residual(student: Callable[..., Any], scale: float, last: bool, state: dict[str, np.ndarray], x: Tensor) -> Any:
    """student(self, x) where self is a residual module with these settings and weights."""
    made = small_residual(scale, last)
    made.load_state_dict(state)
    return student(made, x)
