"""What each lesson's page says beyond its text: how long it took to run, and which exercises belong to it."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

from minivision.classroom import target
from minivision.classroom.manifest import Exercise, exercises

FIELD = re.compile(r"^:Prerequisites: .*(?:\n[ \t]+\S.*)*\n", re.MULTILINE)
TOOK = re.compile(r"\*\*Total running time of the script:\*\* \((\d+) minutes ([\d.]+) seconds\)")
FOOTER = re.compile(r"^.. rst-class:: sphx-glr-timing\n\n.*\n", re.MULTILINE)
NOTE = re.compile(r"^.. only:: html\n\n    .. note::\n(?:        .*\n|\n)+", re.MULTILINE)  # the downloads stand on top already
THUMBNAIL = re.compile(r":alt:(\n(?:.*\n)*?.*thumbnail-title\">)(.*?)(?=</div>)")
DOWNLOADS = re.compile(r"^.. _sphx_glr_download_", re.MULTILINE)


def of(lesson: str) -> list[Exercise]:
    """The exercises of a lesson, such as 05_attention, in the order of its manifest."""
    return [each for each in exercises().values() if each.lesson == lesson]


def seconds(text: str) -> float:
    """How long the lesson ran, from what sphinx-gallery wrote at its end; 0 where it did not run."""
    found = TOOK.search(text)
    return 60 * int(found[1]) + float(found[2]) if found else 0.0


def fields(lesson: str, text: str) -> str:
    """The field lines that follow the prerequisites."""
    files = f":Download: :download:`notebook <{lesson}.ipynb>`, :download:`script <{lesson}.py>`\n"
    time = f":Time: {seconds(text):.0f} s to run\n" if seconds(text) >= 0.5 else ""
    count = len(of(lesson))
    return time + files + (f":Exercises: :ref:`{count}, listed at the end <exercises-{lesson}>`\n" if count else "")


def listing(lesson: str) -> str:
    """A table of the exercises, for the end of the page, and folded away below it the library's own source of them."""
    rows = "".join(
        f"   * - ``{each.id}``\n     - {each.title}\n     - {'C' if each.is_c else 'Python'}\n     - {each.level}\n"
        for each in of(lesson)
    )
    head = "   * - start with\n     - what to write\n     - in\n     - level\n"
    table = f".. list-table::\n   :header-rows: 1\n   :class: exercises stacked\n\n{head}{rows}\n"
    summary = "<summary>The library's own source of these functions, for after one's own try</summary>"
    answers = [raw(f'<details class="answers">{summary}'), *map(source, of(lesson)), raw("</details>")]
    return f".. _exercises-{lesson}:\n\n{table}{''.join(answers)}" if rows else ""


def raw(html: str) -> str:
    """A piece of HTML between paragraphs."""
    return f".. raw:: html\n\n   {html}\n\n"


def source(exercise: Exercise) -> str:
    """The live source of what an exercise asks for, by inclusion."""
    if exercise.is_c:
        text, (inside, end) = target.piece(exercise).text, target.piece(exercise).span
        above = text.rfind("\n\n", 0, inside) + 2  # the comment and the head of the function
        first, last = (text.count("\n", 0, place) + 1 for place in (above, end))
        chosen = f":lines: {first}-{last}\n   :language: c"
    else:
        chosen = f":pyobject: {exercise.name}\n   :dedent:"
    return f".. literalinclude:: ../../{exercise.path}\n   {chosen}\n   :caption: {exercise.path}\n\n"


def add(app: Sphinx, page: str, source: list[str]) -> None:
    """Puts both into the text of a lesson's page before it is read."""
    lesson = page.removeprefix("lessons/")
    if lesson == "index":
        source[0] = THUMBNAIL.sub(r":alt: A picture from the lesson \"\2\"\1\2", source[0])
    if lesson == page or not re.match(r"\d\d_", lesson):
        return
    text = NOTE.sub("", source[0], count=1)
    after = fields(lesson, text)
    text = FIELD.sub(lambda found: found[0] + after, text, count=1)
    text = FOOTER.sub("", text)
    source[0] = DOWNLOADS.sub(lambda found: listing(lesson) + found[0], text, count=1)


def depend(app: Sphinx, _env: object, _added: set[str], _changed: set[str], _removed: set[str]) -> list[str]:
    """Pages to read again because the manifest of exercises is newer than they are."""
    manifests = Path(__file__).parents[2] / "minivision/classroom/exercises"
    built = app.env.all_docs  # when each page was read, in microseconds
    newer = [f"lessons/{path.stem}" for path in manifests.glob("*.toml")]
    return [page for page in newer if page in built and _time(manifests, page) > built[page]]


def _time(manifests: Path, page: str) -> int:
    return int((manifests / page.removeprefix("lessons/")).with_suffix(".toml").stat().st_mtime * 1e6)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connects to the reading of pages."""
    app.connect("source-read", add)
    app.connect("env-get-outdated", depend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
