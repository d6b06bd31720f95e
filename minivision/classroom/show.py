"""Numbers and arrays, shortened to fit into a line."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tape import Tensor

WIDTH, SIDE = 60, 2  # characters of a line; elements shown on each side of the one that differs


def number(x: Any) -> str:
    """A number with nine figures: enough to see where two of them part."""
    return f"{x:.9g}" if isinstance(x, (float, complex, np.inexact)) else str(x)


def brief(value: Any) -> str:
    """Any value in a line; control characters escaped."""
    if isinstance(value, (np.ndarray, Tensor)):
        x = value.data if isinstance(value, Tensor) else value
        flat = ", ".join(number(each) for each in x.ravel()[:4]) + (", ..." if x.size > 4 else "")
        return shortened(f"{flat}   (shape {x.shape}, {x.dtype})")
    text = number(value) if isinstance(value, (float, complex, np.generic)) else repr(value)
    return shortened(text)


def _short(x: Any) -> str:
    """Four figures of a number that has a point, all of a whole one."""
    return f"{x:.4g}" if isinstance(x, np.inexact) else str(x)


def shortened(text: str, width: int = WIDTH) -> str:
    """At most `width` characters."""
    return text if len(text) <= width else text[: width - 4] + " ..."


def around(expected: np.ndarray, got: np.ndarray, at: tuple[int, ...]) -> list[tuple[str, str]]:
    """Both arrays' elements around the one at `at`, along the last axis, one below the other; empty for a single number."""
    if expected.ndim == 0 or expected.shape[-1] == 1:
        return []
    j, length = at[-1], expected.shape[-1]
    columns = range(max(0, j - SIDE), min(length, j + SIDE + 1))
    pairs = [[_short(x[at[:-1]][c]) for x in (expected, got)] for c in columns]
    pairs = [[f">{text}<" if c == j else f" {text} " for text in pair] for c, pair in zip(columns, pairs, strict=True)]
    widths = [max(map(len, pair)) for pair in pairs]
    ends = "... " if columns.start else "", " ..." if columns.stop < length else ""
    rows = [" ".join(pair[k].rjust(width) for pair, width in zip(pairs, widths, strict=True)) for k in (0, 1)]
    place = ", ".join([*map(str, at[:-1]), f"{columns.start}:{columns.stop}"])
    return [
        ("around", f"[{place}]"),
        *((name, f"{ends[0]}{row}{ends[1]}") for name, row in zip(("expected", "got"), rows, strict=True)),
    ]
