"""Attention without weights, to put into the windows that a student cuts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import functional as F
from ...tape import Tensor


def windows(student: Callable[..., Any], x: Tensor, window: tuple[int, int], shift: tuple[int, int]) -> Any:
    """student(attention, x, window, shift) where every patch is query, key and value as it is."""

    def attention(x: Any, mask: Any = None) -> Any:
        if mask is None:
            return F.scaled_dot_product_attention(x, x, x)
        some = x.unflatten(0, (-1, len(mask)))  # (B, nW, N, C)
        return F.scaled_dot_product_attention(some, some, some, mask[:, 0]).flatten(0, 1)

    return student(attention, x, window, shift)
