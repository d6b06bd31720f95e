"""Times workloads in one engine: `python worker.py ENGINE SECONDS THREADS`, specs as JSON on stdin, medians on stdout.

Run by file, so that an interpreter with PyTorch alone can do it. A line of output for each spec: the median seconds of the
engine's fastest way (null where it has none), and by how many bytes this process's peak memory has grown since it began.
"""

from __future__ import annotations

import importlib
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LEAST_RUNS = 5


def median_seconds(work: Callable[[], Any], seconds: float) -> float:
    """The median of the runs that fit into `seconds`, of at least LEAST_RUNS, after two that are not counted."""
    for _ in range(2):
        work()
    times: list[float] = []
    while len(times) < LEAST_RUNS or sum(times) < seconds:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_memory() -> int:
    """The most bytes of memory that this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    """Reads the specs, times them one after another."""
    engine_name, seconds, threads = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    sys.path.insert(0, str(Path(__file__).parent / "engines"))
    engine = importlib.import_module(f"engine_{engine_name}")
    engine.set_threads(threads)
    before = peak_memory()
    for spec in json.load(sys.stdin):
        best = min((median_seconds(way, seconds) for way in engine.prepare(spec)), default=None)
        print(json.dumps([best, peak_memory() - before]), flush=True)


if __name__ == "__main__":
    main()
