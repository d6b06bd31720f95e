"""A small dense block of float64 in evaluation mode, with weights that are sent, around a method that a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models.densenet import DenseBlock, DenseNetConfig
from ...tape import Tensor


def small(inputs: int, depth: int, growth: int) -> DenseBlock:
    """A block of `depth` layers on `inputs` maps, each of which adds `growth`."""
    return DenseBlock(inputs, depth, DenseNetConfig((depth,), growth, bn_size=2)).double().eval()


def block(student: Callable[..., Any], sizes: tuple[int, int, int], state: dict[str, np.ndarray], x: Tensor) -> Any:
    """student(self, x) where self is the block of these sizes with these weights."""
    made = small(*sizes)
    made.load_state_dict(state)
    return student(made, x)


def layer(student: Callable[..., Any], sizes: tuple[int, int, int], state: dict[str, np.ndarray], x: Tensor) -> Any:
    """student(self, x) where self is the first layer of that block."""
    made = small(*sizes)
    made.load_state_dict(state)
    return student(made[0], x)
