"""The median, by Python's own sorting."""

from __future__ import annotations

import math
import statistics

import numpy as np

from oracles import Oracle


def _call(rng):
    x = np.asarray(rng.integers(-4, 5, tuple(rng.integers(0, 5, rng.integers(0, 4)))), np.float64)
    return (np.where(rng.random(x.shape) < 0.02, np.nan, x),), {}


def _answer(x):
    values = [float(v) for v in x.flat]
    return math.nan if not values or any(map(math.isnan, values)) else statistics.median_low(values)


ORACLES = {"median": Oracle(_call, _answer, 0.0)}
