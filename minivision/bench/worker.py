"""Times workloads in one engine: `python worker.py ENGINE SECONDS THREADS`, a line of JSON in, a line of JSON out.

Run by file, so that an interpreter with PyTorch alone can do it. To a spec it answers how many ways this engine has to do it;
to "go", the median seconds of each way, and by how many bytes this process's peak memory has grown since it began.
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

LEAST_RUNS = 3


def median_seconds(work: Callable[[], Any], seconds: float) -> float:
    """The median of the runs that fit into `seconds`, of at least LEAST_RUNS, after one that is not counted."""
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
    """Answers until the input ends."""
    engine_name, seconds, threads = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    sys.path.insert(0, str(Path(__file__).parent / "engines"))
    engine = importlib.import_module(f"engine_{engine_name}")
    engine.set_threads(threads)
    before, ways = peak_memory(), list[Callable[[], Any]]()
    for message in map(json.loads, sys.stdin):
        if message == "go":
            answer: Any = [median_seconds(way, seconds) for way in ways], peak_memory() - before
        else:
            ways = engine.prepare(message)
            answer = len(ways)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
