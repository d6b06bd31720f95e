"""The hole in C: the text between the braces of a function of csrc/steps; the rest of its file stays, comments too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .cut import ROOT, edited

INSTALLED = Path(__file__).resolve().parents[1] / "_csrc"  # setup.py copies csrc's teaching part there
STUB = "    /* Nothing is written here yet. */\n"
NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def csrc() -> Path:
    """The folder of the C sources: of the source tree, or what an installed package has of them."""
    return ROOT / "csrc" if (ROOT / "csrc" / "steps").is_dir() else INSTALLED


@dataclass(frozen=True)
class Piece:
    """A function `name` of a C file."""

    path: Path
    name: str
    text: str  # of the whole file

    @property
    def family(self) -> str:
        """Which of the steps' signatures the file gives: gemm, conv, attention."""
        return self.path.name.partition("_")[0]

    @property
    def docstring(self) -> str:
        """The file's first comment."""
        return re.sub(r"^/\* | \*/$|^ \*", "", self.text.partition("*/")[0], flags=re.M)

    @property
    def span(self) -> tuple[int, int]:
        """Where the body is, without its braces."""
        return body(self.text, self.name)

    def stub(self) -> str:
        """The file without the body."""
        first, end = self.span
        return f"{self.text[:first]}\n{STUB}{self.text[end:]}"

    def answer(self, old: str = "", new: str = "") -> str:
        """The file as it is, with an edit of the function where one is given."""
        first, end = self.span
        return self.text[:first] + edited(self.text[first:end], old, new) + self.text[end:]

    def includes(self) -> dict[str, str]:
        """The files that it includes, and those that they include, by name: no others are there to compile with."""
        found: dict[str, str] = {}
        waiting = [self.text]
        while waiting:
            for name in re.findall(r'^#include "(\w+\.[ch])"', waiting.pop(), re.M):
                if name not in found:
                    found[name] = (self.path.parent / name).read_text(encoding="utf-8")
                    waiting.append(found[name])
        return found


def piece(target: str) -> Piece:
    """The piece of a target such as csrc/steps/gemm_2_order.c:gemm."""
    name = target.partition(":")
    path = csrc() / Path(name[0]).relative_to("csrc")
    return Piece(path, name[2], path.read_text(encoding="utf-8"))


def body(text: str, name: str) -> tuple[int, int]:
    """Where the body of a function is in a C file, without its braces; LookupError where there is none."""
    blank = NOT_CODE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)  # as long, with no brace that is no code
    for found in re.finditer(rf"^\w[\w\s*]*\b{name}\s*\([^;{{}}]*\)\s*\{{", blank, re.M):
        depth = 1
        for brace in re.finditer(r"[{}]", blank[found.end() :]):
            depth += 1 if brace[0] == "{" else -1
            if depth == 0:
                return found.end(), found.end() + brace.start()
    raise LookupError(f"there is no function {name} here")


def written(text: str, name: str) -> bool:
    """Whether the function has a body of more than comments."""
    first, end = body(text, name)
    return bool(NOT_CODE.sub("", text[first:end]).strip())
