"""`minivision exercise grade DIR`: every exercise of every submission in a sandbox of its own, and what came of it on paper."""

from __future__ import annotations

import multiprocessing
import secrets
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from ...errors import SettingError
from .. import check, report, target
from ..manifest import Exercise, exercises, find
from . import reports, submissions
from .library import Libraries
from .reports import Graded, Result
from .sandbox import Confined, Limits, Sandbox
from .submissions import Submission

DONE, NOT_ALL = 0, 1
MOST_TEXT = 8000  # characters said of an exercise


class Grader:
    """Grades submissions in one sandbox, with one choice of exercises. seed: of the numbers that the checks ask about."""

    def __init__(self, libraries: Mapping[str, Path], chosen: Sequence[Exercise], sandbox: Sandbox, seed: int) -> None:
        self.libraries, self.chosen, self.sandbox, self.seed = libraries, chosen, sandbox, seed
        self._sound: dict[str, bool] = {}

    def graded(self, submission: Submission) -> Graded:
        """One student's results; whatever happens to one exercise, the others are graded."""
        return Graded(submission.student, [self._result(submission, each) for each in self.chosen], submission.notes)

    def _result(self, submission: Submission, exercise: Exercise) -> Result:
        start = time.monotonic()
        if exercise.id in submission.refused:
            return Result(exercise, "refused", submission.refused[exercise.id])
        if exercise.id not in submission.texts:
            return Result(exercise, "absent", f"there is no {exercise.file}")
        try:
            kind, text = self._judged(exercise, submission.texts[exercise.id])
            if kind == "mismatch" and not self._is_sound(exercise):
                kind, text = "ungraded", f"the check rejects the library's own function too, for the numbers of seed {self.seed}"
        except Exception as error:  # the machine's fault, or this program's: no student is to lose points for it quietly
            kind, text = "ungraded", f"this could not be graded: {type(error).__name__}: {error}"
        return Result(exercise, kind, text[:MOST_TEXT], time.monotonic() - start)

    def _is_sound(self, exercise: Exercise) -> bool:
        """Whether the library's own function passes with these numbers; asked once, and only when an answer did not."""
        if exercise.id not in self._sound:
            self._sound[exercise.id] = self._judged(exercise, target.answer(exercise))[0] == "passed"
        return self._sound[exercise.id]

    def _judged(self, exercise: Exercise, text: str) -> tuple[str, str]:
        """The verdict's kind, and what a student is told."""
        with Confined(exercise, self.sandbox, self.libraries[exercise.id]) as worker:
            verdict = check.judge(worker, text, self.seed)
        lines = report.remarks(verdict) if verdict.passed else report.lines(verdict)[1:]  # the first names the exercise
        said = [line.text for line in lines if not line.text.startswith("  next ")]  # hints are for before
        return verdict.kind, "\n".join(["passed"] * verdict.passed + said).strip()


def chosen_exercises(names: Iterable[str]) -> list[Exercise]:
    """Those of the names, which are of exercises or of lessons; all where there are none."""
    wanted: dict[str, Exercise] = {}
    for name in names:
        of_lesson = [each for each in exercises().values() if each.lesson == name]
        wanted |= {each.id: each for each in of_lesson or [find(name)]}
    return [each for each in exercises().values() if each.id in wanted or not wanted]


@contextmanager
def grader(chosen: Sequence[Exercise], sandbox: Sandbox, seed: int | None = None) -> Iterator[Grader]:
    """A grader with its copies of the library; without a seed, with numbers that nobody can know before."""
    with Libraries() as libraries:
        places = {each.id: libraries.without(each) for each in chosen}
        yield Grader(places, chosen, sandbox, secrets.randbits(64) if seed is None else seed)


def run_grade(told: Namespace) -> int:
    """Grades a folder; 0 if all was graded, however badly; 1 if something could not be."""
    folder = Path(told.folder)
    out = Path(told.out) if told.out else folder.resolve().with_name(f"{folder.resolve().name}-grades")
    _checked(told)
    chosen = chosen_exercises(told.only or ())
    found, single = submissions.find(folder, chosen, told.one)
    sandbox = Sandbox(Limits(seconds=told.seconds), private=[str(folder.resolve()), str(out.resolve())])
    _print_protections(sandbox)
    with grader(chosen, sandbox) as ours:
        every = [_printed(graded) for graded in _all(ours, found, told.jobs)]
    _write(out, every, chosen, single)
    print(f"\n{len(every)} submissions, {len(chosen)} exercises; the numbers asked about: seed {ours.seed}; results in {out}")
    return NOT_ALL if any(each.kind == "ungraded" for graded in every for each in graded.results) else DONE


def _checked(told: Namespace) -> None:
    if not 0 < told.seconds <= 3600:
        raise SettingError(f"--seconds must be above 0 and at most 3600, got {told.seconds:g}")
    if told.jobs < 1:
        raise SettingError(f"--jobs must be at least 1, got {told.jobs}")


def _all(ours: Grader, found: Sequence[Submission], jobs: int) -> Iterator[Graded]:
    """In order; several at once in processes of their own, for a check may change the library's settings while it runs."""
    if jobs == 1:
        yield from map(ours.graded, found)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(ours.graded, found)


def _print_protections(sandbox: Sandbox) -> None:
    print("protections, tried out just now from inside:")
    for active, name, note in sandbox.protections():
        print(f"  {'yes' if active else 'NO ':<4} {name:<26} {'' if active else 'not in force here: '}{note}")
    print(flush=True)


def _printed(graded: Graded) -> Graded:
    """A line for each student, and one for each thing that could not be graded."""
    print(f"{graded.score:4} of {graded.most}  {graded.student}", flush=True)
    for each in graded.results:
        if each.kind == "ungraded":
            print(f"      {each.exercise.id}: {each.text.splitlines()[0]}")
    return graded


def _write(out: Path, every: Sequence[Graded], chosen: Sequence[Exercise], single: bool) -> None:
    """One results.json for one submission; for several, one for each student in a folder."""
    names: set[str] = set()
    for graded in every:
        path = out / "results.json" if single else out / "results" / f"{_free(graded.student, names)}.json"
        reports.write(path, reports.results_json(graded))
    reports.write(out / "junit.xml", reports.junit_xml(every))
    reports.write(out / "grades.csv", reports.table_csv(every, chosen))


def _free(student: str, names: set[str]) -> str:
    """A file's name for a student, unlike those before."""
    stem = name = student.replace("/", "_")[:100] or "_"
    number = 2
    while name.lower() in names:
        name, number = f"{stem}-{number}", number + 1
    names.add(name.lower())
    return name
