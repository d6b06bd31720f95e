"""`minivision bench`: the kernels and whole training steps beside the machine's limits, NumPy and PyTorch."""

from __future__ import annotations

import json
from argparse import Namespace
from fnmatch import fnmatch
from pathlib import Path

from rich.text import Text

from .. import bench, kernels
from ..bench import report
from ..bench.run import find_torch
from ..errors import SettingError
from .screen import Screen, console, table


def run(chosen: Namespace) -> int:
    """Prints a row for each workload as it is timed, then a summary; writes JSON and a picture where asked."""
    if unknown := set(chosen.groups) - bench.GROUPS.keys():
        raise SettingError(f"no group is called {', '.join(sorted(unknown))}; there are {', '.join(bench.GROUPS)}")
    work = [w for w in bench.workloads(chosen.groups or None) if fnmatch(f"{w.group} {w.name}", chosen.only)]
    if not work:
        raise SettingError(f"no workload is called {chosen.only!r}; try --only '*3x3*'")
    kernels.set_num_threads(chosen.threads or kernels.get_num_threads())
    torch, machine, screen = find_torch(chosen.torch), bench.measure_machine(), console()
    screen.print(Text(introduction(machine, torch), "dim"), soft_wrap=True)
    results: list[bench.Result] = []
    for result in bench.run(work, chosen.rounds, chosen.seconds, kernels.get_num_threads(), torch):
        if not results or results[-1].workload.group != result.workload.group:
            screen.print(Text(f"\n{result.workload.group}", "bold"))
            screen.print(Text(line(report.COLUMNS), "dim"), soft_wrap=True)
        results.append(result)
        screen.print(Text(line(report.row(result, machine))), soft_wrap=True)
    conclude(screen, results)
    if chosen.json:
        Path(chosen.json).write_text(json.dumps(report.as_json(results, machine), indent=1) + "\n")
    if chosen.picture:
        from ..plot.roofline import roofline

        Path(chosen.picture).write_bytes(roofline(results, machine))
    return 0


def introduction(machine: bench.Machine | None, torch: str | None) -> str:
    """The machine's limits and who takes part."""
    beside = "NumPy and PyTorch" if torch else "NumPy (for PyTorch, name an interpreter that has it: --torch PYTHON)"
    if machine is None:
        return f"No C kernels here; beside {beside}."
    peak, wide = (machine.peak[name] / 1e9 for name in ("float32", "float64"))
    return (
        f"{machine.threads} threads, {machine.isa}: {peak:,.0f} GFLOP/s in float32, {wide:,.0f} in float64, "
        f"{machine.bandwidth / 1e9:,.1f} GB/s of memory; beside {beside}. The limit is the longer of arithmetic and traffic."
    )


def line(cells: list[str]) -> str:
    """The first cell to the left, the others to the right."""
    return f"  {cells[0]:<38}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells[1:], (10, 16, 13, 9, 11), strict=True))


def conclude(screen: Screen, results: list[bench.Result]) -> None:
    """Geometric mean and least ratio of each group."""
    rows = table("", "shapes", "geometric mean", "least", numbers=3)
    for group, (mean, least, count) in report.summary(results).items():
        rows.add_row(group, str(count), f"{mean:.2f}", f"{least:.2f}")
    if rows.row_count:
        screen.print(Text("\nTimes as fast as the faster of the others (above 1: minivision is faster)", "bold"))
        screen.print(rows)
