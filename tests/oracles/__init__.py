"""ORACLES: for every operation, random calls and an answer to each that shares no code with it; one file for each kind."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Oracle:
    """`call(rng)` draws (arrays, attributes) of one call; `answer(*arrays, **attributes)` computes it another way.

    The answer is written with Python's own loops and math, or taken from scipy; never with minivision, and not with the
    NumPy function that the definition itself calls. tolerance is relative to the largest element of the answer.
    """

    call: Callable[[np.random.Generator], tuple[tuple[Any, ...], dict[str, Any]]]
    answer: Callable[..., Any]
    tolerance: float = 1e-10


ORACLES: dict[str, Oracle] = {}

for _found in pkgutil.iter_modules(__path__):
    _module = importlib.import_module(f"{__name__}.{_found.name}")
    if _twice := ORACLES.keys() & _module.ORACLES.keys():
        raise ValueError(f"{_found.name}: {sorted(_twice)} have an oracle in another file already")
    ORACLES |= _module.ORACLES
