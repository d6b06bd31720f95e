"""A student's process as it is seen from here: started, given a file, asked, and ended; within a budget of seconds.

with Worker(exercise, seconds=10) as worker:
    worker.load(text)
    answer = worker.student(dy, kept)
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import failure, wire
from .failure import Died, Failure, Missing, Odd, Raised, Slow
from .manifest import Exercise
from .pipes import Pipes
from .target import setup

WORKER = Path(__file__).with_name("worker.py")
START = 30.0  # seconds for the library to be imported and C to be compiled
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
FAILURES = {each.__name__.lower(): each for each in (failure.Compiler, failure.Outside, failure.Missing, failure.Unwritten)}


class Student:
    """A student's function, to a check: called like one."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function's result; a Failure where there is none."""
        return self._worker.call("", args, kwargs)

    def drive(self, driver: str, *args: Any, **kwargs: Any) -> Any:
        """The result of a driver (see drivers/__init__.py), which is given the function first."""
        return self._worker.call(driver, args, kwargs)


class Worker:
    """A child process that runs one exercise's files, in a folder and a process group of its own.

    seconds: how long all answers to one file may take together. command: what starts it, before its own arguments (a
    stricter sandbox may be put here). prepare: called in the child before it starts. compiling: seconds more for a C file.
    """

    compiling = START

    def __init__(
        self, exercise: Exercise, seconds: float = 10.0, command: Sequence[str] = (), prepare: Callable[[], None] | None = None
    ) -> None:
        self.exercise, self.seconds, self.left, self.student = exercise, seconds, seconds, Student(self)
        self.last: Any = None  # what the function returned last
        self._folder = tempfile.TemporaryDirectory(prefix="minivision-", ignore_cleanup_errors=True)
        (read, send), (receive, write) = os.pipe(), os.pipe()
        try:
            self.process = self._started(
                [*(command or [sys.executable]), str(WORKER), str(read), str(write)], (read, write), prepare
            )
        finally:
            os.close(read)
            os.close(write)
        assert self.process.stdout is not None
        self.pipes = Pipes(send, receive, self.process.stdout.fileno())

    def _started(self, command: list[str], ends: tuple[int, int], prepare: Callable[[], None] | None) -> subprocess.Popen[bytes]:
        """The process, with its setup on stdin."""
        with tempfile.TemporaryFile("w+") as told:
            json.dump(setup(self.exercise) | {"seconds": START + self.seconds}, told)
            told.seek(0)
            return subprocess.Popen(
                command,
                stdin=told,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self._folder.name,
                env={**os.environ, **ONE_THREAD, "PYTHONIOENCODING": "utf-8:replace"},
                pass_fds=ends,
                start_new_session=True,
                preexec_fn=prepare,
            )

    def __enter__(self) -> Worker:
        try:
            self._begin()
        except BaseException:
            self.close()
            raise
        return self

    def _begin(self) -> None:
        """Waits until the library is imported there; RuntimeError where it cannot be: no student is to blame."""
        try:
            self._asked({"ready": True}, START)
        except Failure as error:
            raise RuntimeError(f"a process for exercises cannot be started here: {error}\n{self.pipes.text()}") from error

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process and all that it started, and removes its folder."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.pipes.close()
        self._folder.cleanup()

    def load(self, text: str) -> str:
        """Gives the process a file's text to run or to compile; returns the compiler's warnings."""
        reply = self._asked({"load": text}, self.seconds + (self.compiling if self.exercise.is_c else 0.0))
        if not reply["loaded"]:
            name = self.exercise.name.rpartition(".")[2]
            advice = f"`minivision exercise reset {self.exercise.id}` writes it anew and keeps yours beside it"
            raise Missing(f"there is no function {name} in {self.exercise.file}", [("help", advice)])
        self.left = self.seconds
        return str(reply.get("warnings", ""))

    def call(self, driver: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The function's result; the time it takes is taken from the budget."""
        start = time.monotonic()
        try:
            self.last = self._asked({"driver": driver, "args": args, "kwargs": kwargs}, self.left)["result"]
        finally:
            self.left -= time.monotonic() - start
        return self.last

    def _asked(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The reply to a message; a Failure where there is none, or where it tells of one."""
        try:
            reply = wire.unpack(*self.pipes.exchange(wire.pack(message), time.monotonic() + seconds, self._alive))
        except TimeoutError:
            advice = "a loop that never ends; it was stopped"
            raise Slow(f"no answer within {self.seconds:g} s", [("perhaps", advice)]) from None
        except EOFError:
            raise Died(self._status()) from None
        except wire.WireError as error:
            raise Odd("the program's answer cannot be read", [("reason", str(error))]) from None
        if "raised" in reply:
            raise Raised(reply["raised"])
        if "unsendable" in reply:
            raise Odd("the function returned what cannot be compared", [("reason", str(reply["unsendable"]))])
        if "failure" in reply:
            raise FAILURES[reply["failure"]](str(reply["headline"]), [(str(name), str(text)) for name, text in reply["lines"]])
        return reply

    def _alive(self) -> bool:
        return self.process.poll() is None

    def _status(self) -> int:
        """How the process ended; one that only closed its pipes is ended."""
        try:
            return self.process.wait(1.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
