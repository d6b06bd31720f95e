"""What came of grading, in three forms: Gradescope's results.json, JUnit XML, and a table for a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ..manifest import Exercise

FORMULA = ("=", "+", "-", "@")  # a spreadsheet runs a cell that begins with one of these


@dataclass(frozen=True)
class Result:
    """One exercise of one student. kind: passed, absent, refused, ungraded, or a failure's word; text: what is said of it."""

    exercise: Exercise
    kind: str
    text: str
    seconds: float = 0.0

    @property
    def score(self) -> int:
        """All of its points, or none."""
        return self.exercise.points if self.kind == "passed" else 0


@dataclass(frozen=True)
class Graded:
    """One student's results; notes: on files that were not asked for."""

    student: str
    results: Sequence[Result]
    notes: Sequence[str] = field(default=())

    @property
    def score(self) -> int:
        """The points reached."""
        return sum(each.score for each in self.results)

    @property
    def most(self) -> int:
        """The points there are."""
        return sum(each.exercise.points for each in self.results)


def results_json(graded: Graded) -> str:
    """As https://gradescope-autograders.readthedocs.io/en/latest/specs/ has it."""
    return json.dumps(
        {
            "score": graded.score,
            "execution_time": round(sum(each.seconds for each in graded.results), 3),
            "output": "\n".join(graded.notes),
            "output_format": "text",
            "test_output_format": "text",
            "visibility": "visible",
            "stdout_visibility": "hidden",
            "tests": [_test(each) for each in graded.results],
        },
        indent=1,
    )


def _test(result: Result) -> dict[str, Any]:
    return {
        "name": f"{result.exercise.id}: {result.exercise.title}",
        "score": result.score,
        "max_score": result.exercise.points,
        "status": "passed" if result.kind == "passed" else "failed",
        "output": result.text,
        "visibility": "visible",
    }


def junit_xml(every: Sequence[Graded]) -> str:
    """A suite for each student; what could not be graded is an error, not a failure."""
    root = ElementTree.Element("testsuites")
    for graded in every:
        kinds = [each.kind for each in graded.results]
        counts = {
            "tests": str(len(kinds)),
            "failures": str(sum(kind not in ("passed", "ungraded") for kind in kinds)),
            "errors": str(kinds.count("ungraded")),
            "time": f"{sum(each.seconds for each in graded.results):.3f}",
        }
        suite = ElementTree.SubElement(
            root, "testsuite", {"name": _xml(graded.student), **{k: str(v) for k, v in counts.items()}}
        )
        for each in graded.results:
            _case(suite, graded, each)
        if graded.notes:
            ElementTree.SubElement(suite, "system-out").text = _xml("\n".join(graded.notes))
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, "unicode", xml_declaration=True) + "\n"


def _case(suite: ElementTree.Element, graded: Graded, result: Result) -> None:
    attributes = {"classname": _xml(graded.student), "name": result.exercise.id, "time": f"{result.seconds:.3f}"}
    case = ElementTree.SubElement(suite, "testcase", attributes)
    if result.kind != "passed":
        word = "error" if result.kind == "ungraded" else "failure"
        told = ElementTree.SubElement(case, word, {"type": result.kind, "message": _xml(result.text.splitlines()[0])})
        told.text = _xml(result.text)


def _xml(text: str) -> str:
    """Without the characters that XML 1.0 does not have."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def table_csv(every: Sequence[Graded], exercises: Sequence[Exercise]) -> str:
    """A row for each student, a column for each exercise, the sum last; what could not be graded stays empty."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["student", *(exercise.id for exercise in exercises), "total"])
    for graded in every:
        scores = ["" if each.kind == "ungraded" else each.score for each in graded.results]
        rows.writerow([_cell(graded.student), *scores, graded.score])
    return out.getvalue()


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def write(path: Path, text: str) -> None:
    """Writes a file whole or not at all; where a link of that name is, the link is replaced, not followed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(new, path)
