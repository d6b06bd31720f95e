"""One verdict on one file: it is loaded in a process of its own, and the exercise's check asks it."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .failure import Failure, Lines, Odd
from .manifest import Exercise
from .proxy import Worker
from .show import brief


@dataclass(frozen=True)
class Verdict:
    """What came of a check of a text. failure: why it is not passed; output: what it printed; warnings: the compiler's."""

    exercise: Exercise
    source: str
    failure: Failure | None = None
    output: str = ""
    warnings: str = ""

    @property
    def passed(self) -> bool:
        """Whether it is right."""
        return self.failure is None

    @property
    def kind(self) -> str:
        """One word: passed, mismatch, unwritten, raised, syntax, slow, died, odd, missing, compiler, outside."""
        return self.failure.kind if self.failure else "passed"


def find(exercise: Exercise) -> Callable[[Any, np.random.Generator], None]:
    """The function of checks/*.py that holds an exercise."""
    module, _, name = exercise.check.partition(":")
    return getattr(importlib.import_module(f"{__package__}.checks.{module}"), name)


def run(exercise: Exercise, text: str, seconds: float = 10.0, seed: int = 0) -> Verdict:
    """The verdict on a file's text. seconds: for all of its answers together; seed: of the numbers it is asked about."""
    with Worker(exercise, seconds) as worker:
        return judge(worker, text, seed)


def judge(worker: Worker, text: str, seed: int = 0) -> Verdict:
    """The verdict on one more file of a worker's exercise."""
    exercise, warnings, failure = worker.exercise, "", None
    rng = np.random.default_rng([seed, zlib.crc32(exercise.id.encode())])
    worker.last, asked = None, find(exercise)
    try:
        warnings = worker.load(text)
        asked(worker.student, rng)
    except Failure as error:
        failure = error
        if exercise.is_c and ("got", "nan") in error.lines:
            error.lines += (("meaning", "nan is what stood there before: perhaps nothing was written"),)
    except Exception as error:  # a check passes on the library's own answer, so another form of answer is to blame
        lines: Lines = [("got", brief(worker.last)), ("reason", f"{type(error).__name__}: {error}")]
        failure = Odd("the function returned something of an unexpected form", lines)
    return Verdict(exercise, text, failure, worker.pipes.text(), warnings)
