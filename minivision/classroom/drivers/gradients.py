"""Functions to differentiate, for exercises that are given one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np


def of_polynomial(student: Callable[..., Any], a: np.ndarray, b: np.ndarray, x: np.ndarray, eps: float) -> tuple[Any, Any]:
    """The Jacobian that central differences give for y = a x^2 + b x^3, and x afterwards."""
    return student(lambda: a @ x**2 + b @ x**3, x, eps), x


def after_an_error(student: Callable[..., Any], x: np.ndarray, eps: float) -> np.ndarray:
    """x after central differences of a function that raises when x was moved."""
    before = x.copy()

    def function() -> np.ndarray:
        if not np.array_equal(x, before):
            raise ArithmeticError
        return x.copy()

    with suppress(ArithmeticError):
        student(function, x, eps)
    return x


def of_exponentials(student: Callable[..., Any], W: np.ndarray, x: np.ndarray) -> tuple[Any, Any]:
    """The Jacobian that complex steps give for y = exp(W x), and x, which is complex, afterwards."""
    x = x.astype(complex)
    return student(lambda: np.exp(W @ x), x), x
