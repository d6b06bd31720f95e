"""Results as rows, as a summary by group, as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from .machine import Machine
from .run import Result

COLUMNS = ["workload", "time", "throughput", "of the limit", "x NumPy", "x PyTorch"]


def row(result: Result, machine: Machine | None) -> list[str]:
    """One workload as text, in the order of COLUMNS."""
    seconds = result.seconds["minivision"]
    limit = f"{machine.attainable(result.workload) / seconds:.0%}" if machine else ""
    ratios = [result.ratio(name) for name in ("numpy", "torch")]
    return [
        result.workload.name,
        duration(seconds),
        throughput(result),
        limit,
        *("" if r is None else f"{r:.2f}" for r in ratios),
    ]


def duration(seconds: float) -> str:
    """Seconds in a fitting unit."""
    return f"{1e3 * seconds:.1f} ms" if seconds >= 1e-2 else f"{1e6 * seconds:,.0f} us"


def throughput(result: Result) -> str:
    """Operations a second where a workload computes, bytes a second where it only moves memory; images for whole models."""
    work, seconds = result.workload, result.seconds["minivision"]
    if work.group == "training":
        return f"{work.sizes['batch'] / seconds:,.1f} images/s"
    return f"{work.flops / seconds / 1e9:,.0f} GFLOP/s" if work.flops else f"{work.bytes / seconds / 1e9:,.1f} GB/s"


def groups(results: Iterable[Result]) -> dict[str, list[Result]]:
    """The results by group, in order."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.workload.group, []).append(result)
    return found


def best_ratio(result: Result) -> float | None:
    """Against the fastest of the other engines."""
    ratios = [r for r in (result.ratio("numpy"), result.ratio("torch")) if r is not None]
    return min(ratios, default=None)


def geometric_mean(ratios: Sequence[float]) -> float:
    """exp of the mean of the logarithms."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def summary(results: Iterable[Result]) -> dict[str, tuple[float, float, int]]:
    """By group: geometric mean and least of the ratios to the fastest of the others, and how many there are."""
    found = {name: [r for r in map(best_ratio, some) if r is not None] for name, some in groups(results).items()}
    return {name: (geometric_mean(ratios), min(ratios), len(ratios)) for name, ratios in found.items() if ratios}


def as_json(results: Iterable[Result], machine: Machine | None) -> dict[str, Any]:
    """Everything, for programs."""
    measured = [
        {**result.workload.spec(), "group": result.workload.group, "flops": result.workload.flops, "bytes": result.workload.bytes}
        | {"seconds": dict(result.seconds), "memory": dict(result.memory)}
        for result in results
    ]
    return {"machine": asdict(machine) if machine else None, "results": measured}
