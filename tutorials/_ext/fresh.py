"""Lessons share the process that builds the site; each finds the library as a process of its own would, and its record empty."""

from __future__ import annotations

import os
from pathlib import Path

import tables

import minivision as mv
from minivision import lesson

THREADS, BACKEND = mv.get_num_threads(), mv.get_backend()


def start(_settings: object, script: str) -> None:
    """Takes back what a lesson may have set, and what this one recorded before; sphinx-gallery calls it before each."""
    mv.set_num_threads(THREADS)
    mv.set_backend(BACKEND)
    mv.set_grad_enabled(True)
    mv.manual_seed(0)
    record(Path(script).stem)


def record(name: str) -> None:
    """An empty record. The checksum by which a lesson counts as run goes too: if this run fails, the next build repeats it."""
    (tables.BUILT / f"{name}.py.md5").unlink(missing_ok=True)
    file = tables.record_file(name)
    file.write_text("", encoding="utf-8")
    os.environ[lesson.RECORDS] = str(file)
