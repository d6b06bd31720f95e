"""Layers in float64, with weights that are sent, for functions that are given one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import nn
from ...models.acnet import ACBlock

LAYERS: dict[str, Callable[..., Any]] = {
    "Linear": nn.Linear,
    "Conv2d": nn.Conv2d,
    "ConvTranspose1d": nn.ConvTranspose1d,
    "ConvTranspose2d": nn.ConvTranspose2d,
}


def block(student: Callable[..., Any], state: dict[str, np.ndarray], *settings: int) -> Any:
    """student(self) where self is an ACBlock(*settings) with this state."""
    made = ACBlock(*settings).double().eval()
    made.load_state_dict(state)
    return student(made)


def layer(student: Callable[..., Any], kind: str, settings: list[int], groups: int, scale: np.ndarray, seen: np.ndarray) -> Any:
    """student(layer, weight, scale) for such a layer with this weight."""
    made = LAYERS[kind](*settings) if kind == "Linear" else LAYERS[kind](*settings, groups=groups)
    return student(made.double(), seen, scale)
