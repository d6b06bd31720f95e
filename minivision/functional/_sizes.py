"""Numbers, pairs and paddings as users give them, for convolution and pooling."""

from __future__ import annotations

import operator
from typing import Any

FORMS = {
    1: "a whole number",
    2: "a whole number or a pair (height, width) of them",
    3: "a whole number or three (depth, height, width) of them",
}


def numbers(name: str, value: Any, count: int) -> tuple[int, ...]:
    """A whole number for each of `count` axes, from one for all of them or from a tuple or list."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    values = values * count if len(values) == 1 else values
    if len(values) != count or not all(hasattr(v, "__index__") for v in values):
        raise ValueError(f"{name} is {FORMS[count]}, got {value!r}")
    return tuple(map(operator.index, values))


def pair(name: str, value: Any) -> tuple[int, int]:
    """(height, width) from one whole number or two."""
    height, width = numbers(name, value, 2)
    return height, width


def paddings(padding: Any, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> Any:
    """((in front, behind), ..) for each axis from numbers, "valid" (none) or "same" (as many outputs as inputs)."""
    if not isinstance(padding, str):
        return tuple((p, p) for p in numbers("padding", padding, len(kernel)))
    if padding not in ("same", "valid"):
        raise ValueError(f'padding is {FORMS[len(kernel)]}, "same" or "valid", got {padding!r}')
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if set(stride) != {1}:
        raise ValueError(f'padding="same" needs stride 1, got {stride}; give the padding in numbers')
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    return tuple((t // 2, t - t // 2) for t in total)
