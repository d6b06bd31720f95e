"""A small ViT of float64, with weights that are sent, around a method that a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models import create_model
from ...tape import Tensor


def small(**overrides: Any) -> Any:
    """A model of two blocks, 12 wide, for images of 6 x 4 pixels with patches of 2."""
    config: dict[str, Any] = {"embed_dim": 12, "depth": 2, "num_heads": 3, "patch_size": 2, "img_size": (6, 4), "num_classes": 5}
    return create_model("vit_digits", **{**config, **overrides}).double().eval()


def model(student: Callable[..., Any], path: str, state: dict[str, np.ndarray], x: Tensor, *args: Any, **overrides: Any) -> Any:
    """student(self, x, ...) where self is the module at `path` of the small ViT, "" for the ViT itself, with these weights."""
    whole = small(**overrides)
    whole.load_state_dict(state)
    return student(dict(whole.named_modules())[path], x, *args)


def stochastic(student: Callable[..., Any], x: Tensor) -> list[float]:
    """For forty calls in training, how far a block whose branches are always left out, or never, is from its input."""
    found = []
    for rate in (1.0, 0.0):
        block = small(drop_path_rate=rate).blocks[1].train()
        found.append(float(np.abs(student(block, x).data - x.data).max()))
    return found
