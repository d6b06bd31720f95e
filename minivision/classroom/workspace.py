"""A student's folder: the files, and the progress kept beside them in a small JSON file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import SettingError
from . import target
from .manifest import Exercise, exercises
from .show import shortened

PROGRESS, LARGEST = "minivision-progress.json", 1 << 20  # bytes of a student's file
MEND = """it is left as it is
  hint: mend it, or move it away: the next command begins a new one,
        and `minivision exercise check ID` notes again what passes"""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """SettingError where the folder or the disk does not let a file be written; one that is there is the caller's to tell."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        where = f"in {path.parent.resolve()}: {error.strerror}"
        advice = "exercises are written into the current folder: go to one of your own"
        raise SettingError(f"{path.name} cannot be written\n  {where}\n  hint: {advice}") from None


@dataclass
class Workspace:
    """A folder with exercises in it. `notes` is all that the progress file holds, also what this version does not know."""

    folder: Path = field(default_factory=Path)
    notes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path | None = None) -> Workspace:
        """The folder's (by default the current one's) state; SettingError says what to do with a broken file."""
        folder = folder or Path()
        path = folder / PROGRESS
        try:
            notes = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls(folder)
        except (ValueError, RecursionError) as error:
            raise SettingError(f"{PROGRESS} cannot be read\n  {shortened(str(error), 76)}\n  {MEND}") from None
        entries = notes.get("exercises") if isinstance(notes, dict) else None
        if not isinstance(entries, dict) or not all(isinstance(each, dict) for each in entries.values()):
            raise SettingError(f"{PROGRESS} is no progress of exercises\n  {MEND}")
        return cls(folder, notes)

    def save(self) -> None:
        """Writes the progress: whole, or not at all."""
        path = self.folder / PROGRESS
        new = path.with_suffix(".new")
        with writing(path):
            new.write_text(json.dumps(self.notes, indent=1) + "\n", encoding="utf-8")
            os.replace(new, path)

    def entry(self, exercise: Exercise) -> dict[str, Any]:
        """What is noted about an exercise; changes are kept by save()."""
        return self.notes.setdefault("exercises", {}).setdefault(exercise.id, {})

    def _noted(self, exercise: Exercise, name: str) -> Any:
        return self.notes.get("exercises", {}).get(exercise.id, {}).get(name)

    def passed(self, exercise: Exercise) -> bool:
        """Whether it has passed here once."""
        return self._noted(exercise, "passed") is True

    def hints(self, exercise: Exercise) -> int:
        """How many hints were shown."""
        seen = self._noted(exercise, "hints")
        return min(seen, len(exercise.hints)) if isinstance(seen, int) and seen > 0 else 0

    def state(self, exercise: Exercise) -> str:
        """passed, begun, or nothing."""
        return "passed" if self.passed(exercise) else "begun" if self.path(exercise).exists() else ""

    def path(self, exercise: Exercise) -> Path:
        """Where the student writes it."""
        return self.folder / exercise.file

    def current(self) -> Exercise:
        """What was worked on last; once that has passed, the first after it that has not: one whose file is here, if any."""
        every = list(exercises().values())
        last = next((i for i, each in enumerate(every) if each.id == self.notes.get("current")), 0)
        left = [each for each in [*every[last:], *every[:last]] if not self.passed(each)]
        return next((each for each in left if self.path(each).exists()), left[0] if left else every[last])

    def start(self, exercise: Exercise) -> Path:
        """Writes the file that the student begins with; SettingError where there is one already."""
        path = self.path(exercise)
        try:
            with writing(path), path.open("x", encoding="utf-8") as file:
                file.write(target.stub(exercise))
        except FileExistsError:
            advice = f"`minivision exercise reset {exercise.id}` writes it anew,\n        and keeps yours beside it"
            raise SettingError(f"{path} is there already, and stays as it is\n  hint: {advice}") from None
        self.notes["current"] = exercise.id
        self.entry(exercise)
        self.save()
        return path

    def reset(self, exercise: Exercise) -> Path | None:
        """Begins anew; returns where the file of before is now, None if there was none."""
        path, kept = self.path(exercise), None
        if path.exists():
            numbers = range(1, len(list(self.folder.iterdir())) + 2)
            names = (path.with_name(f"{path.stem}.backup-{n}{path.suffix}") for n in numbers)
            kept = next(name for name in names if not name.exists())
            with writing(kept):
                path.rename(kept)
        self.start(exercise)
        return kept

    def text(self, exercise: Exercise) -> str:
        """What the student wrote; SettingError where there is no file, or no text in it."""
        path = self.path(exercise)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            advice = f"`minivision exercise start {exercise.id}` writes it"
            raise SettingError(f"there is no {path} here\n  hint: {advice}") from None
        if len(data) > LARGEST:
            raise SettingError(f"{path} has {len(data):,} bytes\n  an exercise has at most {LARGEST:,}")
        try:
            return data.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            raise SettingError(f"{path}, line {line}: not UTF-8 text\n  hint: save it as UTF-8") from None

    def note_verdict(self, exercise: Exercise, passed: bool) -> None:
        """Counts a check; what has passed stays passed."""
        entry = self.entry(exercise)
        count = entry.get("checks")
        entry["checks"] = (count if isinstance(count, int) else 0) + 1
        if passed:
            entry["passed"] = True
        self.notes["current"] = exercise.id
        self.save()

    def next_hint(self, exercise: Exercise) -> int | None:
        """The number of the next hint, from 0, which counts as shown; None where all are shown."""
        seen = self.hints(exercise)
        if seen == len(exercise.hints):
            return None
        self.entry(exercise)["hints"] = seen + 1
        self.save()
        return seen

    def points(self) -> tuple[int, int]:
        """Reached, and in all."""
        every = exercises().values()
        return sum(each.points for each in every if self.passed(each)), sum(each.points for each in every)
