"""`.. claims::`: every claim, where it comes from, what a lesson measured here, and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import tables
from sphinx.application import Sphinx


def verdict(claim: dict[str, Any]) -> str:
    """What became of a claim: the verdicts of its lessons, or why there is none."""
    if found := tables.records().get(claim["number"]):
        verdicts = (record["verdict"] for several in found.values() for record in several)
        return ", ".join(f"**{each}**" for each in dict.fromkeys(verdicts))
    if claim["kind"] == ["quoted"]:
        return "quoted"
    return "measured when the lessons run" if claim["number"] in tables.measuring() else "its lesson is to come"


def measured(claim: dict[str, Any]) -> str:
    """What each lesson recorded, and which lesson it was."""
    found = tables.records().get(claim["number"], {})
    parts = {name: ". ".join(record["measured"] for record in several) for name, several in found.items()}
    told = [(name, tables.escape(parts.get(name, ""))) for name in names(claim)]
    return " ".join(f"{text} (:doc:`/lessons/{name}`)".lstrip().replace("\n", " ") for name, text in told)


def names(claim: dict[str, Any]) -> list[str]:
    """The lessons that measure a claim, by their source or by what they recorded."""
    number = claim["number"]
    return sorted({*tables.measuring().get(number, []), *tables.records().get(number, {})})


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

    def lines(self) -> Iterable[str]:
        """A section and a table for each group of claims.toml."""
        self.env.note_reread()  # the lessons recorded anew, or there are others
        found = Counter(verdict(claim) for claim in tables.claims().values())
        verdicts_first = sorted(found.items(), key=lambda each: (not each[0].startswith("**"), -each[1]))
        yield from [f"- {text}: {number}" for text, number in verdicts_first]
        yield ""
        for group in tables.load("claims.toml")["group"]:
            yield from tables.title(group["title"])
            yield from [".. list-table::", "   :header-rows: 1", "   :class: claims stacked", "   :widths: 6 42 36 16", ""]
            yield from ["   * -", "     - claim, source, kind", "     - measured here", "     - verdict"]
            for claim in group["claim"]:
                yield from row(claim)
            yield ""


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the directive."""
    app.add_directive("claims", Claims)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
