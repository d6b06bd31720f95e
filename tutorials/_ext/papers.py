"""`.. paper-map::` draws which paper grew from which, as SVG in the page; `.. paper-list::` says the same in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Any, NamedTuple

import tables
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

WIDE, HIGH, ROW, TOP = 176, 20, 29, 30  # pixels: a box, a row, the heads of the columns


@dataclass(frozen=True)
class Layout:
    """Time runs down; a family has its column, which begins `step` pixels right of the one before."""

    name: str  # the class by which site.css shows it where there is room
    left: int
    step: int
    wide: int
    alone: bool  # a row for each paper: columns may then overlap


LAYOUTS = (Layout("wide", 66, 206, 876, False), Layout("narrow", 62, 37, 350, True))


class Box(NamedTuple):
    """The corner of a name's box."""

    x: float
    y: float


def rows(alone: bool) -> tuple[dict[str, int], list[tuple[str, int]]]:
    """Each paper's row, and each year's first: below its parents, its column's older papers, and the year before."""
    row, years, first = dict[str, int](), list[tuple[str, int]](), 0
    ordered = sorted(tables.papers().values(), key=lambda paper: paper["month"])
    for year, group in groupby(ordered, key=lambda paper: paper["month"][:4]):
        free = Counter[str]()
        for paper in group:
            column = "" if alone else paper["family"]
            row[paper["key"]] = max(first + free[column], 1 + max((row[key] for key in paper["parents"]), default=-1))
            free[column] = row[paper["key"]] + 1 - first
        years.append((year, first))
        first += max(free.values())
    return row, years


def place(layout: Layout) -> dict[str, Box]:
    """The box of each paper."""
    left = {name: layout.left + layout.step * i for i, name in enumerate(families())}
    row, _ = rows(layout.alone)
    return {key: Box(left[paper["family"]], TOP + ROW * row[key]) for key, paper in tables.papers().items()}


def curve(layout: Layout, parent: Box, child: Box) -> str:
    """A line: within a column along its left; between columns from side to side, or down where these overlap."""
    y0, y1, right = parent.y + HIGH / 2, child.y + HIGH / 2, child.x > parent.x
    if parent.x == child.x:
        bend = parent.x - min(34.0, 9 + (y1 - y0) / 14)
        return f"M{parent.x} {y0}C{bend:.0f} {y0} {bend:.0f} {y1} {child.x} {y1}"
    if layout.alone:
        x = parent.x + 14
        return f"M{x} {parent.y + HIGH}" + (f"V{y1 - 6}Q{x} {y1} {x + 6} {y1}H{child.x}" if right else f"V{child.y}")
    x0, x1 = (parent.x + WIDE, child.x) if right else (parent.x, child.x + WIDE)
    return f"M{x0} {y0}C{(x0 + x1) / 2:.0f} {y0} {(x0 + x1) / 2:.0f} {y1} {x1} {y1}"


def svg(layout: Layout, link: Any) -> str:
    """The map; link(lesson) is the address of a lesson's page."""
    papers, boxes = tables.papers(), place(layout)
    high = max(box.y for box in boxes.values()) + ROW
    parts = [
        *heads(layout),
        *years(layout),
        *lines(layout, boxes),
        *(named(papers[key], box, link) for key, box in boxes.items()),
    ]
    name = "Map of the papers by year, with a line from each to those that grew from it; the list below says the same in words"
    return (f'<svg class="{layout.name}" role="group" aria-label="{name}" viewBox="0 0 {layout.wide} {high:.0f}">'
            f'{"".join(parts)}</svg>')  # fmt: skip


def lines(layout: Layout, boxes: dict[str, Box]) -> Iterator[str]:
    """A line from each paper to those that grew from it."""
    for key, box in boxes.items():
        for parent in tables.papers()[key]["parents"]:
            yield f'<path class="to-{key} from-{parent}" d="{curve(layout, boxes[parent], box)}"/>'


def families() -> list[str]:
    """The families in the order of papers.toml."""
    return list(dict.fromkeys(paper["family"] for paper in tables.papers().values()))


def heads(layout: Layout) -> Iterator[str]:
    """The families' names above their columns, where they have the room."""
    for i, name in enumerate([] if layout.alone else families()):
        yield f'<text class="family" x="{layout.left + i * layout.step}" y="16">{escape(name)}</text>'


def years(layout: Layout) -> Iterator[str]:
    """A line above each year's papers, and the year."""
    for year, row in rows(layout.alone)[1]:
        y = TOP + ROW * row
        yield f'<line x1="0" x2="{layout.wide}" y1="{y - 4.5}" y2="{y - 4.5}"/>'
        yield f'<text class="year" x="0" y="{y + 14.5}">{year}</text>'


def named(paper: dict[str, Any], box: Box, link: Any) -> str:
    """A name in its box: filled and leading to the lesson where there is one, else to its row in the list."""
    there = written(paper)
    target = link(there[0]) if there else f"#paper-{paper['key']}"
    kind = f"paper at-{paper['key']}{' taught' if there else ''}"
    return (f'<a href="{target}" class="{kind}"><title>{escape(paper["title"])}</title>'
            f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{WIDE}" height="{HIGH}" rx="4"/>'
            f'<text x="{box.x + 7:.0f}" y="{box.y + 14.5:.1f}">{escape(paper["name"])}</text></a>')  # fmt: skip


def lit() -> str:
    """Style rules: a paper that is pointed at lights up the lines to it and from it."""
    on = [f"svg:has(.at-{key}:is(:hover,:focus)) :is(.to-{key},.from-{key})" for key in tables.papers()]
    return f".paper-map :is({','.join(on)}){{stroke:var(--pst-color-primary);stroke-opacity:1;stroke-width:2}}"


def written(paper: dict[str, Any]) -> list[str]:
    """The paper's lessons that there are already: those it names, and those that measure one of its claims."""
    there, claims = {script.stem for script in tables.lessons()}, tables.claims()
    measure = {name for number, names in tables.measuring().items() for name in names if paper["key"] in claims[number]["papers"]}
    return [name for name in dict.fromkeys([*paper.get("lessons", []), *sorted(measure)]) if name in there]


class Map(SphinxDirective):
    """The drawing, for wide screens and for narrow ones."""

    def run(self) -> list[nodes.Node]:
        """Raw HTML, so that the theme's colours apply and names can be followed."""
        self.env.note_reread()  # there may be other lessons
        drawn = "".join(svg(layout, lambda lesson: f"lessons/{lesson}.html") for layout in LAYOUTS)
        return [nodes.raw("", f'<div class="paper-map"><style>{lit()}</style>{drawn}</div>', format="html")]


class List(tables.Table):
    """The papers in words, a table for each family."""

    def lines(self) -> Iterable[str]:
        """A section and a table for each family of papers.toml."""
        for family in tables.load("papers.toml")["family"]:
            yield from tables.title(family["name"])
            yield from [".. list-table::", "   :header-rows: 1", "   :class: papers stacked", "   :widths: 20 55 25", ""]
            yield from ["   * - name", "     - paper", "     - grew from; lessons"]
            for paper in family["paper"]:
                yield from row(paper)
            yield ""


def row(paper: dict[str, Any]) -> Iterator[str]:
    """One paper: name; title, authors, venue, number; parents and lessons."""
    yield from [f"   * - .. _paper-{paper['key']}:", "", f"       **{tables.escape(paper['name'])}**"]
    number = f", `arXiv {paper['arxiv']} <https://arxiv.org/abs/{paper['arxiv']}>`__" if "arxiv" in paper else ""
    yield f"     - *{tables.escape(paper['title'])}*. {paper['authors']}, {paper['venue']}{number}"
    parents = ", ".join(map(tables.link, paper["parents"]))
    lessons = ", ".join(f":doc:`/lessons/{name}`" for name in written(paper))
    yield "     - " + "; ".join(filter(None, [parents, lessons]))


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers both directives."""
    app.add_directive("paper-map", Map)
    app.add_directive("paper-list", List)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
