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
    """Names with the dot and without it, of both norms and both convolutions; no value is changed."""
    layer = "features.denseblock1.denselayer12"
    for kind in ("norm", "conv"):
        for digit in "12":
            w, var = rng.standard_normal(3), rng.uniform(1.0, 2.0, 3)
            came = {f"{layer}.{kind}.{digit}.weight": w, "features.norm5.running_var": var, "features.transition1.conv.weight": w}
            wanted = {key.replace(f"{kind}.{digit}", f"{kind}{digit}"): value for key, value in came.items()}
            _same(student(came), wanted, f"for the keys {', '.join(came)}")
            _same(student(wanted), wanted, f"for the keys {', '.join(wanted)}, none of them of 2017")


def _same(got: object, wanted: Mapping[str, Any], label: str) -> None:
    """Equal keys, in any order, and equal values."""
    keys = sorted(got) if isinstance(got, dict) else got
    expect_that(keys == sorted(wanted), f"the keys {label}", ", ".join(sorted(wanted)), keys)
    assert isinstance(got, dict)
    for key, value in wanted.items():
        expect(np.asarray(got[key], np.float64), np.asarray(value, np.float64), f"{key} {label}")
