"""A small masked autoencoder of float64, with weights that are sent, around a method that a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models import create_model


def small(**overrides: Any) -> Any:
    """For two channels and a grid of 2 x 3 patches of 2; the decoder has one block, 8 wide."""
    sizes = {"embed_dim": 12, "depth": 1, "num_heads": 3, "decoder_embed_dim": 8, "decoder_depth": 1, "decoder_num_heads": 2}
    config: dict[str, Any] = {**sizes, "patch_size": 2, "img_size": (4, 6), "in_chans": 2, "mask_ratio": 0.5}
    return create_model("mae_digits", **{**config, **overrides}).double().eval()


def model(student: Callable[..., Any], state: dict[str, np.ndarray], *args: Any, **overrides: Any) -> Any:
    """student(self, ...) where self is the small autoencoder with these weights."""
    made = small(**overrides)
    made.load_state_dict(state)
    return student(made, *args)
