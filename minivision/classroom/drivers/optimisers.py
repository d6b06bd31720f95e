"""What optimisers and schedules work on: steps, parameters with gradients, and an optimiser's memory."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from ... import optim
from ...tape import Tensor


def factors(student: Callable[..., Any], steps: list[int], *args: Any) -> list[Any]:
    """The schedule's factor at each step."""
    factor = student(*args)
    return [factor(step) for step in steps]


def clipped(student: Callable[..., Any], grads: list[Any], max_norm: float) -> tuple[Any, list[Any], list[bool]]:
    """(what is returned, the gradients afterwards, whether the tape can see that each was written to); a gradient may be None."""
    params = [Tensor(np.zeros(1 if g is None else g.shape)) for g in grads]
    for p, g in zip(params, grads, strict=True):
        p.grad = None if g is None else Tensor(g)
    kept = [p.grad for p in params]
    before = [None if g is None else g.version[0] for g in kept]
    norm = student(params, max_norm)
    written = [g is not None and g.version[0] != version for g, version in zip(kept, before, strict=True)]
    return norm, [None if g is None else g.data for g in kept], written


def rounds(student: Callable[..., Any], have: list[list[bool]]) -> list[list[tuple[int, list[int]]]]:
    """For each call, (step, numbers of the parameters); have[call][i]: whether parameter i has a gradient then."""
    optimiser = SimpleNamespace(state={})
    params = [Tensor(np.zeros(2)) for _ in have[0]]
    found = []
    for now in have:
        for p, has in zip(params, now, strict=True):
            p.grad = Tensor(np.ones(2)) if has else None
        steps = student(optimiser, params)
        found.append(sorted((step, [next(i for i, q in enumerate(params) if q is p) for p in ps]) for step, ps in steps.items()))
    return found


def remembers(student: Callable[..., Any]) -> tuple[int, list[str]]:
    """What a real optimiser's state holds of a parameter after three steps, of which the second had no gradient for it."""
    p, other = (Tensor(np.zeros(2), requires_grad=True) for _ in range(2))
    optimiser = optim.SGD([p, other], lr=0.1, momentum=0.9)
    optimiser._by_step = lambda params: student(optimiser, params)  # type: ignore[method-assign]
    for has in (True, False, True):
        p.grad, other.grad = Tensor(np.ones(2)) if has else None, Tensor(np.ones(2))
        optimiser.step()
    return optimiser.state[p]["step"], sorted(optimiser.state[p])
