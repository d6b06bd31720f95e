"""`minivision summary`: every module of a model, and the totals beside the published ones."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rich.table import Table

from ..errors import about_settings
from ..models import Entry, create_model, entry
from ..profile import Profile, Row, profile
from .screen import console, table


def run(chosen: Namespace) -> int:
    """Prints the tables; no parameter's values are drawn for it."""
    with about_settings():
        found = entry(chosen.model)
        asked = {"img_size": chosen.img_size, "num_classes": chosen.num_classes}
        overrides = {name: value for name, value in asked.items() if value is not None}
        model, config = create_model(chosen.model, **overrides), replace(found.config, **overrides)
    counted, screen = profile(model, config.input_shape), console()
    screen.print(f"{found.name}, input {' x '.join(map(str, config.input_shape))}", style="bold", soft_wrap=True)
    screen.print(modules(counted.rows, chosen.depth))
    screen.print()
    screen.print(totals(counted, found, same=config == found.config))
    return 0


@dataclass(frozen=True)
class Branch:
    """A module with those inside it; `name` is its last part, or "0-11" where several alike in a row are shown as one."""

    name: str
    row: Row
    inside: tuple[Branch, ...]

    def alike(self, other: Branch) -> bool:
        """Whether both have the same kinds, figures and insides."""
        same = replace(self.row, path="") == replace(other.row, path="") and len(self.inside) == len(other.inside)
        return same and all(a.name == b.name and a.alike(b) for a, b in zip(self.inside, other.inside, strict=True))


def tree(rows: Sequence[Row], path: str = "") -> Branch:
    """The branch of the module at `path`, its insides merged where they are alike."""
    depth = path.count(".") + 1 if path else 0
    inside = [r.path for r in rows if r.path and r.path.count(".") == depth and r.path.startswith(f"{path}." if path else "")]
    own = next(row for row in rows if row.path == path)
    return Branch(path.rpartition(".")[2], own, tuple(merge([tree(rows, each) for each in inside])))


def merge(branches: Sequence[Branch]) -> Iterator[Branch]:
    """Each run of branches that are alike as one."""
    start = 0
    for i in range(1, len(branches) + 1):
        if i == len(branches) or not branches[start].alike(branches[i]):
            first, last = branches[start], branches[i - 1]
            yield first if first is last else replace(first, name=f"{first.name}-{last.name}")
            start = i


def modules(rows: Sequence[Row], depth: int) -> Table:
    """A line for each module, down to `depth`; of modules that are alike, each has the figures shown."""
    made = table("module", "output", "parameters", "multiply-adds", "activations", numbers=3)

    def add(branch: Branch, level: int) -> None:
        count = f"  ({branch.row.type}" + (", each)" if "-" in branch.name else ")")
        made.add_row("  " * level + branch.name + count, *figures(branch.row))
        for each in branch.inside if level + 1 < depth else ():
            add(each, level + 1)

    for branch in tree(rows).inside:
        add(branch, 0)
    return made


def figures(row: Row) -> tuple[str, ...]:
    """The output's shape without the batch, and the counts."""
    several = not isinstance(row.output, tuple)
    shape = str(row.output or "-") if several else "x".join(map(str, row.output[1:]))
    return shape, *(f"{count:,}" for count in (row.parameters, row.macs, row.activations))


def totals(counted: Profile, found: Entry, same: bool) -> Table:
    """Counted beside published; `same`: the model is as it was published."""
    made = table("total", "parameters", "multiply-adds", "activations", numbers=3)
    made.add_row("counted", *(f"{count:,}" for count in (counted.parameters, counted.macs, counted.activations)))
    if found.params is not None and found.macs is not None:
        agrees = (counted.parameters, counted.macs) == (found.params, found.macs)
        verdict = ", equal" if agrees else "" if same else f", at {' x '.join(map(str, found.config.input_shape))}"
        made.add_row(f"published{verdict}", f"{found.params:,}", f"{found.macs:,}", "-")
    return made
