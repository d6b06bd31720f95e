"""What a check is given: a case to hold, a mutant to reject; and the arguments that cases are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Shape = tuple[int, ...]
Draw = Callable[[np.random.Generator], tuple[Any, ...]]


@dataclass(frozen=True)
class Case:
    """Arguments for one operation: `arguments(rng)` gives float64 arrays, integer or boolean arrays, numbers, or None.

    complex_step: the definition is analytic in its floating arguments and NumPy evaluates it on complex numbers, so
    that its derivative is known to 1e-15 without differences; otherwise central differences are used.
    smooth: False where arguments stand on a kink, such as a tie of two elements: there the first derivative is a
    convention (the mean of both sides, which central differences give too) and the second does not exist.
    """

    label: str
    arguments: Draw
    attrs: Mapping[str, Any] = field(default_factory=dict)
    complex_step: bool = True
    smooth: bool = True


@dataclass(frozen=True)
class Mutant:
    """A wrong version of an operation's VJP or definition that at least one check must reject."""

    fault: str
    vjp: Callable[..., Any] | None = None
    definition: Callable[..., Any] | None = None


def normal(*shapes: Shape) -> Draw:
    """Arrays of these shapes, normally distributed."""
    return lambda rng: tuple(np.asarray(rng.standard_normal(shape)) for shape in shapes)


def positive(*shapes: Shape) -> Draw:
    """Arrays of these shapes, uniform between 1/2 and 2: for logarithms, roots, divisors."""
    return lambda rng: tuple(np.asarray(rng.uniform(0.5, 2.0, shape)) for shape in shapes)


def distinct(*shapes: Shape) -> Draw:
    """Arrays of these shapes with no two elements closer than 1/4, none closer to a multiple of 1/4 than 1/16: no kinks.

    The elements are multiples of 1/16, so that float32 holds them, and their neighbours at a step of 2^-20, exactly.
    """

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        sizes = [int(np.prod(shape)) for shape in shapes]
        places = rng.permutation(sum(sizes)) - sum(sizes) // 2
        parts = np.split(places / 4.0 + 1 / 16, np.cumsum(sizes)[:-1])
        return tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))

    return draw


def with_constants(draw: Draw, *more: Any) -> Draw:
    """The arrays of `draw`, then these arrays, numbers or None as they are."""
    return lambda rng: (*draw(rng), *more)
