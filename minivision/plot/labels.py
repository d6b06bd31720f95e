"""Names beside points of a plot, each where it covers neither another name nor, if it can be helped, a point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.transforms import Bbox

DISTANCES, ANGLES = (14, 28, 45, 70, 100, 140), 24  # pixels from a point to its name; directions
FORBIDDEN = 1e3  # what covering a name, or leaving the axes, costs; covering a point costs 1, a pixel of distance 0.01
HALO = withStroke(linewidth=3.0, foreground="white")  # keeps words readable over points and lines


class Label(NamedTuple):
    """Words for the point (x, y) of the axes."""

    x: float
    y: float
    words: str
    colour: str


def place(axes: Any, labels: Sequence[Label], crowd: Sequence[tuple[float, float]]) -> list[Any]:
    """Writes the labels, each in the best place that other words have left; crowd: points that had better stay visible."""
    renderer, texts = FigureCanvasAgg(axes.figure).get_renderer(), []
    points = axes.transData.transform(np.array(crowd).reshape(-1, 2))
    taken: list[Bbox] = [text.get_window_extent(renderer) for text in axes.texts]
    for label in labels:
        centre = axes.transData.transform((label.x, label.y))
        text = _write(axes, label)
        size = np.add(Text.get_window_extent(text, renderer).size, 4.0)
        box = min(_boxes(centre, size), key=lambda box: _cost(box, centre, axes.bbox, taken, points))
        text.set_position(np.mean(box.get_points(), axis=0) - centre)
        taken.append(box)
        texts.append(text)
    return texts


def _write(axes: Any, label: Label) -> Any:
    """The words on their point, with a thin line back to it."""
    return axes.annotate(
        label.words, (label.x, label.y), (0, 0), textcoords="offset pixels", ha="center", va="center", color=label.colour,
        fontsize=10.5, zorder=5.0, path_effects=[HALO],
        arrowprops={"arrowstyle": "-", "color": label.colour, "linewidth": 0.9, "shrinkA": 0.0, "shrinkB": 3.0},
    )  # fmt: skip


def _boxes(centre: np.ndarray, size: np.ndarray) -> Iterator[Bbox]:
    """Places around a point: its name touches an ellipse at one of the distances."""
    for distance in DISTANCES:
        for angle in 2 * np.pi * np.arange(ANGLES) / ANGLES:
            middle = centre + np.array([np.cos(angle), np.sin(angle)]) * (distance + size / 2)
            yield Bbox([middle - size / 2, middle + size / 2])


def _cost(box: Bbox, centre: np.ndarray, frame: Bbox, taken: Sequence[Bbox], points: np.ndarray) -> float:
    """Low for a place that covers nothing and is near its point."""
    low, high = np.asarray(box.min), np.asarray(box.max)
    outside = bool(np.any(low < frame.min) or np.any(high > frame.max))
    covered = np.all((points >= low - 4.0) & (points <= high + 4.0), axis=1).sum()
    distance = np.linalg.norm(np.clip(centre, low, high) - centre)
    return FORBIDDEN * (box.count_overlaps(taken) + outside) + float(covered) + 0.01 * float(distance)
