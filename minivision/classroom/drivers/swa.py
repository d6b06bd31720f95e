"""Averages and batch normalisations around what a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import nn, optim
from ...swa import SWA
from ...tape import Tensor


def means(student: Callable[..., Any], visited: list[list[np.ndarray]]) -> tuple[list[int], list[list[np.ndarray]], list[Any]]:
    """Parameters take visited[t] one after the other, and student(self) after each -> n and the means then, the last weights."""
    params = [Tensor(values.copy(), requires_grad=True) for values in visited[0]]
    swa = SWA(optim.SGD(params, lr=0.1), start=None)
    counts, found = [], []
    for now in visited:
        for p, values in zip(params, now, strict=True):
            p.data[...] = values
        student(swa)
        counts.append(swa.n_averaged)
        found.append([np.array(swa.state[p]["mean"]) for p in params])
    return counts, found, [p.data for p in params]


def norms(student: Callable[..., Any], batches: list[Any], modes: list[bool]) -> tuple[list[np.ndarray], list[float], list[bool]]:
    """Two batch normalisations that have run before, then student(model, batches) -> their statistics, momenta, modes."""
    layers: list[Any] = [nn.BatchNorm1d(3), nn.ReLU(), nn.BatchNorm1d(3, momentum=0.3)]
    model = nn.Sequential(*layers).double().train()
    model(Tensor(np.arange(12.0).reshape(4, 3)))
    for layer, mode in zip(layers, modes, strict=True):
        layer.training = mode
    student(model, batches)
    statistics = [np.array(b.data) for i in (0, 2) for b in (layers[i].running_mean, layers[i].running_var)]
    return statistics, [layers[0].momentum, layers[2].momentum], [layer.training for layer in layers]


def plain(student: Callable[..., Any]) -> Any:
    """student(model, batches) for a model without running statistics, whose batches are not to be asked for."""
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False))
    return student(model, iter([]))
