"""A small XLNet of float64, and a generator of random numbers, for functions that a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models import create_model
from ...models.permutation import Drawn


def small() -> Any:
    """One layer, 4 wide, for five tokens."""
    return create_model("xlnet_tiny", d_model=4, n_layer=1, n_head=2, d_inner=8, vocab_size=5).double().eval()


def loss(student: Callable[..., Any], state: dict[str, np.ndarray], tokens: Any, drawn: tuple[Any, ...], segments: Any) -> Any:
    """student(self, tokens, drawn, segments) where self is the small XLNet with these weights."""
    model = small()
    model.load_state_dict(state)
    return student(model, tokens, Drawn(*drawn), segments)


def draws(student: Callable[..., Any], tokens: Any, K: int, seed: int, **options: Any) -> Any:
    """student(tokens, K, rng=a generator with this seed, ...)."""
    return tuple(student(tokens, K, rng=np.random.default_rng(seed), **options))
