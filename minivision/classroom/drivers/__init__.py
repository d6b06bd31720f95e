"""What runs beside a student's function in its process, where a plain call does not do.

`student.drive("in_place", ...)` calls in_place of this file, `student.drive("optimisers:steps", ...)` the function `steps`
of drivers/optimisers.py, each with the student's function first. Arguments and results travel as those of a plain call do.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def find(name: str) -> Callable[..., Any]:
    """The driver of a name."""
    module, _, function = name.rpartition(":")
    return getattr(importlib.import_module(f"{__name__}.{module}" if module else __name__), function)


def in_place(student: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, tuple[Any, ...]]:
    """(result, arguments after the call): for a function that writes into its arguments."""
    return student(*args, **kwargs), args


def as_list(student: Callable[..., Any], *args: Any, **kwargs: Any) -> list[Any]:
    """Everything that a generator yields."""
    return list(student(*args, **kwargs))
