"""Linear regression around the functions of meta-learning that a student wrote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import functional as F
from ...meta import Task
from ...nn import Linear
from ...nn.utils import functional_call
from ...recording import no_grad
from ...tape import Tensor


def line(weight: np.ndarray, bias: np.ndarray) -> Any:
    """x W^T + b, where b is not to be trained."""
    made = Linear(weight.shape[1], 1).double()
    made.load_state_dict({"weight": weight, "bias": bias})
    made.bias.requires_grad_(False)
    return made


def adapted(student: Callable[..., Any], start: Sequence[np.ndarray], task: Sequence[np.ndarray], *settings: Any) -> Any:
    """(what adapt gives, the gradient of the query's loss with respect to the start, the model's own parameters afterwards)."""
    model, (x, y, query_x, query_y) = line(*start), task
    theta = student(model, F.mse_loss, x, y, *settings)
    if isinstance(theta, dict) and all(isinstance(p, Tensor) for p in theta.values()):
        F.mse_loss(functional_call(model, theta, (query_x,)), query_y).backward()
    return theta, None if model.weight.grad is None else model.weight.grad.numpy(), list(model.state_dict().values())


def unrecorded(student: Callable[..., Any], start: Sequence[np.ndarray], task: Sequence[np.ndarray], *settings: Any) -> Any:
    """(what adapt gives under no_grad, whether anything there remembers how it was made)"""
    with no_grad():
        theta = student(line(*start), F.mse_loss, *task[:2], *settings)
    return theta, any(getattr(p, "node", None) is not None for p in getattr(theta, "values", list)())


def maml(student: Callable[..., Any], start: Sequence[np.ndarray], tasks: Sequence[Any], *settings: Any) -> Any:
    """(the loss, its gradient with respect to the start)"""
    model = line(*start)
    value = student(model, F.mse_loss, [Task(*task) for task in tasks], *settings)
    if isinstance(value, Tensor) and value.requires_grad and value.shape == ():
        value.backward()
    return value, None if model.weight.grad is None else model.weight.grad.numpy()
