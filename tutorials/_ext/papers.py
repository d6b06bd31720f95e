"""`.. paper-map::` draws which paper grew from which, as SVG in the page; `.. paper-list::` says the same in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

import tables
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

YEAR, ROW, LEFT, TOP, LETTER = 150, 28, 12, 40, 7.4  # pixels: a year, a row, margins, a letter of a name
FIRST = 2012


def when(paper: dict[str, Any]) -> float:
    """The time of a paper in pixels from the left; the empty years before 2014 take a third of the room."""
    year, month = map(int, paper["month"].split("-"))
    years = year - FIRST + (month - 1) / 12
    return LEFT + YEAR * (years / 3 if years < 2 else years - 4 / 3)


def width(paper: dict[str, Any]) -> float:
    """How wide the box of a name is."""
    return 16 + LETTER * len(paper["name"])


def place() -> tuple[dict[str, tuple[float, float]], list[tuple[str, float]], float]:
    """Each paper's corner (x, y), each family's name and its y, and the height: first free row within the family."""
    corners, families, y = {}, [], float(TOP)
    for family in tables.load("papers.toml")["family"]:
        families.append((family["name"], y))
        ends: list[float] = []  # where each row of this family is free again
        for paper in sorted(family["paper"], key=when):
            free = next((row for row, end in enumerate(ends) if end <= when(paper)), len(ends))
            ends[free:free + 1] = [when(paper) + width(paper) + 14]  # fmt: skip
            corners[paper["key"]] = (when(paper), y + ROW * (free + 1))
        y += ROW * (len(ends) + 1.6)
    return corners, families, y


def curve(parent: tuple[float, float, float], child: tuple[float, float]) -> str:
    """A line to the child's left side: from the parent's right side, or from below or above where that is too late."""
    (left, y0, wide), (x1, y1) = parent, child
    x0, bend = left + wide, max(18.0, (x1 - left - wide) / 2)
    if x1 < x0 + 12:
        x0, y0 = left + 8, y0 + (20 if y1 > y0 else 0)
        return f'<path d="M{x0:.0f} {y0:.0f}Q{x0:.0f} {y1 + 10:.0f} {x1:.0f} {y1 + 10:.0f}"/>'
    return (
        f'<path d="M{x0:.0f} {y0 + 10:.0f}C{x0 + bend:.0f} {y0 + 10:.0f} {x1 - bend:.0f} {y1 + 10:.0f} {x1:.0f} {y1 + 10:.0f}"/>'
    )


def svg(link: Any) -> str:
    """The map; link(lesson) is the address of a lesson's page."""
    corners, families, height = place()
    papers = tables.papers()
    wide = max(x + width(papers[key]) for key, (x, _) in corners.items()) + LEFT
    parts = [f'<line class="year" x1="{x:.0f}" x2="{x:.0f}" y1="22" y2="{height:.0f}"/>'
             f'<text class="year" x="{x + 4:.0f}" y="16">{year}</text>' for year, x in years()]  # fmt: skip
    parts += [f'<text class="family" x="{LEFT}" y="{y + 14:.0f}">{escape(name)}</text>' for name, y in families]
    for key, (x, y) in corners.items():
        for parent in papers[key]["parents"]:
            parts.append(curve((*corners[parent], width(papers[parent])), (x, y)))
    parts += [box(papers[key], x, y, link) for key, (x, y) in corners.items()]
    name = "Map of the papers by year, with a line from each to those that grew from it; the list below says the same in words"
    size = f'width="{wide:.0f}" height="{height:.0f}" viewBox="0 0 {wide:.0f} {height:.0f}"'
    drawing = f'<svg role="img" aria-label="{name}" {size}>{"".join(parts)}</svg>'
    return f'<div class="paper-map" tabindex="0" role="group" aria-label="{name}">{drawing}</div>'


def years() -> Iterator[tuple[int, float]]:
    """The years to mark, and where they begin."""
    for year in (2012, *range(2014, 2022)):
        yield year, when({"month": f"{year}-01"})


def box(paper: dict[str, Any], x: float, y: float, link: Any) -> str:
    """A name in its box: filled and leading to the lesson where there is one, else to its row in the list."""
    there = written(paper)
    target = link(there[0]) if there else f"#paper-{paper['key']}"
    kind = "paper taught" if there else "paper"
    return (f'<a href="{target}" class="{kind}"><title>{escape(paper["title"])}</title>'
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{width(paper):.0f}" height="20" rx="4"/>'
            f'<text x="{x + 8:.0f}" y="{y + 14.5:.0f}">{escape(paper["name"])}</text></a>')  # fmt: skip


def written(paper: dict[str, Any]) -> list[str]:
    """The paper's lessons that there are already."""
    names = {script.stem for script in tables.lessons()}
    return [name for name in paper.get("lessons", []) if name in names]


class Map(SphinxDirective):
    """The drawing."""

    def run(self) -> list[nodes.Node]:
        """Raw HTML, so that the theme's colours apply and names can be followed."""
        self.env.note_dependency(str(tables.TUTORIALS / "papers.toml"))
        return [nodes.raw("", svg(lambda lesson: f"lessons/{lesson}.html"), format="html")]


class List(tables.Table):
    """The papers in words, a table for each family."""

    sources = (tables.TUTORIALS / "papers.toml", *tables.lessons())

    def lines(self) -> Iterable[str]:
        """A section and a table for each family of papers.toml."""
        for family in tables.load("papers.toml")["family"]:
            yield from tables.title(family["name"])
            yield from [".. list-table::", "   :header-rows: 1", "   :class: papers", "   :widths: 20 55 25", ""]
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
