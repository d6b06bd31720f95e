"""Numbers, pairs and paddings as users give them, for convolution and pooling."""

from __future__ import annotations

import operator
from typing import Any


def pair(name: str, value: Any) -> tuple[int, int]:
    """(height, width) from one whole number or two."""
    values = value if isinstance(value, (tuple, list)) else (value, value)
    if len(values) != 2 or not all(hasattr(v, "__index__") for v in values):
        raise ValueError(f"{name} is a whole number or a pair (height, width) of them, got {value!r}")
    return operator.index(values[0]), operator.index(values[1])


def paddings(padding: Any, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> Any:
    """((top, bottom), (left, right)) from a number, a pair, "valid" or "same" (as many outputs as inputs)."""
    if padding not in ("same", "valid"):
        return tuple((p, p) for p in pair("padding", padding))
    if padding == "valid":
        return (0, 0), (0, 0)
    if stride != (1, 1):
        raise ValueError(f'padding="same" needs stride 1, got {stride}; give the padding in numbers')
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    return tuple((t // 2, t - t // 2) for t in total)
