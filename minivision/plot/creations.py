"""Panels of what a model makes: the hidden parts of pictures, and texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from .page import GREY, Box, Panel
from .panels import CELL, show
from .pictures import enlarge, mosaic


def painted(pictures: np.ndarray, names: Sequence[str], sentence: str) -> Panel:
    """pictures (R, N, H, W, 3) from 0 to 1, NaN where nothing is seen: the same images in R rows, each with its name."""
    rows, count, height, width, _ = pictures.shape
    cells = enlarge(pictures.reshape(-1, height, width, 3), CELL).reshape(rows, count, CELL, CELL, 3)
    hidden = np.array([0.86, 0.88, 0.9])  # a grey that no ink on paper has
    cells = np.where(np.isnan(cells), hidden, cells)

    def draw(figure: Figure, box: Box) -> None:
        axes = show(figure, box.inset(left=1.1), mosaic(cells, 6))
        for i, name in enumerate(names):
            axes.text(-10, i * (CELL + 6) + CELL / 2, name, ha="right", va="center", color=GREY, fontsize=11.5)

    return Panel("What it paints", sentence, draw, lambda inches: (inches - 1.1) * rows / count + 0.1)


def written(samples: Sequence[str], sentence: str, lines: int = 14) -> Panel:
    """Texts side by side, in the type of a terminal; each up to so many lines, and as wide as there is room."""

    def draw(figure: Figure, box: Box) -> None:
        width = box.width / len(samples)
        for i, text in enumerate(samples):
            shown = "\n".join(line[: int(width * 10.5)] for line in text.strip("\n").split("\n")[:lines])
            place = Box(box.x + i * width, box.y, width, box.height)
            place.text(figure, 0.0, "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in shown).replace("$", r"\$"),
                       fontsize=9.5, family="monospace", linespacing=1.35)  # fmt: skip

    return Panel("What it writes", sentence, draw, lambda inches: 0.19 * lines + 0.1)
