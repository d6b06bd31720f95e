"""A small SimMIM of float64, with weights that are sent, around a method that a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models import create_model


def small(**overrides: Any) -> Any:
    """One stage of one block, 4 wide, for images of two channels and 4 x 8 pixels, of which cells of 2 x 2 are hidden."""
    sizes = {"embed_dim": 4, "depths": (1,), "num_heads": (2,), "window_size": 2, "mlp_ratio": 1.0}
    config: dict[str, Any] = {**sizes, "patch_size": 1, "img_size": (4, 8), "in_chans": 2, "mask_patch_size": 2}
    return create_model("simmim_digits", **{**config, **overrides}).double().eval()


def masking(student: Callable[..., Any], batch: int, noise: np.ndarray, **overrides: Any) -> Any:
    """student(self, batch, noise) where self is the small SimMIM."""
    return student(small(**overrides), batch, noise)


def encoder(student: Callable[..., Any], state: dict[str, np.ndarray], *args: Any) -> Any:
    """student(self, ...) where self is the small SimMIM's encoder with these weights."""
    made = small().encoder
    made.load_state_dict(state)
    return student(made, *args)
