"""Comparisons, logic and bits, element by element: no gradient flows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..shapes import Signature
from ..tape import METHODS, NUMPY, Tensor
from .elementwise import raw

COMPARISONS: dict[str, Callable[..., Any]] = {}  # torch's name -> what it means on Tensors and on arrays


def wrapped(y: np.ndarray, *args: Any) -> Any:
    """y as a Tensor where one of the arguments is a Tensor."""
    return Tensor(y) if any(isinstance(a, Tensor) for a in args) else y


def _of_one(x: Any) -> None:
    """shapes: x -> y"""


def _of_two(a: Any, b: Any) -> None:
    """shapes: a, b broadcast -> y"""


def _without_gradient(name: str, function: np.ufunc) -> Callable[..., Any]:
    signature = Signature(name, _of_one if function.nin == 1 else _of_two)

    def compare(*args: Any) -> Any:
        arrays = tuple(map(raw, args))
        try:
            y = np.asarray(function(*arrays))
        except ValueError as error:
            raise signature.explain(error, arrays) from error
        return wrapped(y, *args)

    return compare


for _name, _function in {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "logical_and": np.logical_and, "logical_or": np.logical_or, "logical_xor": np.logical_xor, "logical_not": np.logical_not,
    "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor, "bitwise_not": np.invert,
    "bitwise_left_shift": np.left_shift, "bitwise_right_shift": np.right_shift,
    "isnan": np.isnan, "isfinite": np.isfinite, "isinf": np.isinf, "signbit": np.signbit,
}.items():  # fmt: skip
    NUMPY[_function] = METHODS[_name] = COMPARISONS[_name] = _without_gradient(_name, _function)
