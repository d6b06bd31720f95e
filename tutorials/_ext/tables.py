"""The tables that pages are made from: papers.toml, claims.toml, and what the lessons recorded."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TUTORIALS = Path(__file__).parents[1]
BUILT = TUTORIALS / "lessons"  # generated: pages, notebooks, pictures, records


def load(name: str) -> dict[str, Any]:
    """A table of this folder, such as papers.toml."""
    return tomllib.loads((TUTORIALS / name).read_text(encoding="utf-8"))


@cache
def papers() -> dict[str, dict[str, Any]]:
    """Every paper by its key; "family" is the group it stands in."""
    return {
        each["key"]: {**each, "family": family["name"]} for family in load("papers.toml")["family"] for each in family["paper"]
    }


@cache
def claims() -> dict[str, dict[str, Any]]:
    """Every claim by its number."""
    return {each["number"]: each for group in load("claims.toml")["group"] for each in group["claim"]}


def lessons() -> list[Path]:
    """The scripts of the lessons that there are."""
    return sorted(TUTORIALS.glob("[0-9][0-9]_*.py"))


def numbers(script: Path) -> list[str]:
    """The claims that a lesson measures: the first argument of each lesson.claim(...) in its source."""
    calls = [node for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    made = [call for call in calls if ast.unparse(call.func) == "lesson.claim"]
    return [ast.literal_eval(call.args[0]) for call in made]


@cache
def measuring() -> dict[str, list[str]]:
    """Claim number -> names of the lessons that measure it."""
    found: dict[str, list[str]] = {}
    for script in lessons():
        for number in numbers(script):
            found.setdefault(number, []).append(script.stem)
    return found


def record_file(lesson: str) -> Path:
    """Where a lesson's claims are recorded, one JSON object a line: replaced when the lesson runs again, as its page is."""
    return BUILT / f"{lesson}.claims.jsonl"


def records() -> dict[str, dict[str, list[dict[str, str]]]]:
    """Claim number -> lesson -> its records of that claim, in order; only of lessons that there are."""
    found: dict[str, dict[str, list[dict[str, str]]]] = {}
    for file in (record_file(script.stem) for script in lessons()):
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
            record = json.loads(line)
            found.setdefault(record["number"], {}).setdefault(file.name.partition(".")[0], []).append(record)
    return found


class Table(SphinxDirective):
    """A directive whose text is made from the tables."""

    def lines(self) -> Iterable[str]:
        """The reST that the directive stands for."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Reads the lines as if they stood in the page."""
        return self.parse_text_to_nodes("\n".join(self.lines()), allow_section_headings=True)


def escape(text: str) -> str:
    """Plain text as reST that reads the same."""
    return "".join(f"\\{letter}" if letter in r"\*`|_:" else letter for letter in text)


def title(text: str, underline: str = "-") -> list[str]:
    """A heading."""
    return [text, underline * len(text), ""]


def link(key: str) -> str:
    """A paper by its name, as a link to its row."""
    return f":ref:`{papers()[key]['name']} <paper-{key}>`"
