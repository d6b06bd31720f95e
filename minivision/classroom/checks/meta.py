"""MAML on linear regression, whose steps are known in closed form; gradients of inequality by complex steps and differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...tape import Tensor
from ..expect import expect, expect_error, expect_that
from ..proxy import Student


def _start(rng: np.random.Generator, width: int) -> list[np.ndarray]:
    return [rng.standard_normal((1, width)), rng.standard_normal(1)]


def _task(rng: np.random.Generator, width: int) -> list[np.ndarray]:
    """Five examples to adapt to, three to be judged by."""
    return [rng.standard_normal(shape) for shape in [(5, width), (5, 1), (3, width), (3, 1)]]


def _by_hand(
    start: list[np.ndarray], task: list[np.ndarray], lr: float, steps: int = 1, first_order: bool = False
) -> tuple[np.ndarray, float, np.ndarray]:
    """(the weights after the steps, the query's loss, its gradient with respect to the start); loss |X w - z|^2 / n."""
    (weight, bias), (x, y, query_x, query_y) = start, task
    w, through = weight[0], np.eye(weight.shape[1])
    H, b = 2 * x.T @ x / len(x), 2 * x.T @ (y[:, 0] - bias) / len(x)
    for _ in range(steps):
        w = w - lr * (H @ w - b)
        through = through if first_order else through @ (np.eye(len(H)) - lr * H)
    error = query_x @ w + bias - query_y[:, 0]
    return w[None], float(np.mean(error**2)), (through.T @ (2 * query_x.T @ error / len(error)))[None]


def adapt(student: Student, rng: np.random.Generator) -> None:
    """Linear regression in closed form: the weights after 0 to 3 steps, the gradient through them, and a model left alone."""
    for width, steps, first_order in [(3, 1, False), (2, 3, False), (2, 2, True), (1, 0, False)]:
        start, task = _start(rng, width), _task(rng, width)
        told = f"steps={steps}, lr=0.1, first_order={first_order} in linear regression with weights (1, {width})"
        theta, gradient, after = student.drive("meta:adapted", start, task, 0.1, steps, first_order)
        weights, _, wanted = _by_hand(start, task, 0.1, steps, first_order)
        gotten = {name: p.data if isinstance(p, Tensor) else p for name, p in theta.items()} if isinstance(theta, dict) else theta
        expect(gotten, {"weight": weights}, f"theta after {told} (the bias requires no gradient)")
        expect(gradient, wanted, f"d(query's loss)/d(start) after {told}")
        expect(after, start, f"the model's own weight and bias after {told}", tolerance=0)
    start, task = _start(rng, 2), _task(rng, 2)
    theta, remembers = student.drive("meta:unrecorded", start, task, 0.1, 2)
    weights = theta["weight"].data if isinstance(theta, dict) and isinstance(theta.get("weight"), Tensor) else theta
    expect(weights, _by_hand(start, task, 0.1, 2)[0], "the weight after 2 steps of 0.1 under no_grad()")
    expect_that(not remembers, "a graph of what is computed under no_grad()", "none", "one")


def maml(student: Student, rng: np.random.Generator) -> None:
    """Means of closed forms over 1 to 4 tasks of linear regression: the loss after the steps and its gradient; no task at all."""
    for count, steps, first_order in [(1, 1, False), (4, 2, False), (3, 1, True)]:
        start, tasks = _start(rng, 3), [_task(rng, 3) for _ in range(count)]
        told = f"{count} x linear regression with weights (1, 3), steps={steps}, lr=0.1, first_order={first_order}"
        value, gradient = student.drive("meta:maml", start, tasks, 0.1, steps, first_order)
        found = [_by_hand(start, task, 0.1, steps, first_order) for task in tasks]
        expect(
            value.data if isinstance(value, Tensor) else value,
            np.array(np.mean([each[1] for each in found])),
            f"the loss of {told}",
        )
        expect(gradient, np.mean([each[2] for each in found], axis=0), f"d(loss)/d(start) of {told}")
    expect_error(lambda: student.drive("meta:maml", _start(rng, 3), [], 0.1), ValueError, "no task")


def _by_complex_step(measure: Callable[[np.ndarray], Any], losses: np.ndarray) -> np.ndarray:
    return np.array([measure(losses + 1e-30j * unit).imag / 1e-30 for unit in np.eye(len(losses))])


def theil_gradient(student: Student, rng: np.random.Generator) -> None:
    """The complex step's derivative of Theil's formula, for five losses and for two."""

    def theil(losses: np.ndarray) -> Any:
        x = losses / (losses.sum() / len(losses))
        return (x * np.log(x)).sum() / len(x)

    for losses in (rng.gamma(1.0, 1.0, 5) + 0.01, rng.gamma(1.0, 1.0, 2) + 0.01):
        expect(student(losses), _by_complex_step(theil, losses), f"the gradient at losses {losses.round(2)}", tolerance=1e-10)


def atkinson_gradient(student: Student, rng: np.random.Generator) -> None:
    """The complex step's derivative of Atkinson's formula, e below, at and above 1, and close to it."""

    def atkinson(losses: np.ndarray, e: float) -> Any:
        mean = losses.sum() / len(losses)
        if e == 1.0:
            return 1 - np.exp(np.log(losses).sum() / len(losses)) / mean
        return 1 - ((losses ** (1 - e)).sum() / len(losses)) ** (1 / (1 - e)) / mean

    for e in (0.5, 0.8, 1.0, 2.0):
        for losses in (rng.gamma(1.0, 1.0, 5) + 0.01, rng.gamma(1.0, 1.0, 2) + 0.01):
            expected = _by_complex_step(partial(atkinson, e=e), losses)
            expect(student(losses, e), expected, f"the gradient at losses {losses.round(2)}, e = {e}", tolerance=1e-10)
    losses = rng.gamma(1.0, 1.0, 5) + 0.01
    expected = _by_complex_step(partial(atkinson, e=1.0), losses)
    expect(student(losses, 1 + 1e-9), expected, f"the gradient at losses {losses.round(2)}, e = 1 + 1e-9", tolerance=1e-7)


def gini_gradient(student: Student, rng: np.random.Generator) -> None:
    """Central differences of a double loop; at equal losses these are the mean of the slopes on both sides, as sign(0) = 0 is."""

    def gini(losses: np.ndarray) -> float:
        return math.fsum(abs(a - b) for a in losses for b in losses) / (2 * len(losses) * math.fsum(losses))

    for losses in (rng.permutation(5) + rng.uniform(0.2, 0.8, 5), np.array([2.0, 1.0, 2.0, 5.0])):
        step = 1e-5
        expected = [(gini(losses + step * unit) - gini(losses - step * unit)) / (2 * step) for unit in np.eye(len(losses))]
        expect(student(losses), np.array(expected), f"the gradient at losses {losses.round(2)}", tolerance=1e-5)  # differences


def entropy_gradient(student: Student, rng: np.random.Generator) -> None:
    """The complex step's derivative of the mean entropy of a softmax, row by row; and a class that is certain."""

    def entropy(logits: np.ndarray) -> Any:
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        return -(p * np.log(p)).sum() / len(p)

    for shape, scale in [((3, 4), 1.0), ((1, 2), 1.0), ((2, 3), 5.0)]:
        logits = scale * rng.standard_normal(shape)
        units = np.eye(logits.size).reshape(-1, *shape)
        expected = np.array([entropy(logits + 1e-30j * unit).imag / 1e-30 for unit in units]).reshape(shape)
        expect(student(logits), expected, f"the gradient at logits {shape} of deviation {scale:g}", tolerance=1e-9)
    logits = np.array([[0.0, 900.0, -900.0]])
    expect(student(logits), np.zeros((1, 3)), "the gradient at logits 0, 900, -900: one class is certain")
