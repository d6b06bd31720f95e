"""`.. api:: minivision.functional.activation`: a module's public names, each with signature and docstring.

Docstrings of this library are plain text with formulas, not reST; so they are shown as they are written, line for line.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Iterator
from textwrap import indent
from types import ModuleType
from typing import Any

import tables
from sphinx.application import Sphinx

from minivision.op import Op

ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def public(module: ModuleType) -> list[str]:
    """The names of __all__; without it, those defined here that do not begin with an underscore."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    return [name for name in own if not name.startswith("_")]


def signature(value: Any) -> str:
    """As one would call it; the annotation Any says nothing and is left out."""
    try:
        found = inspect.signature(value.definition if isinstance(value, Op) else value)
    except (TypeError, ValueError):
        return "(...)"
    kept = [each.replace(annotation=inspect.Parameter.empty) for each in found.parameters.values() if each.name != "self"]
    return ADDRESS.sub("", str(found.replace(parameters=kept, return_annotation=inspect.Signature.empty)))


def prose(text: str) -> list[str]:
    """A docstring as reST: indented blocks and formulas keep their lines, the rest flows."""
    made: list[str] = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        lines = block.splitlines()
        keep = any(line.startswith(" ") or "   " in line for line in lines) or max(map(len, lines[:-1]), default=120) < 80
        if any(line.startswith(" ") or re.search(r"\S {3,}\S", line) for line in lines):
            made += [".. code-block:: none", "", *("   " + line for line in lines), ""]
        elif keep and len(lines) > 1:
            made += [*("| " + words(line) for line in lines), ""]
        else:
            made += [words(" ".join(lines)), ""]
    return made


def words(line: str) -> str:
    """A line with `code` set as code, everything else as it stands."""
    parts = re.split(r"`+([^`]+)`+", line)
    code = [f"``{part}``\\ " if odd % 2 else tables.escape(part) for odd, part in enumerate(parts)]
    return "".join(code).strip() or "\\"


def described(name: str, value: Any, owner: str) -> Iterator[str]:
    """One name: a class with its own methods, or a function."""
    kind = "class" if inspect.isclass(value) else "function"
    yield from [f".. py:{kind}:: {owner}.{name}{signature(value)}", ""]
    yield from (indent(line, "   ") for line in prose(documentation(value)))
    if kind == "class":
        for method, function in methods(value):
            what = "property" if isinstance(function, property) else "method"
            call = "" if what == "property" else signature(function)
            yield from [f"   .. py:{what}:: {method}{call}", ""]
            yield from (indent(line, "      ") for line in prose(function.__doc__ or ""))


def documentation(value: Any) -> str:
    """The docstring; of an operation that of its definition, which has the formula and the shapes."""
    if isinstance(value, Op):
        return f"{value.definition.__doc__ or ''}\n\ngradient: {value.vjp.__doc__ or ''}"
    return vars(value).get("__doc__") or "" if inspect.isclass(value) else value.__doc__ or ""


def methods(kind: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that the class itself defines and documents."""
    for name, value in vars(kind).items():
        value = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)) and value.__doc__:
            yield name, value


class Api(tables.Table):
    """`.. api:: module`: its names; `:names:` only these; `:from:` the package that users import them from."""

    required_arguments = 1
    option_spec = {"from": str, "names": str}  # noqa: RUF012  docutils' own attribute

    def lines(self) -> Iterable[str]:
        """What the module says of itself, then its names."""
        module = importlib.import_module(self.arguments[0])
        self.env.note_dependency(str(module.__file__))
        chosen = self.options.get("names", "").split() or public(module)
        if "names" not in self.options:
            yield from prose(module.__doc__ or "")
        for name in chosen:
            yield from described(name, getattr(module, name), self.options.get("from", self.arguments[0]))


class ApiOfPackage(tables.Table):
    """`.. api-package:: package`: a section for each of its files, and in it the names that the package has from there."""

    required_arguments = 1
    option_spec = {"from": str}  # noqa: RUF012

    def lines(self) -> Iterable[str]:
        """Files in the order of their names, as their folder shows them."""
        package = importlib.import_module(self.arguments[0])
        owner = importlib.import_module(self.options.get("from", package.__name__))
        for name in sorted(each.name for each in pkgutil.iter_modules(package.__path__) if not each.name.startswith("_")):
            module = importlib.import_module(f"{package.__name__}.{name}")
            shared = [each for each in public(module) if vars(owner).get(each) is getattr(module, each)]
            yield from tables.title(name)
            yield from prose(module.__doc__ or "")
            yield from [f".. api:: {module.__name__}", f"   :from: {owner.__name__}{'' if shared else '.' + name}"]
            yield from [f"   :names: {' '.join(shared or public(module))}", ""]


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the directive."""
    app.add_directive("api", Api)
    app.add_directive("api-package", ApiOfPackage)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
