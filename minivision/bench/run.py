"""Lets the engines take turns, each in a process of its own, and takes medians over the rounds."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import kernels
from ..errors import SettingError
from .workloads import WHOLE_MODELS, Workload

WORKER = Path(__file__).with_name("worker.py")
PAUSE = 0.05  # until the threads of the engine before have gone to sleep: OpenBLAS's turn for 2^26 cycles first


@dataclass(frozen=True)
class Result:
    """Seconds of one workload, round by round, in each engine that does it, and by how many bytes its peak memory grew."""

    workload: Workload
    rounds: Mapping[str, Sequence[float]]
    memory: Mapping[str, float]

    @property
    def seconds(self) -> dict[str, float]:
        """The median over the rounds."""
        return {name: float(np.median(each)) for name, each in self.rounds.items()}

    def ratio(self, other: str) -> float | None:
        """How many times faster than another engine minivision is: the median over rounds, in each of which both took turns."""
        if other not in self.rounds:
            return None
        return float(np.median(np.divide(self.rounds[other], self.rounds["minivision"])))


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
    workloads: Sequence[Workload], rounds: int = 5, seconds: float = 0.1, threads: int | None = None, torch: str | None = None
) -> Iterator[Result]:
    """Times the workloads, group after group; torch: an interpreter that has PyTorch.

    The engines' processes live side by side and take turns, a fraction of a second each: what other programs take from a
    shared machine, they take from all.
    """
    check_settings(rounds, seconds, threads)
    pythons = {"minivision": sys.executable, "numpy": sys.executable} | ({"torch": torch} if torch else {})
    for batch in batches(workloads):
        with ExitStack() as stack:
            engines = [
                stack.enter_context(Engine(name, python, seconds, threads or kernels.get_num_threads()))
                for name, python in pythons.items()
                if name != "numpy" or any(w.kind == "gemm" for w in batch)
            ]
            for workload in batch:
                yield _take_turns(workload, engines, rounds)


def _take_turns(workload: Workload, engines: Sequence[Engine], rounds: int) -> Result:
    able = [engine for engine in engines if engine.ask(workload.spec())]
    turns: dict[str, list[Any]] = {engine.name: [] for engine in able}
    for _ in range(rounds):
        for engine in able:
            time.sleep(PAUSE)
            turns[engine.name].append(engine.ask("go"))
    found = {name: np.array([ways for ways, _ in each]) for name, each in turns.items()}  # (rounds, ways)
    best = {name: each[:, np.median(each, axis=0).argmin()].tolist() for name, each in found.items()}
    return Result(workload, best, {name: float(each[-1][1]) for name, each in turns.items()})


class Engine:
    """One engine's process, which waits for what it is told to time."""

    def __init__(self, name: str, python: str, seconds: float, threads: int):
        self.name, self.python = name, python
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
        command = [python, str(WORKER), name, str(seconds), str(threads)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: Any) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(self, message: Any) -> Any:
        """Sends a line, waits for the answer. SettingError with the last line of what the process said when it ended."""
        assert self.process.stdin
        assert self.process.stdout
        try:
            print(json.dumps(message), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if answer:
            return json.loads(answer)
        told = self.process.communicate()[1].strip().splitlines()
        reason = (told or [f"its process ended with {self.process.returncode}"])[-1]
        raise SettingError(f"{self.name} cannot be timed with {self.python}: {reason}")


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
        yield from [[w] for w in chosen] if group in WHOLE_MODELS else [chosen]
