"""ShuffleNet v2: where each channel goes, by its index."""

from __future__ import annotations

import numpy as np

from ...models.shufflenet_v2 import Unit
from ...tape import Tensor
from ..expect import expect
from ..proxy import Student


def channel_shuffle(student: Student, rng: np.random.Generator) -> None:
    """Channel i of group g is at i G + g; for arrays and Tensors, with one axis behind the channels and with two."""
    for shape, groups in [
        ((2, 12, 2, 3), 2),
        ((1, 12, 1, 1), 3),
        ((3, 6, 1), 3),
        ((2, 8, 5), 4),
        ((2, 5, 2, 2), 1),
        ((2, 5, 2, 2), 5),
    ]:
        x = rng.standard_normal(shape)
        size = shape[1] // groups
        expected = x[:, [g * size + i for i in range(size) for g in range(groups)]]
        expect(student(x, groups), expected, f"an array {shape} in {groups} groups")
        expect(student(Tensor(x), groups), Tensor(expected), f"a Tensor {shape} in {groups} groups")


def unit(student: Student, rng: np.random.Generator) -> None:
    """The first half as it was at even places, what the branch makes of the second at odd ones; or halves without a shuffle."""
    for channels, shuffle in [(4, True), (10, True), (6, False)]:
        made = Unit(channels, shuffle).double().eval()
        state = {name: rng.uniform(0.5, 1.5, value.shape).astype(value.dtype) for name, value in made.state_dict().items()}
        made.load_state_dict(state)
        x, half = rng.standard_normal((2, channels, 4, 5)), channels // 2
        worked = made.branch2(Tensor(x[:, half:])).data
        expected = np.concatenate([x[:, :half], worked], axis=1)
        if shuffle:
            expected = np.stack([x[:, :half], worked], axis=2).reshape(x.shape)  # (2, C, 4, 5)
        got = student.drive("shufflenet:unit", channels, shuffle, state, Tensor(x))
        expect(got, Tensor(expected), f"the unit's result for {channels} channels, shuffle={shuffle}")
