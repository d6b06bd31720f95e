"""`minivision few-shot`: the table of `probe`, for a few labelled images of each class."""

from __future__ import annotations

from .probe import run

__all__ = ["run"]
