"""Graphs of the tape, for exercises that walk them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from ... import tape

EXPRESSIONS: dict[str, Callable[[Any, Any], Any]] = {
    "y = a b": lambda a, b: a * b,
    "y = a a + a b": lambda a, b: a * a + a * b,
    "y = s + s s, s = a b": lambda a, b: (s := a * b) + s * s,
    "y = (a b) b + a": lambda a, b: (a * b) * b + a,
}


def history(
    student: Callable[..., Any], parents: Sequence[Sequence[int]], outputs: Sequence[int], freed: Sequence[int] = ()
) -> Any:
    """The order in which a history visits nodes that are told by their parents' numbers; beside them, a leaf and None."""
    operation, leaf = SimpleNamespace(name="anything"), tape.Tensor(np.zeros(1))
    nodes: list[tape.Node] = []
    for mine in parents:
        sources = (*(nodes[i] for i in mine), leaf, None)
        nodes.append(tape.Node(operation, leaf.data, {}, (), None, sources, []))
    for i in freed:
        nodes[i].free()
    numbers = {node: i for i, node in enumerate(nodes)}
    return [numbers.get(node, -1) for node in student([*(nodes[i] for i in outputs), leaf])]


def gradients(
    student: Callable[..., Any], expression: str, a: np.ndarray, b: np.ndarray, wanted: Sequence[str] = ()
) -> list[Any]:
    """da and db by backward(), or those that are wanted by mv.grad; the walk is the student's."""
    tape._pull = student
    x = {"a": tape.Tensor(a, requires_grad=True), "b": tape.Tensor(b, requires_grad=True)}
    y = EXPRESSIONS[expression](x["a"], x["b"])
    if wanted:
        return list(tape.grad([y], [x[name] for name in wanted], [np.ones_like(a)]))
    y.backward(np.ones_like(a))
    return [x["a"].grad, x["b"].grad]


def two_outputs(student: Callable[..., Any], a: np.ndarray, b: np.ndarray) -> list[Any]:
    """d(a b + a a / 2) by mv.grad, the two summands given as two outputs."""
    tape._pull = student
    x, y = tape.Tensor(a, requires_grad=True), tape.Tensor(b, requires_grad=True)
    return list(tape.grad([x * y, x * x * 0.5], [x, y], [np.ones_like(a), np.ones_like(a)]))


def second(student: Callable[..., Any], a: np.ndarray) -> Any:
    """The second derivative of a^3."""
    tape._pull = student
    x = tape.Tensor(a, requires_grad=True)
    first = tape.grad(x * x * x, x, np.ones_like(a), create_graph=True)
    return tape.grad(first, x, np.ones_like(a))


def twice(student: Callable[..., Any], a: np.ndarray, b: np.ndarray, retain: bool) -> list[Any]:
    """What has gathered in a and b after two walks over one graph."""
    tape._pull = student
    x, y = tape.Tensor(a, requires_grad=True), tape.Tensor(b, requires_grad=True)
    product = x * y
    for _ in range(2):
        product.backward(np.ones_like(a), retain_graph=retain)
    return [x.grad, y.grad]
