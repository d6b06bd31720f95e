"""Axes as users name them: numbers from either end."""

from __future__ import annotations

from typing import Any


def dimension(function: str, x: Any, dim: int, more: int = 0) -> int:
    """The axis as a number from 0; ValueError where x (with `more` axes to come) has no such axis."""
    ndim = max(x.ndim, 1) + more
    if not -ndim <= dim < ndim:
        raise ValueError(f"{function}: axis {dim} should lie between {-ndim} and {ndim - 1}, as the shape is {tuple(x.shape)}")
    return dim % ndim


def dimensions(function: str, x: Any, dims: Any) -> tuple[int, ...]:
    """Several axes, or one, as numbers from 0; ValueError where one is named twice."""
    found = tuple(dimension(function, x, d) for d in (dims if isinstance(dims, (tuple, list)) else (dims,)))
    if len(set(found)) != len(found):
        raise ValueError(f"{function}: an axis is named twice in {tuple(dims)}, of an array with {x.ndim} axes")
    return found


def along(dim: int, part: Any) -> tuple[Any, ...]:
    """The index that takes `part` of one axis and all of the others."""
    return (*(slice(None),) * dim, part)
