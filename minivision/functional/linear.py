"""Linear maps."""

from __future__ import annotations

from typing import Any

from .. import ops

__all__ = ["linear"]


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """y = x W^T + b;  input (*, I), weight (O, I), bias (O) -> (*, O)."""
    return ops.matmul.linear(input, weight, bias)
