"""A small iGPT of float64, with weights that are sent, around a method that a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models import create_model


def small() -> Any:
    """Two blocks, 8 wide, for pictures of 6 pixels in 4 colours."""
    return create_model("igpt_digits", n_embd=8, n_layer=2, n_head=2, n_positions=6, vocab_size=5).double().eval()


def model(student: Callable[..., Any], state: dict[str, np.ndarray], *args: Any) -> Any:
    """student(self, ...) where self is the small iGPT with these weights."""
    made = small()
    made.load_state_dict(state)
    return student(made, *args)


def start(student: Callable[..., Any], colours: int, pixels: Any) -> Any:
    """student(self, pixels) where self is an iGPT of so many colours."""
    return student(create_model("igpt_digits", n_embd=8, n_layer=1, n_head=2, vocab_size=colours + 1), pixels)
