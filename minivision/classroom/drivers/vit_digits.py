"""A model of parameters with given names, whose groups are sent back by name."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from ...tape import Tensor


def named_groups(
    student: Callable[..., Any], layout: list[tuple[str, tuple[int, ...]]], lr: float, table_lr: float, weight_decay: float
) -> Any:
    """The student's groups for parameters of these names and shapes, with each parameter's name in its place."""
    named = [(name, Tensor(np.zeros(shape), requires_grad=True)) for name, shape in layout]
    model = SimpleNamespace(named_parameters=lambda: iter(named), parameters=lambda: (parameter for _, parameter in named))
    groups = student(model, SimpleNamespace(lr=lr, table_lr=table_lr, weight_decay=weight_decay))
    if not isinstance(groups, list) or not all(isinstance(group, dict) and "params" in group for group in groups):
        return groups
    return [{**group, "params": [names(named, parameter) for parameter in group["params"]]} for group in groups]


def names(named: list[tuple[str, Tensor]], parameter: Any) -> str:
    """The name of a parameter; a word that is none for anything else."""
    return next((name for name, each in named if each is parameter), "not a parameter of the model")
