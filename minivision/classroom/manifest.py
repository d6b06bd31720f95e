"""What exercises there are: the tables of exercises/*.toml, one file for each lesson."""

from __future__ import annotations

import difflib
import functools
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import SettingError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).with_name("exercises")
POINTS = {"easy": 1, "middle": 2, "hard": 3}


@dataclass(frozen=True)
class Wrong:
    """A plausible wrong answer: an edit of the library's function that the check must reject."""

    why: str
    old: str
    new: str


@dataclass(frozen=True)
class Exercise:
    """One entry of a manifest; exercises/README.md explains the fields."""

    lesson: str
    id: str
    title: str
    level: str
    points: int
    target: str
    check: str
    hints: tuple[str, ...]
    wrong: tuple[Wrong, ...]
    formula: str = ""
    task: str = ""

    @property
    def path(self) -> str:
        """Where the target is: minivision/ops/norm.py, csrc/steps/gemm_2_order.c."""
        return self.target.partition(":")[0]

    @property
    def name(self) -> str:
        """What is to be written there: a function, or Class.method."""
        return self.target.partition(":")[2]

    @property
    def is_c(self) -> bool:
        """Whether it is written in C."""
        return self.path.endswith(".c")

    @property
    def file(self) -> str:
        """What a student's file is called."""
        return self.id + (".c" if self.is_c else ".py")


def read(path: Path) -> list[Exercise]:
    """The exercises of one manifest; ValueError says what is wrong with it, and where."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    if unknown := table.keys() - {"exercise"}:
        raise ValueError(f"{path.name}: only [[exercise]] tables belong here, found {', '.join(sorted(unknown))}")
    return [_entry(path, each) for each in table.get("exercise", [])]


def _entry(path: Path, table: Mapping[str, Any]) -> Exercise:
    where = f"{path.name}, {table.get('id', 'an exercise without id')}"
    optional, known = {"formula", "task"}, {each.name for each in fields(Exercise)} - {"lesson"}
    if missing := known - optional - table.keys():
        raise ValueError(f"{where}: {', '.join(sorted(missing))} missing")
    if unknown := table.keys() - known:
        raise ValueError(f"{where}: unknown {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}")
    if POINTS.get(table["level"]) != table["points"]:
        raise ValueError(f"{where}: level and points are one of {POINTS}, got {table['level']!r} and {table['points']!r}")
    wrong = tuple(Wrong(**each) for each in table["wrong"])
    return Exercise(path.stem, **{**table, "hints": tuple(table["hints"]), "wrong": wrong})


@functools.cache
def exercises() -> dict[str, Exercise]:
    """Every exercise by its id, in the order of lessons and manifests."""
    every = [each for path in sorted(FOLDER.glob("*.toml")) for each in read(path)]
    found = {each.id: each for each in every}
    if len(found) < len(every):
        raise ValueError("two exercises have the same id")
    return found


def find(name: str) -> Exercise:
    """The exercise of an id, or of the file it is written in; SettingError with the closest ids where there is none."""
    if found := exercises().get(Path(name).name.removesuffix(".py").removesuffix(".c")):
        return found
    close = difflib.get_close_matches(name, exercises(), n=2, cutoff=0.4)
    hint = f"did you mean {' or '.join(close)}?" if close else "`minivision exercise list` shows them all"
    raise SettingError(f"no exercise is called {name!r}\n  hint: {hint}")
