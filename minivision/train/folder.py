"""The folder of a run. Every file is written beside its place and then moved there, so none is ever half there."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CONFIG, METRICS, ROWS, MODEL, STATE, REPORT = (
    "config.json", "metrics.json", "metrics.csv", "model.safetensors", "state.safetensors", "report.png",
)  # fmt: skip
FILES = (CONFIG, METRICS, ROWS, MODEL, STATE, REPORT)
VOCABULARY, MERGES = "vocab.json", "merges.txt"  # which a language model's run has too


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """One key a line."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A header and a line for each row; the rows share their keys."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def move_aside(out: Path) -> Path | None:
    """Moves an earlier run's files to out/earlier-1 (2, 3, ...), so that a new run loses none; where they are now, if any."""
    found = [out / name for name in (*FILES, VOCABULARY, MERGES) if (out / name).exists()]
    if not found:
        return None
    aside = next(path for path in (out / f"earlier-{n}" for n in range(1, 1_000_000)) if not path.exists())
    aside.mkdir()
    for path in found:
        os.replace(path, aside / path.name)
    return aside
