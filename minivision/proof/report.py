"""The proof as a table: for each operation its closed form, the worst error of each check, and the mutants rejected."""

from __future__ import annotations

import fnmatch
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..op import OPS, Op
from .case import Case
from .cases import CASES, MUTANTS
from .checks import (
    SECOND_BOUND,
    SYMMETRY_BOUND,
    TAPE_BOUND,
    asymmetry,
    direction_error,
    first_bound,
    jacobian_error,
    killed,
    refusal,
    second_error,
    tape_error,
)
from .jacobian import differentiable, generator

CHEAP = 40  # elements of the arguments up to which the whole Hessian is looked at


@dataclass(frozen=True)
class Row:
    """What is proven of one operation. Errors are |a - b| / max(1, |b|), the worst over all cases."""

    name: str
    formula: str  # the first line of the VJP's docstring
    cases: int
    method: str  # how the numeric derivative of the worst case was taken: "complex step" or "differences"
    numeric: float
    numeric_bound: float
    tape: float | None  # None: elementary, the definition has no operations inside to differentiate through
    second: float | None  # None: cannot be differentiated twice, and `once` says why
    once: str
    killed: int
    mutants: int
    passed: bool


def rows(pattern: str = "*") -> Iterator[Row]:
    """A row for each operation whose name matches a shell pattern, in alphabetical order, each when it is done."""
    for name in sorted(fnmatch.filter(OPS, pattern)):
        yield row(OPS[name])


def row(op: Op) -> Row:
    """All checks of one operation."""
    cases, mutants = CASES.get(op.name, ()), MUTANTS.get(op.name, ())
    error, bound, method = _numeric(op, cases)
    through = [found for case in cases if (found := tape_error(op, case)) is not None]
    tape = max(through, default=None)
    second, twice = _second(op, cases)
    dead = sum(killed(op, mutant, cases) for mutant in mutants)
    passed = bool(cases) and error <= bound and (tape is None or tape <= TAPE_BOUND) and twice and 0 < len(mutants) == dead
    return Row(op.name, formula(op), len(cases), method, error, bound, tape, second, op.once, dead, len(mutants), passed)


def formula(op: Op) -> str:
    """The closed form as text: the first line of the VJP's docstring."""
    return (inspect.getdoc(op.vjp) or "").partition("\n")[0]


def _numeric(op: Op, cases: Sequence[Case]) -> tuple[float, float, str]:
    """The error of first order that comes closest to its bound, the bound, and how the derivative was taken."""
    found = []
    for case in cases:
        error = max(jacobian_error(op, case), direction_error(op, case))
        found.append((error, first_bound(case), "complex step" if case.complex_step else "differences"))
    return max(found, key=lambda one: one[0] / one[1], default=(0.0, 0.0, "no cases"))


def _second(op: Op, cases: Sequence[Case]) -> tuple[float | None, bool]:
    """The worst error of second order, None where there is none, and whether all is as it should be."""
    smooth = [case for case in cases if case.smooth]
    if op.once:
        return None, all(op.once in refusal(op, case) for case in smooth)
    error = max((second_error(op, case) for case in smooth), default=0.0)
    symmetric = all(asymmetry(op, case) <= SYMMETRY_BOUND for case in smooth if elements(op, case) <= CHEAP)
    return error, error <= SECOND_BOUND and symmetric


def elements(op: Op, case: Case) -> int:
    """How many numbers an operation's result depends on."""
    return sum(a.size for a in case.arguments(generator(op, case)) if differentiable(a))
