"""The hole in Python: a function's body cut out of the library's live source, by the line numbers of its syntax tree.

A Piece knows the module's source. `stub` is what a student gets, `answer` what the library has (with an edit: a wrong
answer), `holed` the whole module as the worker runs it.
"""

from __future__ import annotations

import ast
import importlib.util
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]  # the folder that `minivision` is in
STUB = "raise NotImplementedError"
CUT = 'raise NotImplementedError("the library\'s own {name} is cut out here: it is for you to write")'


@dataclass(frozen=True)
class Piece:
    """A function `name`, or Class.method, of a module of the package."""

    path: Path
    module: str
    name: str
    text: str  # of the whole module

    @property
    def lines(self) -> list[str]:
        """The module's, each with its end."""
        return self.text.splitlines(keepends=True)

    @property
    def short_name(self) -> str:
        """The function's own name."""
        return self.name.rpartition(".")[2]

    @property
    def node(self) -> Any:
        """The function's syntax tree; LookupError where the module has none of this name."""
        body = ast.parse(self.text).body
        for part in self.name.split("."):
            node = next((n for n in body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name == part), None)
            if node is None:
                raise LookupError(f"{self.path.name} has no {self.name}")
            body = node.body
        return node

    @property
    def docstring(self) -> str:
        """What the function says of itself."""
        return ast.get_docstring(self.node) or ""

    @property
    def span(self) -> tuple[int, int]:
        """The lines of the function, counted from 0, end excluded; with its decorators, but for a method's."""
        node = self.node
        first = [node.lineno] if "." in self.name else [node.lineno, *(d.lineno for d in node.decorator_list)]
        return min(first) - 1, node.end_lineno

    @property
    def function(self) -> str:
        """The function as it is, a method moved to the left margin."""
        first, end = self.span
        return textwrap.dedent("".join(self.lines[first:end]))

    def _hole(self, statement: str) -> list[str]:
        """The module's lines with the body replaced by one statement."""
        body, lines, node = self.node.body, self.lines, self.node
        if has_docstring := ast.get_docstring(node) is not None:
            start, body = body[0].end_lineno, body[1:]
        else:
            start = min([body[0].lineno, *(d.lineno for d in getattr(body[0], "decorator_list", []))]) - 1
        if body[0].lineno <= node.lineno or (has_docstring and body[0].lineno <= start):  # on one line with what comes before
            kept = lines[body[0].lineno - 1].encode()[: body[0].col_offset].decode()
            return [*lines[: body[0].lineno - 1], f"{kept}{statement}\n", *lines[node.end_lineno :]]
        return [*lines[:start], f"{' ' * body[0].col_offset}{statement}\n", *lines[node.end_lineno :]]

    def holed(self) -> str:
        """The module without the function's body."""
        return "".join(self._hole(CUT.format(name=self.short_name)))

    def stub(self) -> str:
        """The function without its body, after what it needs to import."""
        holed, (first, end) = self._hole(STUB), self.span
        removed = len(self.lines) - len(holed)
        return f"{self.imports()}\n\n\n{textwrap.dedent(''.join(holed[first : end - removed]))}"

    def answer(self, old: str = "", new: str = "") -> str:
        """The function as the library has it, after its imports, with an edit where one is given."""
        return f"{self.imports()}\n\n\n{edited(self.function, old, new)}"

    def imports(self) -> str:
        """Statements that give the function the names it uses, from where the module has them; and NumPy."""
        used, tree, lines = _globals_of(self.node) - {self.short_name}, ast.parse(self.text), []
        own, numpy = [], "import numpy as np"
        for node in _statements(tree.body):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                lines += _absolute(node, used, self.module)
            else:
                own += [name for name in _bound(node) if name in used and name not in own]
        lines += [f"from {self.module} import {', '.join(own)}"] if own else []
        lines += [] if numpy in lines else [numpy]
        future = [line for line in lines if line.startswith("from __future__")]
        others = [line for line in lines if not line.startswith("from __future__") and "minivision" not in line]
        ours = [_wrapped(line) for line in lines if "minivision" in line]
        return "\n\n".join("\n".join(each) for each in (future, others, ours) if each)


def piece(target: str) -> Piece:
    """The piece of a target such as minivision/ops/norm.py:_layer_norm_vjp."""
    path, _, name = target.partition(":")
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return Piece(ROOT / path, module, name, (ROOT / path).read_text(encoding="utf-8"))


def edited(text: str, old: str, new: str) -> str:
    """The text with `old`, which must occur exactly once, replaced by `new`; as it is where both are empty."""
    if old or new:
        if text.count(old) != 1:
            raise ValueError(f"a wrong answer's `old` must occur exactly once, but is there {text.count(old)} times: {old}")
        text = text.replace(old, new)
    return text


def _globals_of(function: Any) -> set[str]:
    """The names that a function takes from its module, or from Python."""
    names = [n for n in ast.walk(function) if isinstance(n, ast.Name)]
    stored = {n.id for n in names if isinstance(n.ctx, ast.Store)} | {n.arg for n in ast.walk(function) if isinstance(n, ast.arg)}
    arguments = function.args
    outside = [*function.decorator_list, *arguments.defaults, *filter(None, arguments.kw_defaults), function.returns]
    outside += [a.annotation for a in ast.walk(arguments) if isinstance(a, ast.arg)]
    before = {n.id for part in filter(None, outside) for n in ast.walk(part) if isinstance(n, ast.Name)}
    return {n.id for n in names if isinstance(n.ctx, ast.Load)} - stored | before


def _statements(body: list[Any]) -> Iterator[Any]:
    """A module's statements, also those inside an `if` or a `try`."""
    for node in body:
        yield node
        if isinstance(node, (ast.If, ast.Try, ast.With)):
            yield from _statements([n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt)])


def _absolute(node: Any, used: set[str], module: str) -> list[str]:
    """An import statement for the used names alone, from an absolute place."""
    names = [
        a for a in node.names if (a.asname or a.name).partition(".")[0] in used or getattr(node, "module", "") == "__future__"
    ]
    texts = [a.name + (f" as {a.asname}" if a.asname else "") for a in names]
    if isinstance(node, ast.Import) or not names:
        return [f"import {text}" for text in texts]
    package = module.rpartition(".")[0]
    source = importlib.util.resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module
    return [f"from {source} import {', '.join(texts)}"]


def _bound(node: Any) -> list[str]:
    """The names that a statement of a module gives a value."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]


def _wrapped(line: str) -> str:
    """A long import in parentheses."""
    if len(line) <= 100:
        return line
    source, _, names = line.partition(" import ")
    rows = textwrap.wrap(names, 90, initial_indent="    ", subsequent_indent="    ")
    return "\n".join([f"{source} import (", *rows[:-1], f"{rows[-1]},", ")"])
