"""Banded attention around a method that a student wrote, and texts drawn by a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models import create_model


def attend(student: Callable[..., Any], band: int, q: Any, k: Any, v: Any) -> Any:
    """student(self, q, k, v) where self is an attention with that band."""
    return student(create_model("gpt3_tiny", n_embd=8, n_head=2, n_layer=2, band=band).transformer.h[1].attn, q, k, v)


def drawn(student: Callable[..., Any], seed: int, *args: Any) -> Any:
    """student(rng, ...) with a generator of that seed."""
    return student(np.random.default_rng(seed), *args)
