"""Dense layers and blocks, each against the same by other means; and the published names of 2017."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...functional import conv2d
from ...tape import Tensor
from ..drivers.densenet import small
from ..expect import expect, expect_that
from ..proxy import Student
from .inception import fill

SIZES = [(5, 3, 2), (4, 1, 3), (2, 4, 1)]  # maps that come, layers, maps that each adds


def norm_relu(x: np.ndarray, state: dict[str, np.ndarray], name: str) -> np.ndarray:
    """ReLU of a batch norm with its running statistics."""
    w, b, mean, var = (state[f"{name}.{each}"][:, None, None] for each in ("weight", "bias", "running_mean", "running_var"))
    return np.maximum((x - mean) / np.sqrt(var + 1e-5) * w + b, 0.0)


def new_maps(x: np.ndarray, state: dict[str, np.ndarray], name: str) -> np.ndarray:
    """What the layer of a name adds."""
    narrow = np.einsum("oc,bchw->bohw", state[f"{name}.conv1.weight"][:, :, 0, 0], norm_relu(x, state, f"{name}.norm1"))
    found = conv2d(Tensor(norm_relu(narrow, state, f"{name}.norm2")), Tensor(state[f"{name}.conv2.weight"]), padding=1)
    return np.asarray(found.data)


def layer(student: Student, rng: np.random.Generator) -> None:
    """BN, ReLU, 1x1, BN, ReLU, 3x3, in this order."""
    for sizes in SIZES:
        state, x = fill(small(*sizes), rng), rng.standard_normal((2, sizes[0], 4, 3))
        got = student.drive("densenet:layer", sizes, state, Tensor(x))
        expect(got, Tensor(new_maps(x, state, "denselayer1")), f"the new maps for x of shape {x.shape}, growth_rate={sizes[2]}")


def block(student: Student, rng: np.random.Generator) -> None:
    """The input first, then what each layer added, in the order of the layers."""
    for sizes in SIZES:
        state, x = fill(small(*sizes), rng), rng.standard_normal((2, sizes[0], 4, 3))
        y = x
        for i in range(sizes[1]):
            y = np.concatenate([y, new_maps(y, state, f"denselayer{i + 1}")], axis=1)
        got = student.drive("densenet:block", sizes, state, Tensor(x))
        expect(got, Tensor(y), f"the block's maps for x of shape {x.shape}, {sizes[1]} layers, growth_rate={sizes[2]}")


def names(student: Student, rng: np.random.Generator) -> None:
    """Names with the dot and without it; counts of zero where there are none, and only for names of 2017."""
    layer = "features.denseblock1.denselayer12"
    for old, new in [("norm.1", "norm1"), ("norm.2", "norm2")]:
        w, var = rng.standard_normal(3), rng.uniform(1.0, 2.0, 3)
        came = {f"{layer}.{old}.weight": w, f"{layer}.{old}.running_var": var, "features.norm5.running_var": var}
        wanted: dict[str, Any] = {
            f"{layer}.{new}.weight": w,
            f"{layer}.{new}.running_var": var,
            "features.norm5.running_var": var,
        }
        zeros = {f"{layer}.{new}.num_batches_tracked": 0, "features.norm5.num_batches_tracked": 0}
        _same(student(came), {**wanted, **zeros}, f"for the keys {', '.join(came)}")
        counted = {**came, f"{layer}.{old}.num_batches_tracked": np.array(7)}
        wanted = {**wanted, **zeros, f"{layer}.{new}.num_batches_tracked": 7}
        _same(student(counted), wanted, f"for the keys {', '.join(counted)}")
        today = {f"{layer}.{new}.running_var": var, "classifier.weight": w}
        _same(student(today), today, f"for the keys {', '.join(today)}, none of them of 2017")
    kernel = rng.standard_normal((2, 3, 1, 1))
    came = {f"{layer}.conv.1.weight": kernel, "features.transition1.conv.weight": kernel}
    _same(student(came), {f"{layer}.conv1.weight": kernel, "features.transition1.conv.weight": kernel}, "for a conv.1")


def _same(got: object, wanted: Mapping[str, Any], label: str) -> None:
    """Equal keys, in any order, and equal values."""
    keys = sorted(got) if isinstance(got, dict) else got
    expect_that(keys == sorted(wanted), f"the keys {label}", ", ".join(sorted(wanted)), keys)
    assert isinstance(got, dict)
    for key, value in wanted.items():
        expect(np.asarray(got[key], np.float64), np.asarray(value, np.float64), f"{key} {label}")
