"""`minivision gradcheck`: the proof of every operation's gradient, line by line."""

from __future__ import annotations

import difflib
import fnmatch
from argparse import Namespace

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from ..errors import SettingError
from ..op import OPS
from ..proof.checks import COMPLEX_BOUND, DIFFERENCE_BOUND, SECOND_BOUND, TAPE_BOUND
from ..proof.report import Row, rows
from .screen import console

LEGEND = f"""Each operation's closed form (second line), and how far it is from
  numeric  full Jacobians on small cases, by complex step (c, at most {COMPLEX_BOUND:g})
           or by central differences (d, at most {DIFFERENCE_BOUND:g})
  tape     its own definition, differentiated step by step (at most {TAPE_BOUND:g}; -: it has one step)
  second   differences of itself, differentiated again (at most {SECOND_BOUND:g}; -: see below)
  mutants  wrong versions that these checks reject
"""


def run(chosen: Namespace) -> int:
    """Prints a row for each operation as it is done; 1 where one is not proven."""
    names = fnmatch.filter(OPS, chosen.pattern)
    if not names:
        close = difflib.get_close_matches(chosen.pattern, OPS, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(sorted(OPS))}"
        raise SettingError(f"no operation is called {chosen.pattern!r}\n  hint: {hint}")
    screen, done = console(), []
    screen.print(LEGEND, soft_wrap=True)
    screen.print(Text(f"  {'operation':<22}{'numeric':>11}{'tape':>10}{'second':>10}{'mutants':>10}", "bold"))
    bar = Progress(
        TextColumn("checking"), BarColumn(), MofNCompleteColumn(), console=screen, transient=True, disable=not screen.is_terminal
    )
    with bar:
        task = bar.add_task("", total=len(names))
        for row in rows(chosen.pattern):
            show(screen, row)
            done.append(row)
            bar.advance(task)
    return conclude(screen, done)


def show(screen: Console, row: Row) -> None:
    """An operation's figures, its closed form, and what is to be said where it failed or cannot be differentiated twice."""
    mark = ("✓", "green") if row.passed else ("✗", "bold red")
    numeric = f"{row.numeric:.1e} {row.method[0]}"
    figures = f"{row.name:<22}{numeric:>11}{number(row.tape):>10}{number(row.second):>10}{f'{row.killed}/{row.mutants}':>10}"
    screen.print(Text.assemble(mark, " ", figures, "" if row.passed else ("  NOT PROVEN", "bold red")), soft_wrap=True)
    for line in filter(None, (row.formula, row.once and f"once only: {row.once}")):
        screen.print(Text(f"      {line}", "dim"), soft_wrap=True)


def number(error: float | None) -> str:
    """1e-12, or a dash where there is none."""
    return "-" if error is None else f"{error:.1e}"


def conclude(screen: Console, done: list[Row]) -> int:
    """The last line, and the exit code."""
    failed = [row.name for row in done if not row.passed]
    screen.print()
    if failed:
        screen.print(Text(f"{len(failed)} of {len(done)} operations NOT proven: {', '.join(failed)}", "bold red"))
        return 1
    screen.print(Text(f"{len(done)} operations proven, {sum(row.killed for row in done)} mutants rejected", "bold green"))
    return 0
