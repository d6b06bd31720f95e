"""The table of README.md's "How fast", from what `minivision bench` measured.

    python tests/bench/readme_table.py [--json FILE] [--readme FILE] [OPTION OF minivision bench ...]

Reads FILE, or runs `minivision bench` with the options (such as --torch PYTHON) where none is given, and rewrites what
stands between the two markers.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minivision.bench import Machine, Result
from minivision.bench.report import from_json, geometric_mean, groups, share, summary

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- benchmark -->", "<!-- /benchmark -->"
HEADINGS = ("", "shapes", "geometric mean", "least", "of the limit")


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads or measures, then rewrites."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", metavar="FILE", type=Path, help="what `minivision bench --json FILE` wrote")
    parser.add_argument("--readme", metavar="FILE", type=Path, default=README, help="the file to change")
    chosen, options = parser.parse_known_args(arguments)
    if chosen.json and options:
        parser.error(f"nothing is measured with --json, so {' '.join(options)} would change nothing")
    told = json.loads(chosen.json.read_text()) if chosen.json else measure(options)
    chosen.readme.write_text(insert(chosen.readme.read_text(), section(told)))


def measure(options: Sequence[str]) -> Any:
    """Runs the whole benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, "bench.json")
        subprocess.run([sys.executable, "-m", "minivision", "bench", *options, "--json", str(found)], check=True)
        return json.loads(found.read_text())


def insert(page: str, text: str) -> str:
    """The page with the text between its markers; nothing else changes."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in before + after:
        raise SystemExit(f"the page must hold {BEGIN} and, after it, {END}, once each")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def section(told: Mapping[str, Any]) -> str:
    """Where it was measured, what the columns say, and the table."""
    results, machine = from_json(told)
    others = [name for name in told["versions"] if name != "minivision"]
    explained = f"Times as fast as {'the faster of ' * (len(others) > 1)}{' and '.join(others)}: above 1, minivision is faster."
    limit = (
        " The limit is the longer of arithmetic and memory traffic; caches can beat it, and 3 x 3 convolutions, which need "
        "fewer products than are counted."
    )
    head = f"{conditions(machine, told['versions'])} {explained}{limit if machine else ''}"
    return "\n".join([head, "", *table(results, machine)])


def conditions(machine: Machine | None, versions: Mapping[str, str]) -> str:
    """The machine, the threads and who took part."""
    beside = ", ".join(f"{name} {version}" for name, version in versions.items())
    if machine is None:
        return f"Without C kernels; {beside}."
    figures = f"{machine.peak['float32'] / 1e9:,.0f} GFLOP/s in float32, {machine.bandwidth / 1e9:,.1f} GB/s"
    count = f"{machine.threads} thread{'s' * (machine.threads > 1)}"
    return f"{machine.processor}, {machine.isa}, {count} ({figures}); {beside}."


def table(results: Sequence[Result], machine: Machine | None) -> list[str]:
    """A row for each group."""
    ratios = summary(results)
    lines = [row(HEADINGS), row(["---", *["---:"] * (len(HEADINGS) - 1)])]
    for name, some in groups(results).items():
        compared = [f"{figure:.2f}" for figure in ratios[name][:2]] if name in ratios else ["", ""]
        near = f"{geometric_mean([share(r, machine) for r in some]):.0%}" if machine else ""
        lines.append(row([name, str(len(some)), *compared, near]))
    return lines


def row(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
