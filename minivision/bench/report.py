"""Results as rows, as a summary by group, as JSON and back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from .machine import Machine
from .run import Result
from .workloads import WHOLE_MODELS, Workload

COLUMNS = ["workload", "time", "speed", "limit", "NumPy", "PyTorch"]


def row(result: Result, machine: Machine | None) -> list[str]:
    """One workload as text, in the order of COLUMNS."""
    seconds = result.seconds["minivision"]
    limit = f"{share(result, machine):.0%}" if machine else ""
    ratios = [result.ratio(name) for name in ("numpy", "torch")]
    return [
        result.workload.name,
        duration(seconds),
        throughput(result),
        limit,
        *("" if r is None else f"{r:.2f}" for r in ratios),
    ]


def share(result: Result, machine: Machine) -> float:
    """Of the machine's limit: the least seconds that the roofline allows over those that minivision takes."""
    return machine.attainable(result.workload) / result.seconds["minivision"]


def duration(seconds: float) -> str:
    """Seconds in a fitting unit."""
    return f"{1e3 * seconds:.1f} ms" if seconds >= 1e-2 else f"{1e6 * seconds:,.0f} us"


def throughput(result: Result) -> str:
    """Operations a second where a workload computes, bytes a second where it only moves memory; images or tokens for models."""
    work, seconds = result.workload, result.seconds["minivision"]
    if work.group == "language":
        tokens = work.sizes.get("count") or work.sizes["batch"] * work.sizes["tokens"]
        return f"{tokens / seconds:,.1f} tokens/s"
    if work.group in WHOLE_MODELS:
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


def as_json(results: Iterable[Result], machine: Machine | None, versions: Mapping[str, str]) -> dict[str, Any]:
    """Everything, for programs; versions: of the libraries that took part."""
    measured = [
        asdict(r.workload) | {"rounds": {k: list(v) for k, v in r.rounds.items()}, "memory": dict(r.memory)} for r in results
    ]
    return {"machine": asdict(machine) if machine else None, "versions": dict(versions), "results": measured}


def from_json(told: Mapping[str, Any]) -> tuple[list[Result], Machine | None]:
    """What as_json() was given."""
    names = [field.name for field in fields(Workload)]
    results = [Result(Workload(**{n: each[n] for n in names}), each["rounds"], each["memory"]) for each in told["results"]]
    return results, Machine(**told["machine"]) if told["machine"] else None
