"""Borders around an array."""

from __future__ import annotations

import math
import operator
import sys
from typing import Any

import numpy as np

from .. import ops
from ..errors import ShapeError

__all__ = ["pad"]

MODES = ("constant", "reflect", "replicate", "circular")


def pad(input: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Any:
    """input with a border;  pad = (before, after) of the last axis, then of the one before it, and so on.

    mode: "constant" (`value`, default 0), "reflect" (mirrored at the outermost elements, which are not repeated),
    "replicate" (the outermost element), "circular" (the other end). A negative number crops. Any number of axes.
    Raises ValueError where a border is larger than what it is made from.
    """
    widths = _widths(tuple(map(operator.index, pad)), input)
    _check_memory(input, widths)
    if mode == "constant":
        return _constant(input, widths, 0.0 if value is None else value)
    if mode not in MODES or value is not None:
        raise ValueError(f"pad: mode is one of {MODES}, of which the first alone takes a value, got {mode!r}, {value}")
    for axis, (before, after) in enumerate(widths):
        if before or after:
            input = ops.indexing.index_select(input, _source(input, axis, before, after, mode), axis=axis)
    return input


def _widths(pad: tuple[int, ...], x: Any) -> list[tuple[int, int]]:
    """torch's list, last axis first, as (before, after) of each axis in order; ShapeError where one is cropped to nothing."""
    if len(pad) % 2 or len(pad) > 2 * x.ndim:
        raise ValueError(f"pad: two numbers are needed for each of up to {x.ndim} axes, the last axis first, got {pad}")
    pairs = list(zip(pad[0::2], pad[1::2], strict=True))
    widths = [(0, 0)] * (x.ndim - len(pairs)) + pairs[::-1]
    for axis, ((before, after), n) in enumerate(zip(widths, x.shape, strict=True)):
        if n + min(before, 0) + min(after, 0) < 0:
            problem = f"{before} and {after} elements crop more than the {n} of axis {axis}"
            raise ShapeError("pad", problem, f"input {tuple(x.shape)}, pad {pad}")
    return widths


def _check_memory(x: Any, widths: list[tuple[int, int]]) -> None:
    """MemoryError with the bytes where no machine has so many."""
    shape = tuple(before + n + after for (before, after), n in zip(widths, x.shape, strict=True))
    size = math.prod(shape) * x.dtype.itemsize  # Python's integers do not overflow
    if size > sys.maxsize:
        raise MemoryError(f"pad: a result of shape {shape} takes {size} bytes")


def _constant(x: Any, widths: list[tuple[int, int]], value: float) -> Any:
    """Cropped where a width is negative, then a border of one value."""
    inside = tuple(slice(max(-b, 0), n - max(-a, 0)) for (b, a), n in zip(widths, x.shape, strict=True))
    around = tuple((max(b, 0), max(a, 0)) for b, a in widths)
    cropped = ops.indexing.getitem(x, index=inside) if any(min(pair, default=0) < 0 for pair in widths) else x
    return ops.pad.pad(cropped, widths=around, value=float(value)) if any(map(any, around)) else cropped


def _source(x: Any, axis: int, before: int, after: int, mode: str) -> np.ndarray:
    """Where on its axis each element of the padded array comes from."""
    n, larger = x.shape[axis], max(before, after)
    crop, around = (max(-before, 0), max(-after, 0)), (max(before, 0), max(after, 0))
    most = {"reflect": n - 1, "circular": n - sum(crop), "replicate": larger if n else 0}[mode]
    if larger > most:
        reason = f"{mode} makes borders of up to {most} elements from the {n} of axis {axis}, got {before} and {after}"
        raise ShapeError("pad", reason, f"input {tuple(x.shape)}")
    if mode == "circular":  # what is cropped does not come in at the other end
        return np.pad(np.arange(crop[0], n - crop[1]), around, "wrap")
    places = np.pad(np.arange(n), around, "reflect" if mode == "reflect" else "edge")
    return places[crop[0] : len(places) - crop[1]]
