"""A loss of a student's and its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...tape import Tensor


def gradients(student: Callable[..., Any], logits: np.ndarray, teacher: np.ndarray, *args: Any) -> tuple[Any, Any, bool]:
    """(the loss, its gradient for the logits, whether one went to the teacher)."""
    z, v = Tensor(logits, requires_grad=True), Tensor(teacher, requires_grad=True)
    loss = student(z, v, *args)
    loss.backward()
    return loss.data, None if z.grad is None else z.grad.data, v.grad is not None
