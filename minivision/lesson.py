"""What the lessons in tutorials/ share: a quick mode for the tests, and the one call that records what a claim measured.

The site's table of claims is made from these records alone, so it cannot disagree with the lessons.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

QUICK, RECORDS = "MINIVISION_QUICK", "MINIVISION_CLAIMS"  # environment variables
VERDICTS = ("holds", "holds at this scale", "does not hold here")


def quick() -> bool:
    """Whether the lesson should take seconds: fewer epochs, seeds and sizes through the same code (MINIVISION_QUICK=1)."""
    return os.environ.get(QUICK, "") not in ("", "0")


def claim(number: str, measured: str, verdict: str = "holds") -> None:
    """Prints what was measured of a paper's claim, and records it where MINIVISION_CLAIMS names a file (one JSON line each).

    number: as tutorials/claims.toml has it, such as "V7"; measured: a sentence with the computed numbers; verdict: one of
    VERDICTS. In quick mode nothing is recorded: its numbers mean nothing. ValueError for an unknown verdict.
    """
    if verdict not in VERDICTS:
        raise ValueError(f"a verdict is one of {', '.join(map(repr, VERDICTS))}; got {verdict!r}")
    print(f"{number} {verdict}: {measured}")
    if (path := os.environ.get(RECORDS)) and not quick():
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"number": number, "measured": measured, "verdict": verdict}) + "\n")
