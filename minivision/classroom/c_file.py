"""In a student's process: a C file is compiled as the library's steps are, and called on arrays with guards around them."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from .cut_c import csrc, written
from .failure import Compiler, Outside, Unwritten

sys.path.insert(0, str(csrc() / "steps"))
try:
    import build_steps
finally:
    sys.path.remove(str(csrc() / "steps"))
MOST_LINES, WIDTH, PATIENCE = 12, 74, 20  # of the compiler's messages; seconds for it
SAID_ONCE = "note: each undeclared identifier is reported only once for each function it appears in"
EXPLAINED = re.compile(r"^\S+ " + SAID_ONCE.replace(" ", r"\s+") + r"\s*\n", re.M)  # what GCC says below the first such error


class CFile:
    """Compiles one file after another in the current folder; `function` calls the last one's step."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self.setup, self.numbers = setup, itertools.count()
        self.step: Any = None

    def load(self, text: str) -> dict[str, Any]:
        """Compiles the file; the compiler's warnings are returned."""
        try:
            is_written = written(text, self.setup["name"])
        except LookupError:
            return {"loaded": False}
        if not is_written:
            raise Unwritten("nothing is written yet")
        folder = Path(str(next(self.numbers)))
        folder.mkdir()
        for name, included in (self.setup["include"] | {self.setup["file"]: text}).items():
            (folder / name).write_text(included, encoding="utf-8")
        warnings = self._compiled(folder)
        self.step = build_steps.opened((folder / "step.so").resolve())
        return {"loaded": self.step.has(self.setup["family"]), "warnings": warnings}

    def _compiled(self, folder: Path) -> str:
        """The compiler's warnings; Compiler with its errors."""
        if build_steps.compiler() is None:
            advice = "install one (Debian: apt-get install gcc; macOS: xcode-select --install)"
            raise Compiler("there is no C compiler on this machine", [("help", advice)])
        options: dict[str, Any] = {
            "env": {**os.environ, "LC_ALL": "C"},
            "capture_output": True,
            "text": True,
            "errors": "replace",
        }
        source, width = Path(self.setup["file"]), f"-fmessage-length={WIDTH}"
        command = build_steps.command(source, Path("step.so"), width, include=Path("."))
        try:
            done = subprocess.run(command, cwd=folder, timeout=PATIENCE, **options)
        except subprocess.TimeoutExpired:
            raise Compiler(f"the compiler did not finish within {PATIENCE} seconds") from None
        told = [line.rstrip() for line in EXPLAINED.sub("", done.stderr).strip().splitlines()]
        if len(told) > MOST_LINES:
            told = [*told[: MOST_LINES - 1], f"... and {len(told) - MOST_LINES + 1} lines more"]
        if done.returncode:
            raise Compiler("the compiler refuses it", [("", line) for line in told])
        return "\n".join(told)

    def function(self, *arrays: np.ndarray, **sizes: Any) -> np.ndarray:
        """The step's result, as build_steps.Step's method of the family has it; Outside where it wrote elsewhere."""
        call = getattr(self.step, self.setup["family"])(*arrays, **sizes)
        call.run()
        if found := call.outside():
            raise Outside("it wrote " + " and ".join(found), [("help", "look at the last index of each loop")])
        return call.result
