"""Swin v2's repairs, number by number."""

from __future__ import annotations

import math

import numpy as np

from ...tape import Tensor
from ..drivers.swin_v2 import small
from ..expect import expect
from ..proxy import Student

WINDOWS = (((4, 4), (4, 4)), ((8, 8), (4, 4)), ((2, 3), (2, 3)), ((3, 5), (4, 2)), ((2, 2), (8, 8)), ((1, 2), (1, 1)))


def on_log_scale(d: int, trained: int) -> float:
    """Eq. 4 of one displacement along one axis."""
    return math.copysign(math.log2(1.0 + 8.0 * abs(d) / max(trained - 1, 1)) / 3.0, d) if d else 0.0


def displacements(student: Student, rng: np.random.Generator) -> None:
    """Every displacement by itself, for windows that were trained with and others."""
    for window, trained in WINDOWS:
        walk = [(h, w) for h in range(1 - window[0], window[0]) for w in range(1 - window[1], window[1])]
        wanted = [[on_log_scale(h, trained[0]), on_log_scale(w, trained[1])] for h, w in walk]
        expect(student(window, trained), np.array(wanted), f"log_spaced for windows of {window}, trained with {trained}")


def scaled(student: Student, rng: np.random.Generator) -> None:
    """Vector by vector, for temperatures on both sides of the bound and vectors of very unlike lengths."""
    for shape, scales in [((1, 1, 2, 4, 3), (0.3, 2.0)), ((2, 3, 2, 4, 3), (4.0, 6.0)), ((1, 2, 2, 1, 3), (-1.0, 4.7))]:
        state = small().state_dict()
        state["logit_scale"] = np.array(scales).reshape(2, 1, 1)
        q, k = rng.standard_normal((2, *shape)) * 10.0 ** rng.uniform(-3, 3, (2, *shape[:-1], 1))
        wanted_q, wanted_k = np.zeros_like(q), np.zeros_like(k)
        for at in np.ndindex(shape[:-1]):
            wanted_q[at] = q[at] / math.hypot(*q[at]) * min(math.exp(scales[at[2]]), 100.0)
            wanted_k[at] = k[at] / math.hypot(*k[at])
        got = student.drive("swin_v2:layer", state, Tensor(q), Tensor(k))
        expect(got, (Tensor(wanted_q), Tensor(wanted_k)), f"scaled(q, k) for q and k of shape {shape}, logit_scale {scales}")


def bias(student: Student, rng: np.random.Generator) -> None:
    """Pair by pair: the network's answer to the displacement from key to query."""
    for window, trained in [((2, 2), 0), ((3, 2), 0), ((4, 4), 2), ((2, 3), 5)]:
        state = {name: rng.standard_normal(value.shape) for name, value in small(window, trained).state_dict().items()}
        state["cpb_mlp.2.weight"] /= 16.0  # so that answers are not all 0 or 16
        first, offset, second = (state[f"cpb_mlp.{name}"] for name in ("0.weight", "0.bias", "2.weight"))
        patches = list(np.ndindex(window))
        wanted = np.zeros((2, len(patches), len(patches)))
        for i, query in enumerate(patches):
            for j, key in enumerate(patches):
                d = [on_log_scale(a - b, trained or m) for a, b, m in zip(query, key, window, strict=True)]
                wanted[:, i, j] = 16.0 / (1.0 + np.exp(-second @ np.maximum(first @ d + offset, 0.0)))
        got = student.drive("swin_v2:layer", state, window=window, trained=trained)
        told = f"trained with {trained} x {trained}" if trained else "trained with themselves"
        expect(got, Tensor(wanted), f"the bias of windows of {window}, {told}")
