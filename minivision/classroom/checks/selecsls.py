"""SelecSLS's block and its skips, against the same in plain NumPy, in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ... import functional as F
from ...tape import Tensor
from ..drivers.selecsls import block, small
from ..expect import expect
from ..proxy import Student

State = Mapping[str, np.ndarray]


def weights(model: Any, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random weights; norms about 1, variances above 0, counts as they are."""
    found = {}
    for name, array in model.state_dict().items():
        drawn = rng.uniform(0.2, 1.0, array.shape) if "var" in name else rng.normal(0.1, 0.5, array.shape)
        found[name] = drawn if array.dtype.kind == "f" else array
    return found


def unit(x: np.ndarray, w: State, name: str, stride: int = 1) -> np.ndarray:
    """Convolution, norm with the running statistics, ReLU."""
    kernel = w[f"{name}.0.weight"]
    y = F.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
    scale, mean, variance, shift = (
        w[f"{name}.1.{part}"][:, None, None] for part in ("weight", "running_mean", "running_var", "bias")
    )
    return np.maximum((y - mean) / np.sqrt(variance + 1e-5) * scale + shift, 0.0)


def chain(x: np.ndarray, w: State, name: str, stride: int = 1) -> list[np.ndarray]:
    """The three maps of a block."""
    maps = [unit(x, w, f"{name}conv1", stride)]
    for i in (2, 4):
        maps.append(unit(unit(maps[-1], w, f"{name}conv{i}"), w, f"{name}conv{i + 1}"))
    return maps


def joined(student: Student, rng: np.random.Generator) -> None:
    """First, third and fifth map, and the skip where the block has one."""
    for channels in (0, 2):
        w = weights(block(channels), rng)
        for batch, side in ((1, 3), (2, 4)):
            x, skip = rng.standard_normal((batch, 3, side, side)), rng.standard_normal((batch, channels, side, side))
            expected = np.concatenate([*chain(x, w, ""), skip], axis=1)
            got = student.drive("selecsls:joined", w, Tensor(x), Tensor(skip) if channels else None, channels)
            expect(got, Tensor(expected), f"what conv6 sees of x {x.shape} with a skip of {channels} channels", tolerance=1e-9)


def steps(student: Student, rng: np.random.Generator) -> None:
    """Every map by name: the stem's, each block's with its stage's first as the long skip, the head's."""
    w, x = weights(small(), rng), rng.standard_normal((2, 1, 8, 8))
    y = skip = unit(x, w, "stem")
    expected = [("stem.2", Tensor(y))]
    for i, stride in enumerate((1, 1, 1, 2, 1)):
        maps, first = chain(y, w, f"features.{i}.", stride), i in (0, 3)
        y = unit(np.concatenate(maps if first else [*maps, skip], axis=1), w, f"features.{i}.conv6")
        skip = y if first else skip
        expected.append((f"features.{i}", Tensor(y)))
    expected.append(("head.0", Tensor(unit(y, w, "head.0", 2))))
    got = student.drive("selecsls:steps", w, Tensor(x))
    expect(got, expected, "names and maps of two stages, of three and two blocks", tolerance=1e-9)
