"""A verdict in words: at most a screen of 24 lines of 80 characters."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from . import target
from .check import Verdict
from .failure import Failure, Raised

WIDTH, MARGIN, HEIGHT = 78, 14, 21  # HEIGHT leaves room for a prompt, and for what `watch` says
TIED = "\xa0"  # a space at which no line ends
MOST_PRINTED, MOST_WARNINGS, NEARBY = 6, 4, 2  # lines


class Line(NamedTuple):
    """A line of text, and in what style: right, wrong, head, dim, mark, or none."""

    text: str
    style: str = ""


def lines(verdict: Verdict, hints_seen: int = 0) -> list[Line]:
    """Everything there is to say of a verdict that is not passed; what was printed gets the room that is left."""
    failure = verdict.failure
    assert failure is not None
    said = [*_headline(verdict, failure), *_what(failure), *_source(verdict, failure), *_warnings(verdict)]
    advice = list(_advice(verdict, hints_seen))
    said = said[: HEIGHT - len(advice)]
    room = HEIGHT - len(said) - len(advice) - 2
    return [*said, *_printed(verdict, min(room, MOST_PRINTED)), *advice]


def remarks(verdict: Verdict) -> list[Line]:
    """What there is to say beside "passed": the compiler's warnings, what was printed."""
    return [*_warnings(verdict), *_printed(verdict, MOST_PRINTED)]


def named(name: str, text: str, style: str = "", most: int = 2) -> Iterator[Line]:
    """A name at the margin and a text beside it, on at most so many lines."""
    wrapped = textwrap.wrap(plain(text), WIDTH - MARGIN, replace_whitespace=False) or [""]
    if len(wrapped) > most:
        wrapped = [*wrapped[: most - 1], wrapped[most - 1][: WIDTH - MARGIN - 4] + " ..."]
    for i, part in enumerate(wrapped):
        yield Line(f"  {name if i == 0 else '':<{MARGIN - 2}}{part}", style)


def plain(text: str) -> str:
    """Without characters that move a terminal's cursor."""
    return "".join(c if c.isprintable() else " " for c in text.expandtabs(4))


def _headline(verdict: Verdict, failure: Failure) -> Iterator[Line]:
    """Which exercise, and in a line or two what is wrong."""
    yield Line(f"✗ {verdict.exercise.id}", "wrong")
    place = f", at{TIED}[{f',{TIED}'.join(map(str, failure.at))}]" if failure.at else ""
    count = f"; {failure.count}" if failure.count else ""
    text = "nothing is written yet" if failure.kind == "unwritten" else f"{plain(failure.headline)}{place}{count}"
    for line in textwrap.wrap(text, WIDTH - 2)[:3]:
        yield Line(f"  {line.replace(TIED, ' ')}", "head")


def _what(failure: Failure) -> Iterator[Line]:
    """What was expected, what came; then the arrays around that element."""
    for group in (failure.lines, failure.row):
        if group:
            yield Line("")
        for name, text in group:
            yield from named(name, text, most=2) if name else [Line("  " + plain(text)[:WIDTH])]


def _source(verdict: Verdict, failure: Failure) -> Iterator[Line]:
    """The student's own lines where an exception came from, the last one marked."""
    if not isinstance(failure, Raised) or not failure.frames or failure.unwritten:
        return
    text = verdict.source.splitlines()
    *callers, (last, name) = failure.frames
    where = f" in {name}" if name and name != "<module>" else ""
    yield Line("")
    yield Line(f"  {verdict.exercise.file}, line {last}{where}", "dim")
    for line in dict.fromkeys(line for line, _ in callers if line != last):
        yield _numbered(text, line, "  ", "   (on the way)")
    for line in range(max(1, last - NEARBY), min(len(text), last + NEARBY) + 1):
        yield _numbered(text, line, "> " if line == last else "  ")
        if line == last and failure.column:
            yield Line(" " * (10 + min(failure.column - 1, WIDTH)) + "^", "mark")


def _numbered(text: Sequence[str], line: int, mark: str, remark: str = "") -> Line:
    """One line of the student's file."""
    shown = plain(text[line - 1]) if 0 < line <= len(text) else ""
    return Line(f"  {mark}{line:4}  {shown}"[: WIDTH - len(remark)] + remark, "mark" if mark.strip() else "dim")


def _warnings(verdict: Verdict) -> Iterator[Line]:
    """What the compiler warns of."""
    if verdict.warnings:
        yield Line("")
        yield Line("  the compiler warns:", "dim")
        for line in verdict.warnings.splitlines()[:MOST_WARNINGS]:
            yield Line("  " + plain(line)[:WIDTH])


def _printed(verdict: Verdict, most: int) -> Iterator[Line]:
    """The beginning of what the file printed."""
    told = verdict.output.splitlines()
    if not told or most < 2:
        return
    yield Line("")
    yield Line("  it printed:" + (f" (the first of {len(told)} lines)" if len(told) > most - 1 else ""), "dim")
    for line in told[: most - 1]:
        yield Line("    " + plain(line)[: WIDTH - 4])


def _advice(verdict: Verdict, hints_seen: int) -> Iterator[Line]:
    """The closed form, and where there is help."""
    exercise = verdict.exercise
    yield Line("")
    if formula := target.formula(exercise):
        yield from named("formula", formula)
    more = len(exercise.hints) - hints_seen
    if more > 0:
        yield from named("next", f"minivision exercise hint {exercise.id}   ({more} of {len(exercise.hints)} not seen)")
    else:
        yield from named("next", f"every hint is seen; lesson {exercise.lesson} derives it")
