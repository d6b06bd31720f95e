"""`minivision bench`: the kernels and whole training steps beside the machine's limits, NumPy and PyTorch."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from rich.text import Text

from .. import __version__, bench, kernels
from ..bench import report
from ..bench.run import Torch, check_settings, find_torch
from ..errors import SettingError
from .screen import Screen, console, table


def run(chosen: Namespace) -> int:
    """Prints a row for each workload as it is timed, then a summary; writes JSON and a picture where asked."""
    work = choose(chosen.groups, chosen.only)
    check_settings(chosen.rounds, chosen.seconds, chosen.threads)
    for path in filter(None, (chosen.json, chosen.picture)):
        if not Path(path).absolute().parent.is_dir():
            raise SettingError(f"{path} cannot be written: make its folder first")
    kernels.set_num_threads(chosen.threads or kernels.get_num_threads())
    torch, machine, screen = find_torch(chosen.torch), bench.measure_machine(), console()
    screen.print(Text(introduction(machine, torch), "dim"))
    timed = bench.run(work, chosen.rounds, chosen.seconds, kernels.get_num_threads(), torch.python if torch else None)
    results = list(show(screen, timed, machine))
    conclude(screen, results)
    if chosen.json:
        told = report.as_json(results, machine, versions(torch))
        Path(chosen.json).write_text(json.dumps(told, indent=1) + "\n")
    if chosen.picture:
        from ..plot.roofline import roofline

        Path(chosen.picture).write_bytes(roofline(results, machine))
    return 0


def choose(groups: list[str], pattern: str) -> list[bench.Workload]:
    """The workloads of these groups (all by default) that fit the pattern."""
    if unknown := set(groups) - bench.GROUPS.keys():
        raise SettingError(f"no group is called {', '.join(sorted(unknown))}; there are {', '.join(bench.GROUPS)}")
    every = bench.workloads(groups or None)
    if chosen := [w for w in every if fnmatch(f"{w.group} {w.name}", pattern)]:
        return chosen
    first: dict[str, str] = {}
    for w in every:
        first.setdefault(w.group, f"\n  {w.group} {w.name}")
    raise SettingError(f"--only {pattern!r} fits no workload; the first of each group is called{''.join(first.values())}")


def show(screen: Screen, timed: Iterable[bench.Result], machine: bench.Machine | None) -> Iterator[bench.Result]:
    """A line for each result as it comes, under its group's name."""
    group = ""
    for result in timed:
        if result.workload.group != group:
            group = result.workload.group
            screen.print(Text(f"\n{group}", "bold"))
            screen.print(Text(line(report.COLUMNS), "dim"), soft_wrap=True)
        screen.print(Text(line(report.row(result, machine))), soft_wrap=True)
        yield result


def versions(torch: Torch | None) -> dict[str, str]:
    """Of the libraries that take part."""
    return {"minivision": __version__, "NumPy": np.__version__} | ({"PyTorch": torch.version} if torch else {})


def introduction(machine: bench.Machine | None, torch: Torch | None) -> str:
    """The machine's limits, who takes part, and what the columns say."""
    beside = f"NumPy and PyTorch {torch.version}" if torch else "NumPy (--torch PYTHON names an interpreter that has PyTorch)"
    columns = "NumPy, PyTorch: times as fast as they are."
    if machine is None:
        return f"No C kernels here; beside {beside}. {columns}"
    peak, wide = (machine.peak[name] / 1e9 for name in ("float32", "float64"))
    return (
        f"{machine.processor}, threads: {machine.threads}, {machine.isa}: {peak:,.0f} GFLOP/s in float32, "
        f"{wide:,.0f} in float64, {machine.bandwidth / 1e9:,.1f} GB/s of memory; beside {beside}. "
        f"limit: the share of what arithmetic or memory traffic allows, whichever is slower (caches and "
        f"3 x 3 convolutions, which need fewer products than are counted, can beat it). {columns}"
    )


def line(cells: list[str]) -> str:
    """The first cell to the left, the others to the right."""
    return f"{cells[0]:<36}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells[1:], (9, 15, 6, 6, 8), strict=True))


def conclude(screen: Screen, results: list[bench.Result]) -> None:
    """Geometric mean and least ratio of each group."""
    rows = table("", "shapes", "geometric mean", "least", numbers=3)
    for group, (mean, least, count) in report.summary(results).items():
        rows.add_row(group, str(count), f"{mean:.2f}", f"{least:.2f}")
    if rows.row_count:
        screen.print(Text("\nTimes as fast as the faster of the others (above 1: minivision wins)", "bold"))
        screen.print(rows)
