"""How a function becomes a method of every Tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...tape import METHODS


def method(function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a function (its name may end in _method) a method of every Tensor."""
    METHODS[function.__name__.removesuffix("_method")] = function
    return function


def unpack(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The sizes or axes of f(2, 3) and of f((2, 3)) alike."""
    return tuple(args[0]) if len(args) == 1 and isinstance(args[0], (tuple, list)) else args
