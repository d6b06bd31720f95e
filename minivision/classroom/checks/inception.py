"""The Inception modules that are no plain rows of branches, each against its layers put together another way."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...models.inception_v4 import InceptionC
from ...tape import Tensor
from ..drivers.inception import SMALL, small_residual
from ..expect import expect
from ..proxy import Student


def fill(module: Any, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random weights for a module, which it takes: variances and scales about 1, matrices that keep a map's size."""
    state = {}
    for name, value in module.state_dict().items():
        if value.ndim == 4:
            state[name] = rng.standard_normal(value.shape) / np.sqrt(np.prod(value.shape[1:]))
        elif value.ndim == 1:
            state[name] = rng.uniform(0.5, 1.5, value.shape) - ("bias" in name or "mean" in name)
        else:
            state[name] = value
    module.load_state_dict(state)
    return state


def module_c(student: Student, rng: np.random.Generator) -> None:
    """Six groups of maps in the order of figure 6, found by one path each."""
    made = InceptionC(SMALL).double().eval()
    paths = ["0", "1_0 1_1a", "1_0 1_1b", "2_0 2_1 2_2 2_3a", "2_0 2_1 2_2 2_3b", "3"]
    for shape in [(1, 48, 3, 3), (2, 48, 4, 2), (1, 48, 1, 1)]:
        state, x = fill(made, rng), Tensor(rng.standard_normal(shape))
        groups = []
        for path in paths:
            y = x
            for step in path.split():
                y = getattr(made, f"branch{step}")(y)
            groups.append(y.data)
        got = student.drive("inception:module_c", state, x)
        expect(got, Tensor(np.concatenate(groups, axis=1)), f"the module's maps for x of shape {shape}")


def residual(student: Student, rng: np.random.Generator) -> None:
    """x + s (W h + b) with the weight and the bias put in place by hand, with and without the ReLU."""
    for shape, scale, last in [((2, 65, 3, 4), 0.2, False), ((1, 65, 2, 2), 1.0, True), ((1, 65, 3, 3), 0.5, True)]:
        made = small_residual(scale, last)
        state, x = fill(made, rng), rng.standard_normal(shape)
        W, b = state["conv2d.weight"][:, :, 0, 0], state["conv2d.bias"]
        found = np.einsum("oc,bchw->bohw", W, made.branches(Tensor(x)).data) + b[:, None, None]
        expected = x + scale * found
        got = student.drive("inception:residual", scale, last, state, Tensor(x))
        label = f"the module's maps for x of shape {shape}, scale={scale}, last={last}"
        expect(got, Tensor(expected if last else np.maximum(expected, 0.0)), label)
