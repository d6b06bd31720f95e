"""Lessons share the process that builds the site; each finds the library as a process of its own would."""

from __future__ import annotations

import minivision as mv

THREADS, BACKEND = mv.get_num_threads(), mv.get_backend()


def start(_settings: object, _lesson: object) -> None:
    """Takes back what a lesson may have set; sphinx-gallery calls it before each."""
    mv.set_num_threads(THREADS)
    mv.set_backend(BACKEND)
    mv.set_grad_enabled(True)
    mv.manual_seed(0)
