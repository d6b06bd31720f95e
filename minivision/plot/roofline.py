"""The roofline (Williams et al. 2009): how close each workload of `minivision bench` comes to the machine's limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from ..bench import Machine, Result
from ..bench.report import geometric_mean, share
from .labels import HALO, Label, place
from .page import BLUE, GREY, INK, ORANGE, Box, Panel, compose, png

# Title, and the groups that share a panel: they are told apart by colour.
ROOFS = {
    "Matrix products": {"gemm": "float32", "gemm64": "float64"},
    "Convolutions": {"conv": "forward", "conv + gradients": "with gradients"},
    "Depthwise convolutions": {"depthwise": "forward", "depthwise + gradients": "with gradients"},
    "Attention": {"attention": "forward", "attention + gradients": "with gradients"},
}
RATES = {
    "Bound by memory": "memory-bound", "Optimisers": "optimiser", "Vision transformers": "training",
    "Other networks": "networks", "Language": "language",
}  # fmt: skip
COLOURS = (BLUE, ORANGE)
PLAIN = FuncFormatter(lambda value, _: f"{value:,g}")
LINE = 0.24  # inches: a workload's line in a panel of rates
View = tuple[float, float, float, float]  # least and most intensity, least and most speed


def roofline(results: Sequence[Result], machine: Machine | None) -> bytes:
    """The results as a PNG: a panel for each kind of work; kinds that were not timed are left out.

    machine: None where it was not measured; then there are no limits to draw.
    """
    return png(chart(results, machine))


def chart(results: Sequence[Result], machine: Machine | None) -> Figure:
    """roofline() before it is a file."""
    torch = any("torch" in result.seconds for result in results)
    roofs = [panel for title in ROOFS if (panel := _roof(title, results, machine))]
    memory, *others = [_rates(title, results, machine) for title in RATES]
    filled = "Filled: minivision; hollow: PyTorch." if torch else "Each dot is a workload of minivision."
    return compose(
        "How close to the machine's limits",
        f"{filled}{_limits(machine)}",
        [roofs[:2], roofs[2:], [memory], others[:2], others[2:3], others[3:]],
    )


def _limits(machine: Machine | None) -> str:
    if machine is None:
        return ""
    return f"   ·   {machine.processor}, threads: {machine.threads}, {machine.isa}"


def _speed(result: Result, engine: str = "minivision") -> float:
    """GFLOP/s, or GB/s of what only moves memory."""
    return (result.workload.flops or result.workload.bytes) / result.seconds[engine] / 1e9


def _intensity(result: Result) -> float:
    """Floating-point operations for each byte moved."""
    return result.workload.flops / result.workload.bytes


def _roof(title: str, results: Sequence[Result], machine: Machine | None) -> Panel | None:
    """GFLOP/s over arithmetic intensity, both logarithmic, with the best and the worst of each group named."""
    groups = {name: [r for r in results if r.workload.group == name] for name in ROOFS[title]}
    shown = [result for group in groups.values() for result in group]
    if not shown:
        return None

    def draw(figure: Figure, box: Box) -> None:
        axes = box.inset(left=0.75, top=0.3, bottom=0.55).axes(figure)
        view = _view(shown, machine)
        _scales(axes, view)
        crowd = _draw_roofs(axes, sorted({r.workload.dtype for r in shown}), machine, view)
        labels: list[Label] = []
        for colour, group in zip(COLOURS, groups.values(), strict=True):
            crowd += _dots(axes, [_intensity(r) for r in group], group, colour, upright=True)
            labels += _extremes(group, machine, colour)
        _legend(axes, [name for key, name in ROOFS[title].items() if groups[key]], groups)
        place(axes, labels, crowd)

    return Panel(title, _sentence(shown, machine), draw, lambda width: 4.6)


def _view(shown: Sequence[Result], machine: Machine | None) -> View:
    """Room for all dots, for the slope of the roof and for the words above it."""
    intensities = [_intensity(r) for r in shown]
    speeds = [_speed(r, name) for r in shown for name in ("minivision", "torch") if name in r.seconds]
    low, high = min(intensities) / 2, 2 * max(intensities)
    if machine is None:
        return low, high, min(speeds) / 3, 2 * max(speeds)
    peaks = [machine.peak[r.workload.dtype] for r in shown]
    low, high = min(low, min(peaks) / machine.bandwidth / 3), max(high, 3 * max(peaks) / machine.bandwidth)
    return low, high, min(speeds) / 3, 2.5 * max(*speeds, max(peaks) / 1e9)


def _scales(axes: Any, view: View) -> None:
    axes.set(xscale="log", yscale="log", xlim=view[:2], ylim=view[2:])
    axes.set(xlabel="arithmetic intensity (operations per byte)", ylabel="GFLOP/s")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(10.0, subs=(1.0, 2.0, 5.0)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(PLAIN)


def _draw_roofs(axes: Any, dtypes: Sequence[str], machine: Machine | None, view: View) -> list[tuple[float, float]]:
    """min(peak, bandwidth x intensity) of each element type, with its figure; some points of the lines, to be kept free."""
    if machine is None:
        return []
    x = np.geomspace(*view[:2], 200)
    crowd: list[tuple[float, float]] = []
    for dtype in dtypes:
        peak = machine.peak[dtype] / 1e9
        y = np.minimum(peak, machine.bandwidth * x / 1e9)
        axes.plot(x, y, color=INK, linewidth=1.6, zorder=1.5)
        words = f"{peak:,.0f} GFLOP/s, {dtype}"
        axes.annotate(
            words, (view[1], peak), (-3, 4), textcoords="offset points", ha="right", fontsize=11, zorder=4.0, path_effects=[HALO]
        )
        crowd += [(a, b * lift) for a, b in zip(x, y, strict=True) for lift in (1.0, 1.2) if b >= view[2]]
    start = max(view[0], 1e9 * view[2] / machine.bandwidth) * 1.15
    _along(axes, f"{machine.bandwidth / 1e9:,.0f} GB/s", start, machine.bandwidth * start / 1e9)
    return crowd


def _along(axes: Any, words: str, x: float, y: float) -> None:
    """Words above a line of slope one (both scales logarithmic) from a place on."""
    (x0, y0), (x1, y1) = axes.transData.transform([(x, y), (10 * x, 10 * y)])
    angle = float(np.degrees(np.arctan2(y1 - y0, x1 - x0)))
    axes.annotate(
        words, (x, y), (-4, 4), textcoords="offset points", rotation=angle, rotation_mode="anchor", fontsize=11
    )  # fmt: skip


def _dots(axes: Any, places: Sequence[float], group: Sequence[Result], colour: str, upright: bool) -> list[tuple[float, float]]:
    """Filled for minivision, hollow for PyTorch, a thin line between the two; places: along the other axis. Where they are."""
    own = np.array([(where, _speed(r)) for where, r in zip(places, group, strict=True)]).reshape(-1, 2)
    other = np.array([(x, _speed(r, "torch") if "torch" in r.seconds else np.nan) for x, r in zip(places, group, strict=True)])
    other = other.reshape(-1, 2)
    between = axes.vlines if upright else axes.hlines
    between(own[:, 0], own[:, 1], other[:, 1], color=colour, linewidth=0.9, alpha=0.45)
    hollow, filled = {"markerfacecolor": "white", "markersize": 5.5, "zorder": 2.5}, {"markersize": 6.5, "zorder": 3.0}
    for points, look in ((other, hollow), (own, filled)):
        axes.plot(*(points.T if upright else points.T[::-1]), "o", color=colour, **look)
    return [(x, y) for x, y in np.concatenate([own, other]).tolist() if y == y]


def _extremes(group: Sequence[Result], machine: Machine | None, colour: str) -> list[Label]:
    """The workloads of a group that come nearest to the limit and least near, with their shares of it."""
    if machine is None or not group:
        return []
    ends = {id(r): r for r in (max(group, key=lambda r: share(r, machine)), min(group, key=lambda r: share(r, machine)))}
    return [Label(_intensity(r), _speed(r), f"{r.workload.name}: {share(r, machine):.0%}", colour) for r in ends.values()]


def _legend(axes: Any, names: Sequence[str], groups: dict[str, list[Result]]) -> None:
    """The colours above the axes."""
    colours = [colour for colour, group in zip(COLOURS, groups.values(), strict=True) if group]
    marks = [Line2D([], [], color=colour, marker="o", linestyle="", markersize=6.5) for colour in colours]
    axes.legend(
        marks, names, loc="lower left", bbox_to_anchor=(-0.01, 0.99), ncols=len(names), frameon=False, fontsize=11.5,
        handletextpad=0.1, columnspacing=1.2, borderpad=0.0, labelcolor=GREY,
    )  # fmt: skip


def _sentence(shown: Sequence[Result], machine: Machine | None) -> str:
    """How many, and how near to the limit."""
    count = f"{len(shown)} workloads" if len(shown) > 1 else "One workload"
    if machine is None:
        return f"{count}; the machine's limits are unknown without C kernels."
    shares = [share(result, machine) for result in shown]
    return f"{count}, at {geometric_mean(shares):.0%} of the limit (geometric mean); the least at {min(shares):.0%}."


def _rates(title: str, results: Sequence[Result], machine: Machine | None) -> Panel | None:
    """A line for each workload: GB/s beside the memory's, or GFLOP/s beside the peak."""
    shown = [r for r in results if r.workload.group == RATES[title]]
    if not shown:
        return None
    unit = "GFLOP/s" if shown[0].workload.flops else "GB/s"

    def draw(figure: Figure, box: Box) -> None:
        axes = Box(box.x + 2.9, box.y + 0.3, box.width - 3.0, LINE * len(shown)).axes(figure)
        axes.set(xlabel=unit, ylim=(len(shown) - 0.4, -0.6))
        _dots(axes, range(len(shown)), shown, BLUE, upright=False)
        axes.set_yticks(range(len(shown)), [r.workload.name for r in shown], fontsize=10.5)
        axes.tick_params(axis="y", length=0)
        if machine:
            limit = (machine.peak[shown[0].workload.dtype] if shown[0].workload.flops else machine.bandwidth) / 1e9
            axes.axvline(limit, color=INK, linewidth=1.6, zorder=1.5)
            axes.annotate(f"{limit:,.0f} {unit}", (limit, -0.6), (0, 3), textcoords="offset points", ha="center", fontsize=11)
        axes.set_xlim(left=0.0)

    cached = "" if shown[0].workload.flops else " What stays in the caches goes beyond the line."
    return Panel(title, _sentence(shown, machine) + cached, draw, lambda width: 0.9 + LINE * len(shown))
