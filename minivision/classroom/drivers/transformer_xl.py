"""A small Transformer-XL of float64, its memory or one of its layers, around a method that a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models import create_model
from ...models.transformer_xl import Memory

SIZES = {"d_model": 6, "n_layer": 1, "n_head": 2, "d_head": 2, "d_inner": 8, "vocab_size": 5}


def small(**settings: Any) -> Any:
    """One layer, 6 wide, two heads of 2."""
    return create_model("transformer_xl_tiny", **{**SIZES, **settings}).double().eval()


def sees(student: Callable[..., Any], T: int, N: int, **settings: Any) -> Any:
    """student(self, T, N) where self is a model with these settings."""
    return student(small(**settings), T, N)


def memory(student: Callable[..., Any], room: int, texts: list[Any]) -> tuple[list[Any], list[Any]]:
    """(what student(self, 1, h) gives for each of some texts, what is kept then): self is a memory of two layers."""
    model = small(mem_len=room, n_layer=2)
    kept = Memory(model.config, texts[0].shape[0], texts[0].dtype)
    given, left = [], []
    for h in texts:
        given.append(student(kept, 1, h))
        left.append(kept.hidden[1])
    return given, [*left, kept.hidden[0]]


def attention(student: Callable[..., Any], state: dict[str, np.ndarray], *args: Any) -> Any:
    """student(self, ...) where self is the attention of the small model's layer with these weights."""
    layer = small().layers[0].dec_attn
    layer.load_state_dict(state)
    return student(layer, *args)
