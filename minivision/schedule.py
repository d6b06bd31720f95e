"""Learning-rate schedules: functions from the step t = 0, 1, ... to a factor f(t), and the class that applies one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .nn import state as states
from .optim import Optimizer

Factor = Callable[[int], float]


def constant(factor: float = 1.0) -> Factor:
    """f(t) = factor"""
    return lambda t: factor


def linear_warmup(warmup: int) -> Factor:
    """f(t) = min(1, (t + 1) / warmup): the first step is small, not nothing.  Goyal et al. 2017, section 2.2."""
    return lambda t: min(1.0, (t + 1) / max(warmup, 1))


def cosine(total: int, warmup: int = 0, floor: float = 0.0) -> Factor:
    """f(t) = floor + (1 - floor) (1 + cos(pi s)) / 2,  s = (t - warmup) / (total - warmup), held at 1 from t = total on.

    Before t = warmup, f(t) = (t + 1) / warmup.  Loshchilov & Hutter 2017, eq. 5, without restarts.
    """
    if not 0 <= warmup < total:
        raise ValueError(f"cosine needs 0 <= warmup < total, got warmup={warmup}, total={total}")

    def factor(t: int) -> float:
        if t < warmup:
            return (t + 1) / warmup
        s = min((t - warmup) / (total - warmup), 1.0)
        return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * s))

    return factor


def step_decay(every: int, gamma: float = 0.1) -> Factor:
    """f(t) = gamma^floor(t / every)"""
    if every < 1:
        raise ValueError(f"step_decay needs every >= 1, got {every}")
    return lambda t: gamma ** (t // every)


def milestones(steps: Sequence[int], gamma: float = 0.1) -> Factor:
    """f(t) = gamma^n,  n = how many of `steps` are at most t.  He et al. 2016, section 4.2."""
    return lambda t: gamma ** sum(step <= t for step in steps)


def inverse_sqrt(warmup: int, width: int | None = None) -> Factor:
    """f(t) = min((t + 1) / warmup, sqrt(warmup / (t + 1))): 1 at the end of the warm-up.

    With the model's width it is the learning rate itself, for an optimizer of lr=1: Vaswani et al. 2017, eq. 3,
    width^-0.5 min((t + 1)^-0.5, (t + 1) warmup^-1.5), which is (width warmup)^-0.5 at the end of the warm-up.
    """
    if warmup < 1 or (width is not None and width < 1):
        raise ValueError(f"inverse_sqrt needs warmup >= 1 and width >= 1, got warmup={warmup}, width={width}")
    peak = 1.0 if width is None else 1.0 / math.sqrt(width * warmup)
    return lambda t: peak * min((t + 1) / warmup, math.sqrt(warmup / (t + 1)))


def swa(start: int, low: float, cycle: int = 1, high: float = 1.0) -> Factor:
    """The rates of stochastic weight averaging, whose first average is taken after `start` steps (optim.SWA's start).

    Before:  f(t) = 1 up to t = 0.5 start, then in a straight line down to low, which it reaches at t = 0.9 start.
    From t = start on:  f(t) = (1 - s) high + s low,  s = ((t - start) mod cycle + 1) / cycle.

    cycle=1 is the constant schedule, f(t) = low; a longer one falls from near high to low and averages there. Every cycle ends
    just before a step whose number is start + cycle k.  Izmailov et al. 2018, eq. 1; the part before is that of their code.
    ValueError unless start is at least 0, cycle at least 1, and 0 < low <= high.
    """
    if start < 0 or cycle < 1:
        raise ValueError(f"swa counts steps: start from 0, cycle from 1 up, got start={start}, cycle={cycle}")
    if not 0.0 < low <= high:
        raise ValueError(f"swa needs 0 < low <= high, got low={low}, high={high}")

    def factor(t: int) -> float:
        if t >= start:
            s = ((t - start) % cycle + 1) / cycle
            return (1.0 - s) * high + s * low
        return 1.0 + (low - 1.0) * min(max((t / start - 0.5) / 0.4, 0.0), 1.0)

    return factor


class Scheduler:
    """Holds each group's learning rate at its value when the scheduler was made, times factor(t); t = 0 at once.

    Call step() after optimizer.step(): it counts t up by one. `factor` may be a list, one for each group.
    """

    def __init__(self, optimizer: Optimizer, factor: Factor | Sequence[Factor]) -> None:
        self.optimizer = optimizer
        groups = optimizer.param_groups
        self.factors = [factor] * len(groups) if callable(factor) else list(factor)
        if len(self.factors) != len(groups):
            raise ValueError(f"one factor for each parameter group: {len(groups)} expected, got {len(self.factors)}")
        self.base_lrs = [float(group["lr"]) for group in groups]
        self.t = 0
        self._apply()

    def step(self) -> None:
        """Goes on to the next step's learning rate."""
        self.t += 1
        self._apply()

    def get_last_lr(self) -> list[float]:
        """The learning rate in use, group by group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, np.ndarray]:
        """What a resumed run needs, by name: "t" and "base_lrs"."""
        return {"t": np.array(self.t), "base_lrs": np.array(self.base_lrs)}

    def load_state_dict(self, mapping: Mapping[str, Any]) -> None:
        """Takes what state_dict() gave and sets the learning rates; CheckpointError where it does not fit."""
        came = states.arrays(mapping)
        states.check("Scheduler", self.state_dict(), came)
        self.t, self.base_lrs = int(came["t"]), came["base_lrs"].tolist()
        self._apply()

    def _apply(self) -> None:
        for group, base, factor in zip(self.optimizer.param_groups, self.base_lrs, self.factors, strict=True):
            group["lr"] = base * factor(self.t)
