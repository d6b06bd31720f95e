"""`.. claims::`: every claim, where it comes from, what a lesson measured here, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import tables
from sphinx.application import Sphinx


def verdict(claim: dict[str, Any]) -> str:
    """What became of a claim: the lesson's verdict, or why there is none."""
    if record := tables.records().get(claim["number"]):
        return f"**{record['verdict']}**"
    if claim["kind"] == ["quoted"]:
        return "quoted"
    return "measured when the lessons run" if claim["number"] in tables.measuring() else "its lesson is to come"


def measured(claim: dict[str, Any]) -> str:
    """The recorded sentence, and the lessons that it comes from."""
    names = tables.measuring().get(claim["number"], [])
    record = tables.records().get(claim["number"])
    text = tables.escape(record["measured"]).replace("\n", " ") if record else ""
    where = ", ".join(f":doc:`/lessons/{name}`" for name in names)
    return f"{text} ({where})" if text else where


def row(claim: dict[str, Any]) -> Iterator[str]:
    """One row: number, claim and source; what was measured; verdict."""
    source = ", ".join(map(tables.link, claim["papers"]))
    yield f"   * - .. _claim-{claim['number']}:"
    yield ""
    yield f"       **{claim['number']}**"
    yield f"     - {tables.escape(claim['text'])} {source}; {', '.join(claim['kind'])}."
    yield f"     - {measured(claim)}"
    yield f"     - {verdict(claim)}"


class Claims(tables.Table):
    """All claims, a table for each group."""

    sources = (tables.TUTORIALS / "claims.toml", tables.TUTORIALS / "papers.toml", tables.RECORDS, *tables.lessons())

    def lines(self) -> Iterable[str]:
        """A section and a table for each group of claims.toml."""
        for group in tables.load("claims.toml")["group"]:
            yield from tables.title(group["title"])
            yield from [".. list-table::", "   :header-rows: 1", "   :class: claims", "   :widths: 6 42 36 16", ""]
            yield from ["   * -", "     - claim, source, kind", "     - measured here", "     - verdict"]
            for claim in group["claim"]:
                yield from row(claim)
            yield ""


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the directive."""
    app.add_directive("claims", Claims)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
