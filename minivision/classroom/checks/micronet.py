"""MicroNet: partners and Dynamic Shift-Max, with loops."""

from __future__ import annotations

import numpy as np

from ...tape import Tensor
from ..expect import expect
from ..proxy import Student


def partner(i: int, channels: int, groups: int) -> int:
    """The next channel of the next group."""
    size = channels // groups
    return (i // size + 1) % groups * size + (i % size + 1) % size


def partners(student: Student, rng: np.random.Generator) -> None:
    """Every channel's partner, for one group, for as many as channels, and between."""
    for channels, groups in [(12, 3), (12, 4), (6, 1), (6, 6), (20, 2), (1, 1)]:
        expected = np.array([partner(i, channels, groups) for i in range(channels)])
        expect(student(channels, groups), expected, f"the partners of {channels} channels in {groups} groups")


def shift_max(student: Student, rng: np.random.Generator) -> None:
    """Coefficients from the picture's mean; one piece without a maximum, and two with."""
    for channels, groups, start in [(8, 2, [[1.0, 0.0]]), (8, 4, [[1.0, 0.0], [0.5, 0.25]]), (12, 3, [[1.0, 0.0], [1.0, 0.0]])]:
        inner = 4 if channels == 8 else 8  # half of the channels, as a multiple of 4
        shapes = {"fc.0.weight": (inner, channels), "fc.0.bias": (inner,)}
        shapes |= {"fc.2.weight": (2 * len(start) * channels, inner), "fc.2.bias": (2 * len(start) * channels,)}
        w = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
        x = rng.standard_normal((2, channels, 3, 4))
        hidden = np.maximum(x.mean((2, 3)) @ w["fc.0.weight"].T + w["fc.0.bias"], 0.0)
        moved = 4.0 * np.clip((hidden @ w["fc.2.weight"].T + w["fc.2.bias"]) / 6.0 + 0.5, 0.0, 1.0) - 2.0
        moved = moved.reshape(2, len(start), 2, channels, 1, 1) + np.array(start)[:, :, None, None, None]
        other = x[:, [partner(i, channels, groups) for i in range(channels)]]
        expected = (moved[:, :, 0] * x[:, None] + moved[:, :, 1] * other[:, None]).max(1)  # (2, C, 3, 4)
        got = student.drive("micronet:shift_max", channels, groups, start, w, Tensor(x))
        expect(got, Tensor(expected), f"x of shape {x.shape} in {groups} groups, start={start}")
