"""The teaching ladder of csrc/steps, timed: every step on one thread, against the machine's multiply-add peak.

    python tests/bench/steps.py [--picture FILE] [--json FILE] [--rounds 3] [--threads 1]

Prints a table for each family, at the sizes below: GFLOP/s, the share of the peak, times as fast as the step before. Each
figure is the best of several runs; the steps take turns in each round, so that what else the machine does meets all.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from minivision import kernels
from minivision.kernels.peak import peak
from minivision.plot.page import BLUE, GREY, INK, ORANGE, Box, Panel, compose, png

STEPS = Path(__file__).parents[2] / "csrc" / "steps"
sys.path.insert(0, str(STEPS))
try:
    import build_steps
finally:
    sys.path.remove(str(STEPS))
SHORT, LONG = 0.08, 1.0  # seconds: a turn lasts at least the first; what takes longer than the second has one turn
TITLES = {"gemm": "Matrix product", "conv": "Convolution", "attention": "Attention"}


@dataclass(frozen=True)
class Problem:
    """What the steps of a family are given: the arguments of build_steps.Step's method, and its operations."""

    family: str
    name: str
    shapes: tuple[tuple[int, ...], ...]
    flops: float
    more: tuple[int, ...] = ()


def problems(threads: int) -> list[Problem]:
    """Squares from the first cache to beyond the second; a layer of ResNet-50 at batch 4; ViT-S's attention at batch 8."""
    squares = [Problem("gemm", str(n), ((n, n), (n, n)), 2.0 * n**3, (threads,)) for n in (64, 128, 256, 512, 1024)]
    layer = Problem(
        "conv", "3x3, 64 to 64 channels, 4 images of 56 x 56", ((4, 56, 56, 64), (3, 3, 64, 64)), 8.0 * 56**2 * 9 * 64**2, (1, 1)
    )
    heads = Problem("attention", "48 heads, 197 tokens, width 64", ((48, 197, 64),) * 3, 4.0 * 48 * 197**2 * 64)
    return [*squares, layer, heads]


@dataclass(frozen=True)
class Timing:
    """The best of a step's runs on a problem."""

    step: str
    problem: str
    seconds: float
    gflops: float
    workspace_bytes: int


def measured(problem: Problem, steps: dict[str, build_steps.Step], rounds: int, threads: int) -> list[Timing]:
    """All steps of the problem's family, in turns.

    One thread is timed by its own clock, which stands still while another process has the processor.
    """
    clock = time.thread_time if threads == 1 else time.perf_counter
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape, dtype=np.float32) for shape in problem.shapes]
    calls = {name: getattr(step, problem.family)(*arrays, *problem.more) for name, step in steps.items()}
    best = dict.fromkeys(calls, float("inf"))
    for turn in range(rounds):
        for name, call in calls.items():
            if turn == 0 or best[name] < LONG:
                best[name] = min(best[name], quickest(call, clock))
    rate = {name: problem.flops / seconds / 1e9 for name, seconds in best.items()}
    return [Timing(name, problem.name, best[name], rate[name], call.space.nbytes) for name, call in calls.items()]


def quickest(call: build_steps.Call, clock: Callable[[], float]) -> float:
    """Seconds of one run, the best of a turn; short runs are timed several together."""
    best, runs, end = float("inf"), 1, clock() + SHORT
    while clock() < end:
        start = clock()
        for _ in range(runs):
            call.run()
        best = min(best, (clock() - start) / runs)
        runs = max(1, int(1e-4 / best))
    return best


def table(family: str, timings: Sequence[Timing], limit: float) -> Table:
    """A row for each step; the shares and ratios are those of the last problem."""
    names = list(dict.fromkeys(t.problem for t in timings))
    rates = {(t.step, t.problem): t.gflops for t in timings}
    found = Table(title=f"{TITLES[family]}: GFLOP/s" + f" at {names[0]}" * (len(names) == 1), title_justify="left")
    found.add_column("step", no_wrap=True)
    for title in [*(names if len(names) > 1 else ["GFLOP/s"]), "of the peak", "x before", "workspace"]:
        found.add_column(title, justify="right")
    before = 0.0
    for t in timings:
        if t.problem == names[-1]:
            ratio = f"{t.gflops / before:.1f}" if before else ""
            share, room = f"{1e9 * t.gflops / limit:.1%}", f"{t.workspace_bytes / 1e6:.1f} MB"
            found.add_row(t.step, *(f"{rates[t.step, name]:.1f}" for name in names), share, ratio, room)
            before = t.gflops
    return found


def bars(family: str, timings: Sequence[Timing], limit: float, threads: int) -> Panel:
    """The last problem's steps as bars, and the peak as a line."""
    last = [t for t in timings if t.problem == timings[-1].problem]
    names = [t.step.removeprefix(f"{family}_").replace("_", "  ") for t in last]

    def draw(figure: Any, box: Box) -> None:
        axes = box.inset(left=1.25, right=0.3, bottom=0.5).axes(figure)
        axes.barh(names, [t.gflops for t in last], color=[BLUE] * (len(last) - 1) + [ORANGE], height=0.62)
        axes.axvline(limit / 1e9, color=INK, linewidth=1.4, linestyle=(0, (4, 3)))
        for row, (t, before) in enumerate(zip(last, [None, *last[:-1]], strict=True)):
            words = f"{t.gflops:.3g}" + (f"   x {t.gflops / before.gflops:.1f}" if before else "")
            inside = t.gflops > 0.6 * limit / 1e9
            axes.annotate(
                words, (t.gflops, row), (-6 if inside else 6, 0), textcoords="offset points", va="center",
                ha="right" if inside else "left", color="white" if inside else INK, fontsize=11.5,
            )  # fmt: skip
        axes.set(xlim=(0, 1.04 * limit / 1e9), ylim=(len(last) - 0.4, -0.6), xlabel="GFLOP/s, and times the step before")
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)

    where = f"{last[0].problem} x {last[0].problem}" if family == "gemm" else last[0].problem
    sentence = f"{where}. Dashed: the peak, {limit / 1e9:.0f} GFLOP/s of multiply-adds on registers."
    if family == "gemm" and threads == 1:
        sentence += " The last step is for threads: on one it is the step before."
    return Panel(TITLES[family], sentence, draw, lambda width: 0.9 + 0.47 * len(last))


def curves(timings: Sequence[Timing], limit: float) -> Panel:
    """The matrix product's steps over the sizes."""
    steps, sizes = (list(dict.fromkeys(getattr(t, key) for t in timings)) for key in ("step", "problem"))
    share = {(t.step, t.problem): 1e9 * t.gflops / limit for t in timings}

    def draw(figure: Any, box: Box) -> None:
        axes = box.inset(left=0.7, right=1.5, bottom=0.5).axes(figure)
        ends = [share[step, sizes[-1]] for step in steps]
        for step, place, end in zip(steps, apart(ends, 0.055), ends, strict=True):
            colour = ORANGE if step == steps[-1] else BLUE
            fade = 1.0 if step == steps[-1] else 0.3 + 0.7 * steps.index(step) / len(steps)
            axes.plot(
                range(len(sizes)), [share[step, size] for size in sizes], color=colour, alpha=fade, linewidth=2.2, marker="o"
            )
            name = step.removeprefix("gemm_").replace("_", "  ")
            axes.annotate(
                name, (len(sizes) - 1, end), (len(sizes) - 0.88, place), va="center", color=colour, fontsize=11.5,
                annotation_clip=False, arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.6},
            )  # fmt: skip
        axes.set(ylim=(0, 1.02), xticks=range(len(sizes)), xticklabels=sizes, xlabel="rows and columns of A, B and C")
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "peak"])

    sentence = "Share of the peak by size: what fits a cache hides what a step costs in memory, and larger matrices show it."
    return Panel("From small to large", sentence, draw, lambda width: 0.9 + 0.47 * len(steps))


def apart(values: Sequence[float], gap: float) -> list[float]:
    """The values moved up, as little as needed, until any two are a gap apart."""
    places, low = dict[int, float](), -gap
    for i in sorted(range(len(values)), key=values.__getitem__):
        places[i] = low = max(values[i], low + gap)
    return [places[i] for i in range(len(values))]


def picture(timings: dict[str, list[Timing]], limit: float, threads: int) -> bytes:
    """The page as a PNG file."""
    on = "one thread" if threads == 1 else f"{threads} threads"
    subtitle = f"Each bar is one file of csrc/steps: one more idea. float32, {kernels.isa()}, {on}, best of several runs."
    top = [bars("gemm", timings["gemm"], limit, threads), curves(timings["gemm"], limit)]
    below = [bars(family, timings[family], limit, threads) for family in ("conv", "attention")]
    return png(compose("From three loops to the speed of the machine", subtitle, [top, below]))


def main() -> None:
    """Times, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", metavar="FILE", type=Path, help="write a PNG of the ladder")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all figures")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="for the step that shares its work, and for the peak")
    options = parser.parse_args()
    if build_steps.compiler() is None:
        parser.error("the steps are compiled here, and this machine has no C compiler: install gcc or clang")
    kernels.set_num_threads(options.threads)
    limit = peak()
    if limit is None:
        parser.error(f"the peak is measured by the kernels, which are not built here: {kernels.REASON}")
    timings: dict[str, list[Timing]] = {family: [] for family in TITLES}
    with tempfile.TemporaryDirectory() as folder:
        steps = {name: build_steps.load(STEPS / f"{name}.c", Path(folder)) for name in build_steps.names()}
        for problem in problems(options.threads):
            own = {name: step for name, step in steps.items() if name.startswith(f"{problem.family}_")}
            timings[problem.family] += measured(problem, own, options.rounds, options.threads)
    limit = max(limit, peak() or 0.0)
    for family, found in timings.items():
        Console(width=max(100, shutil.get_terminal_size().columns)).print(table(family, found, limit))
    print(f"peak: {limit / 1e9:.0f} GFLOP/s, {kernels.isa()}, threads: {options.threads}")
    if options.json:
        machine = {"isa": kernels.isa(), "threads": options.threads, "peak_flops": limit}
        rows = {family: [asdict(t) for t in found] for family, found in timings.items()}
        options.json.write_text(json.dumps({"machine": machine, **rows}, indent=1) + "\n")
    if options.picture:
        options.picture.parent.mkdir(parents=True, exist_ok=True)
        options.picture.write_bytes(picture(timings, limit, options.threads))


if __name__ == "__main__":
    main()
