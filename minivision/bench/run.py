"""Runs the engines in turn, each round in new processes, and takes medians over the rounds."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import kernels
from ..errors import SettingError
from .workloads import Workload

WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class Result:
    """Seconds of one workload in each engine that does it, and by how many bytes its process's peak memory grew."""

    workload: Workload
    seconds: Mapping[str, float]
    memory: Mapping[str, float]

    def ratio(self, other: str) -> float | None:
        """How many times faster than another engine minivision is."""
        return self.seconds[other] / self.seconds["minivision"] if other in self.seconds else None


class Torch(NamedTuple):
    """An interpreter that has PyTorch, and which."""

    python: str
    version: str


def find_torch(python: str | None = None) -> Torch | None:
    """PyTorch in the given interpreter, or in this one; None where this one has none."""
    chosen = python or sys.executable
    try:
        asked = subprocess.run([chosen, "-c", "import torch; print(torch.__version__)"], capture_output=True, text=True)
    except OSError as error:
        raise SettingError(f"--torch {python}: no interpreter can be started there ({error.strerror})") from error
    if python and asked.returncode:
        raise SettingError(f"--torch {python}: this interpreter cannot import torch")
    return None if asked.returncode else Torch(chosen, asked.stdout.strip())


def run(
    workloads: Sequence[Workload], rounds: int = 3, seconds: float = 0.2, threads: int | None = None, torch: str | None = None
) -> Iterator[Result]:
    """Times the workloads, group after group; torch: an interpreter that has PyTorch."""
    check_settings(rounds, seconds, threads)
    engines = {"minivision": sys.executable, "numpy": sys.executable} | ({"torch": torch} if torch else {})
    for batch in batches(workloads):
        runs: dict[str, list[Any]] = {name: [] for name in engines}
        for _ in range(rounds):
            for name, python in engines.items():
                runs[name].append(_once(name, python, batch, seconds, threads or kernels.get_num_threads()))
        for i, workload in enumerate(batch):
            found = {name: [each[i] for each in several if each[i][0] is not None] for name, several in runs.items()}
            medians = {name: np.median(each, axis=0).tolist() for name, each in found.items() if each}
            yield Result(workload, {k: m[0] for k, m in medians.items()}, {k: m[1] for k, m in medians.items()})


def check_settings(rounds: int, seconds: float, threads: int | None) -> None:
    """Refuses settings with which nothing could be timed."""
    if rounds < 1:
        raise SettingError(f"rounds must be at least 1, got {rounds}")
    if not 0 < seconds < math.inf:
        raise SettingError(f"seconds must be positive, got {seconds:g}")
    if threads is not None and threads < 1:
        raise SettingError(f"threads must be at least 1, got {threads}")


def batches(workloads: Sequence[Workload]) -> Iterator[list[Workload]]:
    """What shares a process: a group; but every whole model has one of its own, so that its memory is known."""
    for group in dict.fromkeys(w.group for w in workloads):
        chosen = [w for w in workloads if w.group == group]
        yield from [[w] for w in chosen] if group == "training" else [chosen]


def _once(engine: str, python: str, workloads: Sequence[Workload], seconds: float, threads: int) -> list[Any]:
    """One process of one engine: (seconds, bytes) of each workload."""
    if engine == "numpy" and all(w.kind != "gemm" for w in workloads):
        return [(None, 0)] * len(workloads)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    command = [python, str(WORKER), engine, str(seconds), str(threads)]
    specs = json.dumps([w.spec() for w in workloads])
    done = subprocess.run(command, input=specs, capture_output=True, text=True, env=environment)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"])[-1]
        raise SettingError(f"{engine} cannot be timed with {python}: {reason}")
    return [json.loads(line) for line in done.stdout.splitlines()]
