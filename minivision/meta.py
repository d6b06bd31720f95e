"""Model-agnostic meta-learning for fast adaptation of deep networks, and task-agnostic meta-learning.

MAML: Finn, Abbeel, Levine. ICML 2017, arXiv 1703.03400.  TAML: Jamal, Qi (and Shah, on arXiv). CVPR 2019, arXiv 1805.07722.

MAML looks for a start theta from which a step or a few on a handful of examples lead far:  theta_i = theta - alpha dL_i/dtheta,
and theta itself follows the gradient of L_i(theta_i) on other examples of task i, through the step. TAML adds that the start
should favour no task: it is to be undecided before the steps and decided after them (entropy), or its losses are to be equal
among the tasks, as measures of inequality have it that economists use for incomes (inequality.py).

Deviations: losses are averaged over the tasks, where the papers' algorithms sum. TAML's terms before the steps are measured on
the examples that the losses after them are measured on, so that without a step the two entropies cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import functional as F
from .inequality import theil
from .nn.module import Module
from .nn.stateless import functional_call
from .recording import is_recording, set_grad_enabled
from .tape import Tensor, grad

__all__ = [
    "Episodes", "Task", "adapt", "entropy", "entropy_gradient", "entropy_taml", "episodes", "few_way", "inequality_taml",
    "maml", "side_by_side", "sinusoids",
]  # fmt: skip

Loss = Callable[[Any, Any], Any]


class Task(NamedTuple):
    """What a task gives to adapt to, and what it asks afterwards: inputs and targets of each."""

    support_x: Any
    support_y: Any
    query_x: Any
    query_y: Any


class Episodes(NamedTuple):
    """Of each task, on its query: the loss before the steps and after them, (T) each, and the model's outputs, T of each."""

    initial: Tensor
    final: Tensor
    before: list[Any]
    after: list[Any]


def adapt(model: Module, loss: Loss, x: Any, y: Any, lr: float, steps: int = 1, first_order: bool = False) -> dict[str, Tensor]:
    """theta <- theta - lr grad loss(model_theta(x), y), `steps` times; MAML, algorithm 1, line 6.

    Returns theta by name, for nn.utils.functional_call; the model's own parameters do not change. What is computed with theta is
    differentiable with respect to them, through the steps and so to the second order; first_order: grad loss counts as a
    constant there (MAML, section 5.2). Under no_grad() nothing is recorded. Only parameters that require gradients move.
    """
    remember = is_recording()
    theta: dict[str, Tensor] = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for _ in range(steps):
        with set_grad_enabled(True):
            theta = theta if remember else {name: Tensor(p.data, requires_grad=True) for name, p in theta.items()}
            value = loss(functional_call(model, theta, (x,)), y)
            found = grad(value, list(theta.values()), create_graph=remember and not first_order, retain_graph=remember)
        theta = {name: p if g is None else p - lr * g for (name, p), g in zip(theta.items(), found, strict=True)}
    return theta


def maml(model: Module, loss: Loss, tasks: Sequence[Task], lr: float, steps: int = 1, first_order: bool = False) -> Any:
    """The mean over the tasks of L_i(theta_i) on the query, where `adapt` made theta_i of the support: a scalar to go down.

    loss(outputs, targets) gives a scalar Tensor. ValueError where there is no task.
    """
    return _stacked([_after(model, loss, task, lr, steps, first_order)[0] for task in tasks]).mean()


def episodes(model: Module, loss: Loss, tasks: Sequence[Task], lr: float, steps: int = 1, first_order: bool = False) -> Episodes:
    """All that TAML asks of the tasks; the mean of `final` is maml()."""
    before = [model(task.query_x) for task in tasks]
    initial = [loss(output, task.query_y) for output, task in zip(before, tasks, strict=True)]
    pairs = [_after(model, loss, task, lr, steps, first_order) for task in tasks]
    return Episodes(_stacked(initial), _stacked([value for value, _ in pairs]), before, [output for _, output in pairs])


def _after(model: Module, loss: Loss, task: Task, lr: float, steps: int, first_order: bool) -> tuple[Any, Any]:
    theta = adapt(model, loss, task.support_x, task.support_y, lr, steps, first_order)
    output = functional_call(model, theta, (task.query_x,))
    return loss(output, task.query_y), output


def _stacked(losses: list[Any]) -> Any:
    if not losses:
        raise ValueError("meta-learning needs a task at least, got none")
    return np.stack(losses)  # (T)


def sinusoids(count: int, shots: int, seed: Any, query: int | None = None, dtype: Any = np.float32) -> list[Task]:
    """Tasks y = A sin(x - phase): A from 0.1..5, phase from 0..pi, x from -5..5, all uniform.  MAML, section 5.1.

    shots examples of support and `query` (default: as many) of query, (n, 1) each. seed: a number, or a generator to go on with.
    """
    rng = np.random.default_rng(seed)
    amplitude, phase = rng.uniform(0.1, 5.0, (count, 1, 1)), rng.uniform(0.0, np.pi, (count, 1, 1))
    x = rng.uniform(-5.0, 5.0, (count, shots + (shots if query is None else query), 1))  # (T, n, 1)
    y = (amplitude * np.sin(x - phase)).astype(dtype)
    x = x.astype(dtype)
    return list(map(Task, x[:, :shots], y[:, :shots], x[:, shots:], y[:, shots:]))


def few_way(
    x: Any, labels: np.ndarray, ways: int, shots: int, count: int, seed: Any, query: int | None = None, shuffle: bool = True
) -> list[Task]:
    """`count` tasks that tell `ways` of the classes in `labels` apart: `shots` examples of each, and `query` (default: as many).

    Classes and examples are drawn without repetition in a task. Targets are 0 .. ways - 1: in the order in which the classes
    were drawn, so that a start can know nothing of them, or shuffle=False in that of their labels. seed as for `sinusoids`.
    ValueError where classes or examples do not suffice.
    """
    rng, tasks, size = np.random.default_rng(seed), [], shots + (shots if query is None else query)
    places = {label: np.flatnonzero(labels == label) for label in np.unique(labels)}
    if len(places) < ways or min(map(len, places.values())) < size:
        smallest = min(map(len, places.values()), default=0)
        raise ValueError(f"{ways} classes of {size} examples are wanted, there are {len(places)}, the smallest of {smallest}")
    for _ in range(count):
        drawn = rng.permutation(list(places))[:ways]
        chosen = np.stack([rng.permutation(places[label])[:size] for label in (drawn if shuffle else np.sort(drawn))])  # (W, n)
        targets = np.repeat(np.arange(ways), size).reshape(ways, size)
        parts = ((x[at], t) for at, t in ((chosen[:, :shots], targets[:, :shots]), (chosen[:, shots:], targets[:, shots:])))
        tasks.append(Task(*(values.reshape(-1, *values.shape[2:]) for part in parts for values in part)))
    return tasks


def side_by_side(tasks: Sequence[Task]) -> Task:
    """Tasks of equal sizes as one, its arrays with an axis of tasks in front: (T, n, ...) each, for weights with such an axis."""
    return Task(*(np.stack(part) for part in zip(*tasks, strict=True)))


def entropy_taml(found: Episodes, weight: float) -> Any:
    """mean_i L_i(theta_i) + weight mean_i [H_i(theta_i) - H_i(theta)]: undecided at first, decided afterwards.

    H_i: `entropy` of the model's outputs, logits.
    """
    change = [entropy(after) - entropy(before) for before, after in zip(found.before, found.after, strict=True)]
    return found.final.mean() + weight * _stacked(change).mean()


def inequality_taml(found: Episodes, weight: float, measure: Callable[[Any], Any] = theil) -> Any:
    """mean_i L_i(theta_i) + weight I(L_1(theta), ..., L_T(theta)): the losses of the start, made more equal.

    measure I: of inequality.py, or lambda losses: atkinson(losses, e=0.8).
    """
    return found.final.mean() + weight * measure(found.initial)


def entropy(logits: Any) -> Any:
    """H = mean_n -sum_c p_nc ln p_nc,  p = softmax of logits (N, C)"""
    logs = F.log_softmax(logits, -1)
    return -np.mean(np.sum(np.exp(logs) * logs, axis=-1))


def entropy_gradient(logits: np.ndarray) -> np.ndarray:
    """dH/dz_nc = -p_nc (ln p_nc + H_n) / N,  H_n the entropy of row n"""
    logs = F.log_softmax(np.asarray(logits), -1)
    p = np.exp(logs)
    return p * (np.sum(p * logs, axis=-1, keepdims=True) - logs) / len(p)
