"""The target of an exercise, whichever language it is in: what a student is given, the answers, what the worker is told."""

from __future__ import annotations

from typing import Any

from . import cut, cut_c
from .manifest import Exercise


def piece(exercise: Exercise) -> Any:
    """The function in the live source: a cut.Piece or a cut_c.Piece."""
    return cut_c.piece(exercise.target) if exercise.is_c else cut.piece(exercise.target)


def formula(exercise: Exercise) -> str:
    """The closed form's name: as the manifest has it, or the first line of the docstring."""
    return exercise.formula or (piece(exercise).docstring.splitlines() or [""])[0]


def stub(exercise: Exercise) -> str:
    """The file that a student starts with."""
    return header(exercise) + piece(exercise).stub()


def answer(exercise: Exercise, old: str = "", new: str = "") -> str:
    """The file with the library's own function in it, or with an edit of that."""
    return header(exercise) + piece(exercise).answer(old, new)


def solution(exercise: Exercise) -> str:
    """The function as the library has it; of C, the whole file."""
    found = piece(exercise)
    return found.text if exercise.is_c else found.function


def header(exercise: Exercise) -> str:
    """A comment: what to do, from where, and how to check it."""
    what = f"Write the body of {exercise.name.rpartition('.')[2]}, which is cut out of {exercise.path}."
    lines = [f"{exercise.title}   ({exercise.level}, lesson {exercise.lesson})", "", what, *exercise.task.splitlines()]
    lines += [f"Formula: {formula(exercise)}"] if formula(exercise) else []
    lines += ["", f"    minivision exercise check {exercise.id}", f"    minivision exercise hint {exercise.id}"]
    if exercise.is_c:
        return "/* " + "\n".join(f" * {line}".rstrip() for line in lines)[3:] + " */\n\n"
    return "".join(f"# {line}".rstrip() + "\n" for line in lines) + "\n"


def setup(exercise: Exercise) -> dict[str, Any]:
    """What the worker is told when it starts."""
    found = piece(exercise)
    told = {"file": exercise.file, "name": exercise.name.rpartition(".")[2]}
    if exercise.is_c:
        return told | {"language": "c", "cut": {}, "family": found.family, "include": found.includes()}
    return told | {"language": "python", "cut": {found.module: found.holed()}}
