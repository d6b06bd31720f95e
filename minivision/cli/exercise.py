"""`minivision exercise`: start, check and watch exercises in the current folder; `grade` and `bundle` for who teaches."""

from __future__ import annotations

import textwrap
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from ..classroom import check, report, target
from ..classroom.manifest import POINTS, Exercise, exercises, find
from ..classroom.show import shortened
from ..classroom.workspace import Workspace
from ..errors import SettingError
from .screen import console

PASSED, FAILED = 0, 1
PAUSE, SETTLING = 0.25, 0.05  # seconds between two looks at a watched file; that an editor may take to write it
STYLES = {"right": "bold green", "wrong": "bold red", "head": "bold", "dim": "dim", "mark": "bold yellow"}
MARKS = {"passed": "✓", "begun": ">", "": " "}
BAR, MOST_WIDTH = 30, 100  # characters


def run(chosen: Namespace) -> int:
    """Does what was asked for; without an action, lists."""
    return ACTIONS[chosen.action or "list"](chosen)


def _chosen(work: Workspace, chosen: Namespace) -> Exercise:
    """The exercise that was named, or the current one."""
    return find(chosen.id) if chosen.id else work.current()


# ------------------------------------------------------------------------------------------------------------ the list


def _list(chosen: Namespace) -> int:
    """Every exercise, lesson by lesson, and how far the student is."""
    work, screen = Workspace.open(), console()
    wide, most = max(map(len, exercises())), max(map(len, POINTS))
    room = max(10, min(screen.width, MOST_WIDTH) - wide - most - 6)
    for lesson, several in groupby(exercises().values(), key=lambda each: each.lesson):
        screen.print(Text(lesson, "bold"))
        for each in several:
            state = work.state(each)
            line = f"{MARKS[state]} {each.id:<{wide}}  {each.level:<{most}}  {shortened(each.title, room)}"
            screen.print(Text(line, {"passed": "green", "begun": "yellow"}.get(state, "")), soft_wrap=True)
    levels = ", ".join(f"{level} {points}" for level, points in POINTS.items())
    screen.print(Text(f"\n{MARKS['passed']} passed   {MARKS['begun']} begun   points: {levels}", "dim"), soft_wrap=True)
    _print_progress(screen, work)
    _print_next(screen, work)
    return PASSED


def _print_progress(screen: Console, work: Workspace) -> None:
    """A bar, and what it says in numbers."""
    reached, points = work.points()
    every = exercises().values()
    full = max(BAR * reached // points, reached > 0)  # whoever has begun sees it
    done, left = "#-" if screen.options.ascii_only else "━╌"
    count = f"  {reached} of {points} points, {sum(map(work.passed, every))} of {len(every)} exercises"
    screen.print(Text.assemble((done * full, "green"), (left * (BAR - full), "dim"), count), soft_wrap=True)


def _print_next(screen: Console, work: Workspace) -> None:
    """What to do now."""
    if all(map(work.passed, exercises().values())):
        screen.print(Text("Every exercise has passed.", "bold green"))
        return
    each = work.current()
    action = "check" if work.state(each) else "start"
    screen.print(Text.assemble(("next  ", "dim"), f"minivision exercise {action} {each.id}"), soft_wrap=True)


# ------------------------------------------------------------------------------------------------------- the student's


def _start(chosen: Namespace) -> int:
    """Writes the file with the hole."""
    work, exercise = Workspace.open(), find(chosen.id)
    _say_written(work.start(exercise), exercise)
    return PASSED


def _reset(chosen: Namespace) -> int:
    """Writes it anew; what was there is kept under another name."""
    work, exercise = Workspace.open(), find(chosen.id)
    kept = work.reset(exercise)
    if kept:
        console().print(f"what you had is now {kept}", soft_wrap=True)
    _say_written(work.path(exercise), exercise)
    return PASSED


def _say_written(path: Path, exercise: Exercise) -> None:
    screen, name = console(), exercise.name.rpartition(".")[2]
    screen.print(Text(f"{path} is written", "bold"), soft_wrap=True)
    screen.print(f"  {exercise.title}\n", soft_wrap=True)
    for command, what in [
        ("", f"open it in your editor and write the body of {name}; then"),
        (f"minivision exercise check {exercise.id}", "tells whether it is right"),
        ("minivision exercise watch", "tells so at each save"),
    ]:
        screen.print(f"  {command:<51} {what}" if command else f"  {what}", soft_wrap=True)
    if exercise.is_c:
        found = target.piece(exercise)
        screen.print(f"\n  it includes {' and '.join(found.includes())}, which you can read", soft_wrap=True)
        screen.print(f"  in {found.path.parent}", soft_wrap=True)


def _check(chosen: Namespace) -> int:
    """One verdict."""
    work = Workspace.open()
    return PASSED if _checked(work, _chosen(work, chosen), chosen.seconds) else FAILED


def _checked(work: Workspace, exercise: Exercise, seconds: float) -> bool:
    """Checks what is in the file, notes it, and says what came of it."""
    if not 0 < seconds <= 3600:
        raise SettingError(f"--seconds must be above 0 and at most 3600, got {seconds:g}")
    verdict, screen = check.run(exercise, work.text(exercise), seconds), console()
    for line in _said(verdict, work):
        screen.print(Text(line.text, STYLES.get(line.style, "")), soft_wrap=True)
    work.note_verdict(exercise, verdict.passed)  # after it is said: a folder that cannot be written costs no verdict
    if verdict.passed:
        screen.print()
        _print_progress(screen, work)
        screen.print(Text.assemble(("see   ", "dim"), f"minivision exercise solution {exercise.id}"), soft_wrap=True)
        _print_next(screen, work)
    return verdict.passed


def _said(verdict: check.Verdict, work: Workspace) -> list[report.Line]:
    """What a verdict says, line by line."""
    exercise = verdict.exercise
    if not verdict.passed:
        return report.lines(verdict, work.hints(exercise))
    points = f"{exercise.points} point{'s' if exercise.points > 1 else ''}"
    return [report.Line(f"✓ {exercise.id} passed, {points}: {exercise.title}", "right"), *report.remarks(verdict)]


def _watch(chosen: Namespace) -> int:
    """Checks at each save, until it passes."""
    work, screen = Workspace.open(), console()
    exercise = _chosen(work, chosen)
    path = work.path(exercise)
    work.text(exercise)  # says what to do where there is no file
    try:
        for _ in _saves(path):
            if screen.is_terminal:
                screen.clear()
            try:
                if _checked(Workspace.open(), exercise, chosen.seconds):
                    break
            except SettingError as error:  # such as a file that an editor is just replacing
                screen.print(Text(str(error)), soft_wrap=True)
            screen.print(Text(f"\nwatching {path}: save it to check again, Ctrl-C leaves", "dim"), soft_wrap=True)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped watching; `minivision exercise watch` goes on with {exercise.id}") from None
    return PASSED


def _saves(path: Path) -> Iterator[None]:
    """At once, and after each change of a file, when two looks at it agree."""
    seen = _stamp(path)
    yield
    while True:
        time.sleep(PAUSE)
        now = _stamp(path)
        time.sleep(SETTLING)
        if now and now != seen and now == _stamp(path):
            seen = now
            yield


def _stamp(path: Path) -> tuple[int, int] | None:
    """When a file was written last and how long it is; None while it is not there."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size


def _hint(chosen: Namespace) -> int:
    """The next hint; where all are seen, all of them again."""
    work, screen = Workspace.open(), console()
    exercise = _chosen(work, chosen)
    number, count = work.next_hint(exercise), len(exercise.hints)
    for i in range(count) if number is None else [number]:
        screen.print(Text(f"hint {i + 1} of {count}", "bold"))
        for line in textwrap.wrap(exercise.hints[i], report.WIDTH - 2):
            screen.print(Text(f"  {line}"), soft_wrap=True)
    return PASSED


def _solution(chosen: Namespace) -> int:
    """The library's own, for who has passed."""
    work, exercise, screen = Workspace.open(), find(chosen.id), console()
    if not work.passed(exercise):
        advice = f"its solution is shown after that; there are hints until then:\n        minivision exercise hint {exercise.id}"
        raise SettingError(f"{exercise.id} has not passed here yet\n  hint: {advice}")
    screen.print(Text(f"{exercise.path}", "dim"), soft_wrap=True)
    text, language = target.solution(exercise), "c" if exercise.is_c else "python"
    if screen.is_terminal:
        screen.print(Syntax("", language, theme="ansi_dark", background_color="default").highlight(text), end="", soft_wrap=True)
    else:
        print(text, end="")
    return PASSED


# ------------------------------------------------------------------------------------------------------- the teacher's


def _grade(chosen: Namespace) -> int:
    """A folder of submissions."""
    from ..classroom import grading

    return grading.run_grade(chosen)


def _bundle(chosen: Namespace) -> int:
    """What a grading service and the students are given."""
    from ..classroom import grading

    return grading.run_bundle(chosen)


ACTIONS: dict[str, Callable[[Namespace], int]] = {
    "list": _list,
    "start": _start,
    "check": _check,
    "hint": _hint,
    "reset": _reset,
    "watch": _watch,
    "solution": _solution,
    "grade": _grade,
    "bundle": _bundle,
}
