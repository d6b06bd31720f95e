"""A configuration of Swin around a method that a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...models.swin import SwinConfig


def windows(student: Callable[..., Any], settings: dict[str, Any], stage: int) -> Any:
    """student(self, stage) where self is a SwinConfig of four stages."""
    return student(SwinConfig(8, (1, 1, 1, 1), (1, 1, 1, 1), **settings), stage)
