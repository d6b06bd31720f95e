"""The notebook that sphinx-gallery makes of a lesson, and its cells run without Jupyter: python tests/notebooks.py FILE.ipynb"""

from __future__ import annotations

import json
import linecache
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MINE = {"markdown": {"cell_type", "metadata", "source"}}
MINE["code"] = MINE["markdown"] | {"execution_count", "outputs"}  # what nbformat 4 wants of each kind of cell


def made(script: Path) -> dict[str, Any]:
    """A lesson's notebook; ModuleNotFoundError without sphinx-gallery."""
    from sphinx_gallery import gen_gallery, notebook, py_source_parser

    settings = {**gen_gallery.DEFAULT_GALLERY_CONF, "src_dir": str(script.parent)}
    _, blocks = py_source_parser.split_code_and_text_blocks(str(script))
    return json.loads(json.dumps(notebook.jupyter_notebook(blocks, settings, str(script.parent))))


def code(notebook: dict[str, Any]) -> list[str]:
    """The source of each cell that holds code."""
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def faults(notebook: dict[str, Any]) -> Iterator[str]:
    """What Jupyter would refuse: nbformat 4 as its specification describes it."""
    if notebook["nbformat"] != 4 or notebook["nbformat_minor"] > 4:  # from 4.5 on a cell needs an id
        yield f"format {notebook['nbformat']}.{notebook['nbformat_minor']}"
    if notebook["metadata"]["kernelspec"]["name"] != "python3":
        yield f"kernel {notebook['metadata']['kernelspec']}"
    for i, cell in enumerate(notebook["cells"]):
        if cell.keys() != MINE.get(cell["cell_type"]):
            yield f"cell {i} of type {cell['cell_type']!r} has {sorted(cell)}"
        if not all(isinstance(line, str) for line in cell["source"]):
            yield f"cell {i} is no text"
        if cell.get("outputs") or cell.get("execution_count"):
            yield f"cell {i} comes with output"


def offline(event: str, _arguments: object) -> None:
    """An audit hook under which every way out of this machine ends in an error."""
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        raise ConnectionRefusedError(f"a lesson asked for the network: {event}")


def run(notebook: dict[str, Any]) -> None:
    """Runs the cells one after the other as a notebook does, in one set of names and without a file of their own."""
    names = {"__name__": "__main__"}
    for i, source in enumerate(code(notebook)):
        name = f"<cell {i}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)  # tracebacks show the line
        exec(compile(source, name, "exec"), names)


if __name__ == "__main__":
    sys.addaudithook(offline)
    run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
