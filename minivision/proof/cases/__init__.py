"""CASES and MUTANTS: for every operation, what the checks must accept and what they must reject; one file per kind."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence

from ..case import Case, Mutant

CASES: dict[str, Sequence[Case]] = {}
MUTANTS: dict[str, Sequence[Mutant]] = {}

for _found in pkgutil.iter_modules(__path__):
    _module = importlib.import_module(f"{__name__}.{_found.name}")
    if _twice := (CASES.keys() & _module.CASES.keys()) | (MUTANTS.keys() & _module.MUTANTS.keys()):
        raise ValueError(f"{_found.name}: {sorted(_twice)} have cases or mutants in another file already")
    CASES |= _module.CASES
    MUTANTS |= _module.MUTANTS
