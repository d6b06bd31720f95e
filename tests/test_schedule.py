"""Schedules at the steps where their formulas give plain numbers, and the class that applies them."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minivision as mv
from minivision import nn, optim, schedule

VALUES = {
    "constant": (schedule.constant(), {0: 1.0, 10**6: 1.0}),
    "linear_warmup": (schedule.linear_warmup(4), {0: 0.25, 1: 0.5, 3: 1.0, 4: 1.0, 99: 1.0}),
    "cosine": (schedule.cosine(12), {0: 1.0, 4: 0.75, 6: 0.5, 8: 0.25, 12: 0.0, 50: 0.0}),
    "cosine with warm-up and floor": (
        schedule.cosine(16, warmup=4, floor=0.2),
        {0: 0.25, 3: 1.0, 4: 1.0, 8: 0.8, 10: 0.6, 12: 0.4, 16: 0.2, 50: 0.2},
    ),
    "step_decay": (schedule.step_decay(3, 0.5), {0: 1.0, 2: 1.0, 3: 0.5, 5: 0.5, 6: 0.25}),
    "milestones": (schedule.milestones([5, 2], 0.1), {0: 1.0, 1: 1.0, 2: 0.1, 4: 0.1, 5: 0.01, 9: 0.01}),
    "swa": (schedule.swa(20, 0.2), {0: 1.0, 10: 1.0, 14: 0.6, 18: 0.2, 19: 0.2, 20: 0.2, 21: 0.2, 99: 0.2}),
    "swa in cycles": (
        schedule.swa(20, 0.2, cycle=4, high=0.6),
        {0: 1.0, 19: 0.2, 20: 0.5, 21: 0.4, 22: 0.3, 23: 0.2, 24: 0.5, 27: 0.2, 28: 0.5},
    ),
    "swa from the start": (schedule.swa(0, 0.5), {0: 0.5, 1: 0.5}),
    "inverse_sqrt": (schedule.inverse_sqrt(4), {0: 0.25, 3: 1.0, 15: 0.5, 63: 0.25}),
    "inverse_sqrt of a width": (
        schedule.inverse_sqrt(4000, 512),
        {t: 512**-0.5 * min((t + 1) ** -0.5, (t + 1) * 4000**-1.5) for t in (0, 9, 3998, 3999, 4000, 99_999)},
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_of_the_formula(name):
    factor, values = VALUES[name]
    for t, value in values.items():
        assert math.isclose(factor(t), value, abs_tol=1e-15), t


def groups():
    params = [nn.Parameter(np.zeros(2, np.float32)) for _ in range(2)]
    return optim.SGD([{"params": params[0], "lr": 2.0}, {"params": params[1]}], lr=10.0)


def test_the_scheduler_scales_each_group_from_its_own_rate():
    optimiser = groups()
    scheduler = schedule.Scheduler(optimiser, schedule.linear_warmup(4))
    seen = [scheduler.get_last_lr()]
    for _ in range(4):
        scheduler.step()
        seen.append([group["lr"] for group in optimiser.param_groups])
    assert seen == [[0.5, 2.5], [1.0, 5.0], [1.5, 7.5], [2.0, 10.0], [2.0, 10.0]]


def test_each_group_may_have_its_own_schedule():
    scheduler = schedule.Scheduler(groups(), [schedule.constant(), schedule.step_decay(1, 0.5)])
    scheduler.step()
    assert scheduler.get_last_lr() == [2.0, 5.0]
    with pytest.raises(ValueError, match="2 expected, got 1"):
        schedule.Scheduler(groups(), [schedule.constant()])


@pytest.mark.parametrize("optimiser_first", [True, False])
def test_a_resumed_scheduler_goes_on_as_if_never_stopped(optimiser_first):
    optimiser = groups()
    scheduler = schedule.Scheduler(optimiser, schedule.cosine(10))
    for _ in range(3):
        scheduler.step()
    other = groups()
    if optimiser_first:  # the rate in use comes before the scheduler looks at it
        other.load_state_dict(optimiser.state_dict())
    resumed = schedule.Scheduler(other, schedule.cosine(10))
    other.load_state_dict(optimiser.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    for _ in range(5):
        assert resumed.get_last_lr() == scheduler.get_last_lr()
        assert resumed.t == scheduler.t
        scheduler.step(), resumed.step()


def test_a_foreign_state_is_refused():
    scheduler = schedule.Scheduler(groups(), schedule.constant())
    with pytest.raises(mv.CheckpointError, match=r"base_lrs\s+wrong shape\s+\(2,\)\s+\(3,\)"):
        scheduler.load_state_dict({"t": np.array(4), "base_lrs": np.ones(3)})
    assert (scheduler.t, scheduler.base_lrs) == (0, [2.0, 10.0])


def test_arguments_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="0 <= warmup < total"):
        schedule.cosine(5, warmup=5)
    with pytest.raises(ValueError, match="every >= 1"):
        schedule.step_decay(0)
    with pytest.raises(ValueError, match="warmup >= 1"):
        schedule.inverse_sqrt(0)
    with pytest.raises(ValueError, match="width >= 1"):
        schedule.inverse_sqrt(4000, 0)


@pytest.mark.parametrize("arguments", [(-1, 0.5), (4, 0.5, 0), (4, 0.0), (4, 0.5, 2, 0.4)])
def test_swa_refuses_what_is_no_schedule(arguments):
    with pytest.raises(ValueError, match="swa"):
        schedule.swa(*arguments)
