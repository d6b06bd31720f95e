"""Why a file does not pass: each reason is an exception with a headline and a few lines, which check.py makes a verdict of."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from typing import Any

Lines = Sequence[tuple[str, str]]  # what stands on the left, what it says


class Failure(Exception):
    """A reason, told in a headline; `lines` and `row` show it, `at` is the element it is about, `count` how many there are."""

    def __init__(
        self, headline: str, lines: Lines = (), at: tuple[int, ...] | None = None, row: Lines = (), count: str = ""
    ) -> None:
        super().__init__(headline)
        self.headline, self.lines, self.at, self.row, self.count = headline, tuple(lines), at, tuple(row), count

    @property
    def kind(self) -> str:
        """One word: mismatch, raised, died, ..."""
        return type(self).__name__.lower()


EXCEPTIONS = {
    "SystemExit": "your code ended the program by itself: return a value instead",
    "EOFError": "your code waits for something to be typed, which nobody does here",
    "RecursionError": "your function calls itself without an end",
    "MemoryError": "an array was asked for that is larger than the memory",
}


class Raised(Failure):
    """The student's code raised an exception: `kinds` are the names of its classes, `frames` the lines it came through."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.kinds: list[str] = [str(kind) for kind in told["kinds"]]
        self.message = str(told["message"])
        self.frames = [(int(line or 0), str(name)) for line, name in told["frames"]]
        self.inside, self.column = bool(told["inside"]), told["column"]
        first = (self.message.splitlines() or [""])[0]
        meaning = [("meaning", EXCEPTIONS[self.kinds[0]])] if self.kinds[0] in EXCEPTIONS else []
        super().__init__(f"{self.kinds[0]}: {first}" if first else self.kinds[0], meaning)

    @property
    def unwritten(self) -> bool:
        """Whether it is the hole itself."""
        return self.kinds[0] == "NotImplementedError" and self.inside and not self.message

    @property
    def kind(self) -> str:
        """One word."""
        return "unwritten" if self.unwritten else "syntax" if "SyntaxError" in self.kinds else "raised"


class Missing(Failure):
    """The file does not define what the exercise asks for."""


class Unwritten(Failure):
    """Nothing is written in the hole yet."""


class Compiler(Failure):
    """The C compiler refused the file."""


class Outside(Failure):
    """The C function wrote outside its result or its workspace."""


class Odd(Failure):
    """An answer of a form that the check, or the wire, cannot do anything with."""


class Slow(Failure):
    """No answer within the time limit."""


class Died(Failure):
    """The process ended without an answer."""

    def __init__(self, status: int) -> None:
        if status >= 0:
            text = f"the program ended itself (exit status {status}) before it answered"
        else:
            text = f"the program crashed: {_named(-status)}"
        super().__init__(text, [("meaning", MEANINGS[-status])] if -status in MEANINGS else [])


MEANINGS: dict[int, str] = {
    signal.SIGSEGV: "it read or wrote memory that is not its own: look at the indices",
    signal.SIGBUS: "it read or wrote memory that is not its own: look at the indices",
    signal.SIGFPE: "a whole number was divided by zero",
    signal.SIGABRT: "memory around an array was overwritten, or the program gave up by itself",
    signal.SIGILL: "the processor met an instruction that it does not know",
    signal.SIGKILL: "it was stopped from outside: too much memory, or too much processor time",
    signal.SIGXCPU: "it used too much processor time",
}


def _named(number: int) -> str:
    try:
        name = signal.Signals(number)
    except ValueError:
        return f"signal {number}"
    words = {signal.SIGSEGV: "segmentation fault"}.get(name) or (signal.strsignal(number) or "").lower()
    return f"{words} ({name.name})"
