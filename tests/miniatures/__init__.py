"""A small model of the same structure for every configuration class, for checks of a whole model in about a second.

One module for each paper; what it calls MINIATURES is {configuration class: Miniature}.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from golden.weights import weight

from minivision import functional as F
from minivision.nn.parameter import without_values


def cross_entropy(y: Any) -> Any:
    """The loss of three samples of classes 0, 1 and 2."""
    return F.cross_entropy(y, np.array([0, 1, 2]))


def entries(model: Any) -> dict[str, tuple[int, ...]]:
    """The shapes of a model's state, for which no value is drawn."""
    with without_values(model.parameters()):
        return {key: value.shape for key, value in model.state_dict(copy=False).items()}


def fill(model: Any) -> Any:
    """The model with its whole state by rule."""
    model.load_state_dict({key: weight(key, shape) for key, shape in entries(model).items()})
    return model


@dataclass(frozen=True)
class Miniature:
    """smaller(config): the small configuration, without dropout; loss(outputs for three inputs); lr: with which the
    loss falls by half in so many steps.

    kinks: whether ReLU, max pooling and the like make the function piecewise: differences are taken with a smaller step,
    which crosses no kink where no more than some ten thousand numbers meet one, and cannot be as exact.

    training: False for evaluation mode, where training mode draws numbers or takes a gradient for another function's.

    idle: endings of parameters that change nothing, so that of their gradient there is rounding alone.
    """

    smaller: Callable[[Any], Any]
    loss: Callable[[Any], Any] = cross_entropy
    lr: float = 3e-3
    steps: int = 8
    kinks: bool = True
    training: bool = True
    idle: tuple[str, ...] = ()


MINIATURES: dict[type, Miniature] = {}
for found in pkgutil.iter_modules(__path__):
    MINIATURES |= importlib.import_module(f"{__name__}.{found.name}").MINIATURES
