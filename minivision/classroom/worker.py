"""The process in which a student's code runs: started by proxy.py as `python worker.py READ WRITE`, its setup on stdin.

It imports the library with the exercise's target cut out, and without the compiled kernels, which would know the answer;
then it loads files and calls what they define, as the messages on READ ask, and answers on WRITE. What the student
prints goes to stderr. Nothing here decides whether an answer is right.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import resource
import sys
import traceback
import types
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LONGEST, FRAMES = 600, 4  # characters of an error's message; lines of a traceback


class Library(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds minivision where this file is; a module of `cut` is compiled from the text given there."""

    def __init__(self, cut: dict[str, str]) -> None:
        self.cut = cut

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """A specification for the package, for what is cut, and for the kernels, which are absent."""
        if name == "minivision._kernels" and self.cut:
            raise ImportError("left out while a student's code runs")
        if name not in self.cut:
            return self._package() if name == "minivision" else None
        found = importlib.machinery.PathFinder.find_spec(name, path)
        return found and importlib.util.spec_from_loader(
            name, self, origin=found.origin, is_package=found.submodule_search_locations is not None
        )

    def _package(self) -> Any:
        folder = ROOT / "minivision"
        place = folder / "__init__.py"
        return importlib.util.spec_from_file_location("minivision", place, submodule_search_locations=[str(folder)])

    def exec_module(self, module: Any) -> None:
        """Runs the text; its lines are not shown in tracebacks, for the file holds others."""
        exec(compile(self.cut[module.__name__], f"<{module.__name__}, cut>", "exec", dont_inherit=True), module.__dict__)


class PythonFile:
    """Loads a Python file, and finds the function in it."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self.name, self.file = setup["name"], setup["file"]

    def load(self, text: str) -> dict[str, Any]:
        """Runs the file, and keeps its function."""
        module = types.ModuleType("exercise")
        module.__file__ = self.file
        sys.modules["exercise"] = module
        exec(compile(text, self.file, "exec", dont_inherit=True), module.__dict__)
        self.function = getattr(module, self.name, None)
        return {"loaded": callable(self.function)}


def describe(error: BaseException, file: str) -> dict[str, Any]:
    """An exception as plain data: its classes, its message, and the lines of the student's own file on its way."""
    try:
        message = str(error)[:LONGEST]
    except BaseException:
        message = "(its message cannot be shown)"
    steps = traceback.extract_tb(error.__traceback__)
    own = [[step.lineno, step.name] for step in steps if step.filename == file]
    if isinstance(error, SyntaxError) and error.filename == file:
        own, message = [[error.lineno, ""]], f"{error.msg}"
    return {
        "kinds": [kind.__name__ for kind in type(error).__mro__ if kind is not object],
        "message": message,
        "frames": own[-FRAMES:],
        "inside": bool(own and steps and steps[-1].filename == file),
        "column": getattr(error, "offset", None) if isinstance(error, SyntaxError) else None,
    }


def serve(source: Any, answers: Any, code: Any, file: str) -> None:
    """Answers each message until there are no more."""
    from minivision.classroom import drivers, failure, wire

    while lengths := source.read(wire.LENGTHS.size):
        header, body = wire.LENGTHS.unpack(lengths)
        asked = wire.unpack(source.read(header), bytearray(source.read(body)))
        try:
            reply = wire.pack(_done(asked, code, drivers))
        except wire.WireError as error:
            reply = wire.pack({"unsendable": str(error)})
        except failure.Failure as error:
            reply = wire.pack({"failure": error.kind, "headline": error.headline, "lines": error.lines})
        except BaseException as error:  # also SystemExit: one file's end is not this process's
            reply = wire.pack({"raised": describe(error, file)})
        sys.stdout.flush()
        sys.stderr.flush()
        answers.write(reply)
        answers.flush()


def _done(asked: dict[str, Any], code: Any, drivers: Any) -> dict[str, Any]:
    """What came of one message: a file loaded, the function called, or a driver called with it."""
    if "ready" in asked:
        return asked
    if "load" in asked:
        return code.load(asked["load"])
    if asked["driver"]:
        return {"result": drivers.find(asked["driver"])(code.function, *asked["args"], **asked["kwargs"])}
    return {"result": code.function(*asked["args"], **asked["kwargs"])}


def main() -> None:
    """Takes the pipes away from what the student can print to, imports the library, serves."""
    source, answers = os.fdopen(int(sys.argv[1]), "rb"), os.fdopen(int(sys.argv[2]), "wb")
    setup = json.load(sys.stdin)
    seconds = int(setup["seconds"]) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))  # an end, should the parent die first
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for end in (source, answers):
        os.set_inheritable(end.fileno(), False)
    sys.path.remove(str(Path(__file__).resolve().parent))
    sys.meta_path.insert(0, Library(setup["cut"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("minivision")
    if setup["language"] == "c":
        code: Any = importlib.import_module("minivision.classroom.c_file").CFile(setup)
    else:
        code = PythonFile(setup)
    serve(source, answers, code, setup["file"])


if __name__ == "__main__":
    main()
