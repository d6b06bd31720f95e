"""Heads of float64, with weights that are sent, around a method that a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models import create_model
from ...models.csra import CSRA
from ...nn import Identity
from ...tape import Tensor


def head(student: Callable[..., Any], weight: np.ndarray, x: Tensor, T: float = 1.0, lam: float = 0.5) -> Any:
    """student(self, x) where self is one head with these weights, (C, D, 1, 1)."""
    made = CSRA(weight.shape[1], weight.shape[0], T, lam).double()
    made.load_state_dict({"head.weight": weight})
    return student(made, x)


def small(**overrides: Any) -> Any:
    """A vision transformer, 6 wide, for a grid of 2 x 3 patches."""
    config = {"embed_dim": 6, "depth": 1, "num_heads": 2, "patch_size": 2, "img_size": (4, 6), "lam": 0.5}
    return create_model("csra_vit_base_patch16_224", **{**config, **overrides}).double().eval()


def vit(student: Callable[..., Any], weights: np.ndarray, x: Tensor, *args: Any) -> Any:
    """student(self, x, ...) where self is the small transformer whose heads have these weights, (heads, C, D)."""
    model = small(csra_heads=len(weights), num_classes=weights.shape[1])
    own = {f"multi_head.{h}.head.weight": weight[:, :, None, None] for h, weight in enumerate(weights)}
    model.classifier.load_state_dict(own)
    return student(model, x, *args)


def laid_out(student: Callable[..., Any], x: Tensor) -> np.ndarray:
    """What the student gives to self.classifier."""
    model = small(num_classes=3)
    model.classifier = Identity()
    return student(model, x).numpy()
