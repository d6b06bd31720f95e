"""A small DeiT of float64, with weights that are sent, around a method that a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models import create_model


def small(**overrides: Any) -> Any:
    """A model of one block, 12 wide, for images of 4 x 4 pixels with patches of 2, and 5 classes."""
    config: dict[str, Any] = {"embed_dim": 12, "depth": 1, "num_heads": 3, "img_size": 4, "num_classes": 5}
    return create_model("deit_digits", **{**config, **overrides}).double().eval()


def model(
    student: Callable[..., Any], state: dict[str, np.ndarray], training: bool, *args: Any, overrides: dict[str, Any]
) -> Any:
    """student(self, ...) where self is the small DeiT with these weights, in training or evaluation mode."""
    made = small(**overrides).train(training)
    made.load_state_dict(state)
    return student(made, *args)
