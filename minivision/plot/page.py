"""A page of panels: places in inches, words, one palette. Drawn by Agg, without a screen."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

BLUE, ORANGE, INK, GREY, PALE = "#2b6ca3", "#e07b39", "#22272e", "#6b7480", "#e3e7ec"
HEAT = LinearSegmentedColormap.from_list("heat", ["#ffffff", "#fde3c8", "#f3a864", ORANGE, "#a34a12"])
SIGNED = LinearSegmentedColormap.from_list("signed", [BLUE, "#a9c8e2", "#ffffff", "#f5c59f", ORANGE])
STYLE: Any = {
    "font.family": "DejaVu Sans", "font.size": 12, "axes.edgecolor": "#b6bec8", "axes.labelcolor": GREY, "axes.grid": True,
    "axes.spines.top": False, "axes.spines.right": False, "grid.color": PALE, "grid.linewidth": 0.8, "text.color": INK,
    "xtick.color": GREY, "ytick.color": GREY, "axes.axisbelow": True,
}  # fmt: skip
WIDTH, MARGIN, GUTTER, DPI = 16.0, 0.55, 0.6, 100  # inches, dots per inch
TOP, BETWEEN = 1.45, 0.5  # inches: the page's heading, the room between rows
TITLE, LINE, BELOW = 0.36, 0.235, 0.2  # inches: a panel's title, a line of its sentence, the room under both


@dataclass(frozen=True)
class Box:
    """A place on the page in inches, from the top left corner."""

    x: float
    y: float
    width: float
    height: float

    def inset(self, left: float = 0.0, top: float = 0.0, right: float = 0.0, bottom: float = 0.0) -> Box:
        """The place without some inches at its edges."""
        return Box(self.x + left, self.y + top, self.width - left - right, self.height - top - bottom)

    def axes(self, figure: Figure, **options: Any) -> Any:
        """Axes that fill this place."""
        w, h = figure.get_size_inches()
        return figure.add_axes((self.x / w, 1.0 - (self.y + self.height) / h, self.width / w, self.height / h), **options)

    def text(self, figure: Figure, down: float, words: str, **options: Any) -> None:
        """Words whose top left corner lies `down` inches below this place's."""
        w, h = figure.get_size_inches()
        figure.text(self.x / w, 1.0 - (self.y + down) / h, words, va="top", **options)


@dataclass(frozen=True)
class Panel:
    """A title, a sentence that says what to see, and what draws into the place below them.

    share: of a row's width; height: the inches that the drawing needs at a width in inches.
    """

    title: str
    sentence: str
    draw: Callable[[Figure, Box], None]
    height: Callable[[float], float]
    share: float = 1.0

    def lines(self, width: float) -> list[str]:
        """The sentence in lines of that many inches."""
        return textwrap.wrap(self.sentence, int(width * 12.2))

    def put(self, figure: Figure, box: Box, heading: float) -> None:
        """Draws the words and, `heading` inches lower, the picture."""
        box.text(figure, 0.0, self.title, fontsize=15, fontweight="bold")
        box.text(figure, TITLE, "\n".join(self.lines(box.width)), fontsize=11.5, color=GREY, linespacing=1.4)
        self.draw(figure, box.inset(top=heading))


@dataclass(frozen=True)
class Row:
    """Panels side by side, all as high as the highest."""

    panels: Sequence[Panel]

    def widths(self) -> list[float]:
        """In inches."""
        room = WIDTH - 2 * MARGIN - GUTTER * (len(self.panels) - 1)
        return [room * panel.share / sum(p.share for p in self.panels) for panel in self.panels]

    def heading(self) -> float:
        """Inches for the words above the pictures, the same for all panels."""
        return TITLE + LINE * max(len(p.lines(w)) for p, w in zip(self.panels, self.widths(), strict=True)) + BELOW

    def height(self) -> float:
        """Inches, with the heading."""
        return self.heading() + max(p.height(w) for p, w in zip(self.panels, self.widths(), strict=True))

    def put(self, figure: Figure, y: float) -> None:
        """Draws the panels from left to right."""
        x = MARGIN
        for panel, width in zip(self.panels, self.widths(), strict=True):
            panel.put(figure, Box(x, y, width, self.height()), self.heading())
            x += width + GUTTER


def compose(title: str, subtitle: str, rows: Sequence[Sequence[Panel | None]]) -> Figure:
    """Rows of panels under a heading; panels that are None are left out."""
    kept = [Row(present) for panels in rows if (present := [panel for panel in panels if panel])]
    with matplotlib.rc_context(STYLE):
        total = TOP + sum(row.height() + BETWEEN for row in kept)
        figure = Figure(figsize=(WIDTH, total), dpi=DPI, facecolor="white")
        top, y = Box(MARGIN, 0.42, WIDTH - 2 * MARGIN, 1.0), TOP
        top.text(figure, 0.0, title, fontsize=23, fontweight="bold")
        top.text(figure, 0.47, subtitle, fontsize=12.5, color=GREY)
        for row in kept:
            row.put(figure, y)
            y += row.height() + BETWEEN
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    content = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()
