"""Pictures of minivision.robustness: accuracy over damage with the spread of seeds, and what the damage looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import PercentFormatter

from ..robustness import Curve
from .page import BLUE, GREY, ORANGE
from .pictures import enlarge, mosaic, on_paper

COLOURS, MARKERS = (BLUE, ORANGE, GREY, "#3f8f5b", "#8a5aa8"), "os^Dv"
CELL, GAP = 96, 8  # pixels: the least side of a sample, the room between two


def draw_curves(axes: Any, curves: Mapping[str, Sequence[Curve]], kept: bool = False, chance: float | None = None) -> None:
    """On axes of matplotlib, a line for each network: the mean accuracy of its curves, one a seed, and a band from least to most.

    kept: each accuracy as a part of its own clean one. chance: a dotted line at this accuracy. The place of a point is the
    mean of the curves' levels. ValueError where a network has no curve, or curves of unlike numbers of levels, or there are
    more than 5.
    """
    if len(curves) > len(COLOURS):
        raise ValueError(f"draw_curves: at most {len(COLOURS)} networks can be told apart, got {len(curves)}")
    for (name, several), colour, marker in zip(curves.items(), COLOURS, MARKERS, strict=False):
        if not several or len({len(curve.levels) for curve in several}) != 1:
            told = [len(curve.levels) for curve in several]
            raise ValueError(f"draw_curves: {name} needs one curve or more, all of as many levels; got levels {told}")
        levels = np.mean([curve.levels for curve in several], axis=0)
        heights = np.array([curve.kept if kept else curve.accuracy for curve in several])  # (seeds, levels)
        axes.plot(levels, heights.mean(0), marker=marker, markersize=4.5, color=colour, label=name)
        axes.fill_between(levels, heights.min(0), heights.max(0), color=colour, alpha=0.2, linewidth=0)
    if chance is not None:
        axes.axhline(chance, color=GREY, linestyle=":", linewidth=1)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylim(0.0, max(1.05, axes.get_ylim()[1]))


def draw_samples(axes: Any, rows: Mapping[str, np.ndarray], white: float = 255.0) -> None:
    """On axes of matplotlib, rows of pictures with the name of each to its left; all rows have as many pictures of one size.

    rows: name -> pixels (K, C, H, W) from 0 to `white`; of one channel (grey) or three. ValueError where they are not alike.
    """
    shapes = {name: np.shape(pixels) for name, pixels in rows.items()}
    if len(set(shapes.values())) != 1 or len(next(iter(shapes.values()))) != 4:
        raise ValueError(f"draw_samples: each row is (K, C, H, W), and all are alike; got {shapes}")
    height, width = next(iter(shapes.values()))[2:]
    side = -(-CELL // max(height, width)) * max(height, width)  # each pixel a block of whole pixels
    cells = np.stack([enlarge(on_paper(np.asarray(pixels) / white, dark=False), side) for pixels in rows.values()])
    axes.imshow(np.clip(mosaic(cells, GAP), 0.0, 1.0), interpolation="nearest")
    axes.set_axis_off()
    for i, name in enumerate(rows):
        axes.text(-GAP, i * (side + GAP) + side / 2, name, ha="right", va="center", fontsize=9)
