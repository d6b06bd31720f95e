"""A standardised convolution of float64 around a method that a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models.hybrid_vit import StdConv2d
from ...tape import Tensor


def standardised(student: Callable[..., Any], weight: np.ndarray, cotangent: np.ndarray) -> list[Any]:
    """student(self) where self is a convolution with this weight (out, in, k, k), and the weight's gradient."""
    made = StdConv2d(weight.shape[1], weight.shape[0], weight.shape[2]).double()
    made.load_state_dict({"weight": weight})
    answer = student(made)
    if not isinstance(answer, Tensor) or answer.shape != weight.shape:
        return [answer, None]
    (answer * Tensor(cotangent)).sum().backward()
    return [answer.detach(), None if made.weight.grad is None else made.weight.grad.numpy()]
