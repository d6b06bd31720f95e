"""Python's operators go straight to their operations: by way of NumPy's protocol each call would take 5 us more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ...tape import NUMPY, Tensor
from . import products  # noqa: F401 - says what a matrix product of Tensors is

OPERATORS = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide, "pow": np.power, "matmul": np.matmul}
PLAIN = (Tensor, np.ndarray, float, int)


def _straight(name: str, meaning: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """The operator for Tensors, arrays and numbers; anything else is NumPy's to decide."""
    protocol = getattr(NDArrayOperatorsMixin, name)

    def operator(self: Any, other: Any) -> Any:
        return meaning(self, other) if isinstance(other, PLAIN) else protocol(self, other)

    def reflected(self: Any, other: Any) -> Any:
        return meaning(other, self) if isinstance(other, PLAIN) else protocol(self, other)

    return reflected if name.startswith("__r") else operator


for _name, _function in OPERATORS.items():
    for _place in (f"__{_name}__", f"__r{_name}__"):
        setattr(Tensor, _place, _straight(_place, NUMPY[_function]))
