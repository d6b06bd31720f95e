"""DynamicViT's predictor and its choice in float64, with weights that are sent, around a method that a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models import create_model
from ...models.dynamic_vit import Predictor
from ...tape import Tensor


def small() -> Any:
    """A model 8 wide for 4 x 4 patches, of which 11, 7 and 5 are left after its stages."""
    return create_model("dynamic_vit_digits", embed_dim=8, num_heads=2).double().eval()


def predictor(student: Callable[..., Any], state: dict[str, np.ndarray], x: Tensor, policy: Any) -> Any:
    """student(self, x, policy) where self is a Predictor with these weights."""
    made = Predictor(x.shape[2]).double()
    made.load_state_dict(state)
    return student(made, x, policy)


def chosen(student: Callable[..., Any], state: dict[str, np.ndarray], x: Tensor, stage: int) -> Any:
    """student(self, x, stage) where self is the small model whose predictor at that stage has these weights."""
    model = small()
    model.score_predictor[stage].load_state_dict(state)
    return student(model, x, stage)
