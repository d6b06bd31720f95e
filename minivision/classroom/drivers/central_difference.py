"""A CDC layer of float64, with a weight that is sent, around the forward that a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models.cdcn import CDConv2d
from ...tape import Tensor


def layer(student: Callable[..., Any], weight: np.ndarray, theta: float, x: Tensor, dy: np.ndarray) -> tuple[Any, Any, Any]:
    """y of student(self, x), and the gradients of <y, dy> for x and the weight."""
    outputs, inputs = weight.shape[:2]
    made = CDConv2d(inputs, outputs, theta).double()
    made.load_state_dict({"conv.weight": weight})
    x = Tensor(x.numpy(), requires_grad=True)
    y = student(made, x)
    y.backward(dy)
    return y.detach(), x.grad, made.conv.weight.grad
