"""Borders around images as layers."""

from __future__ import annotations

from typing import Any

from .. import functional as F
from .module import Module

__all__ = ["CircularPad2d", "ConstantPad2d", "ReflectionPad2d", "ReplicationPad2d", "ZeroPad2d"]

Sides = int | tuple[int, int, int, int]


class _Pad2d(Module):
    """A border of (left, right, top, bottom) elements, or of one number on all sides;  (..., H, W) -> (..., H', W')."""

    mode = "constant"

    def __init__(self, padding: Sides) -> None:
        super().__init__()
        self.padding = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
        if len(self.padding) != 4:
            raise ValueError(f"padding is a number or (left, right, top, bottom), got {padding}")

    def forward(self, x: Any) -> Any:
        """(..., H, W) -> (..., top + H + bottom, left + W + right)"""
        return F.pad(x, self.padding, self.mode)

    def extra_repr(self) -> str:
        """The sides."""
        return f"{self.padding}"


class ZeroPad2d(_Pad2d):
    """Zeros around an image: (left, right, top, bottom) of them, or one number. A negative number crops."""


class ConstantPad2d(_Pad2d):
    """One value around an image. A negative number crops."""

    def __init__(self, padding: Sides, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, x: Any) -> Any:
        """(..., H, W) -> (..., top + H + bottom, left + W + right)"""
        return F.pad(x, self.padding, value=self.value)

    def extra_repr(self) -> str:
        """The sides and the value."""
        return f"padding={self.padding}, value={self.value}"


class ReflectionPad2d(_Pad2d):
    """The image mirrored at its outermost elements, which are not repeated."""

    mode = "reflect"


class ReplicationPad2d(_Pad2d):
    """The outermost elements repeated."""

    mode = "replicate"


class CircularPad2d(_Pad2d):
    """The image's other end."""

    mode = "circular"
