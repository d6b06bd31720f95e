"""Layers of stand-alone, axial and quadratic attention in float64, around a function that a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models.attention_cnn import QuadraticAttention
from ...models.axial import AxialAttention
from ...models.sasa import AttentionStem, LocalAttention
from ...nn import Module

State = dict[str, np.ndarray]
LAYERS: dict[str, Callable[..., Module]] = {
    "local": LocalAttention,
    "stem": AttentionStem,
    "axial": AxialAttention,
    "quadratic": QuadraticAttention,
}


def layer(student: Callable[..., Any], kind: str, settings: tuple[Any, ...], state: State, *args: Any) -> Any:
    """student(self, ...) where self is a layer of this kind with these weights, in evaluation mode."""
    made = LAYERS[kind](*settings).double().eval()
    made.load_state_dict(state, strict=False)
    return student(made, *args)


def reading(student: Callable[..., Any], x: Any, *args: Any) -> Any:
    """What the layer that student(...) gives makes of x, and its number of heads."""
    made = student(*args)
    return made(x), made.heads
