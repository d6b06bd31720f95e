"""A shortcut without weights, and a block's paths: each against a loop over NumPy's arrays, or what defines it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...tape import Tensor
from ..expect import expect, expect_that
from ..proxy import Student


def pad_shortcut(student: Student, rng: np.random.Generator) -> None:
    """Which pixels stay and where the zeros are, for even and odd sides, strides 1 to 3, and no channel more."""
    for shape, more, stride in [
        ((2, 3, 4, 6), 2, 2),
        ((1, 2, 5, 7), 1, 2),
        ((2, 2, 7, 4), 3, 3),
        ((1, 4, 3, 3), 4, 1),
        ((1, 1, 4, 4), 0, 2),
    ]:
        for dtype in (np.float64, np.float32):
            x = rng.standard_normal(shape).astype(dtype)
            rows, columns = range(0, shape[2], stride), range(0, shape[3], stride)
            wanted = np.zeros((shape[0], shape[1] + more, len(rows), len(columns)), dtype)
            for i, row in enumerate(rows):
                for j, column in enumerate(columns):
                    wanted[:, : shape[1], i, j] = x[:, :, row, column]
            got = student.drive("resnet:shortcut", more, stride, Tensor(x))
            expect(
                got,
                Tensor(wanted),
                f"the shortcut of x {shape}, {np.dtype(dtype)}, with stride {stride} and {more} channels more",
            )


def equal_width(student: Student, rng: np.random.Generator) -> None:
    """The width's block has the budget: exact for whole widths, and for budgets in between."""
    for channels, cardinality, width in [(256, 32, 4), (256, 1, 64), (64, 8, 3), (1, 1, 1)]:
        weights = cardinality * (2 * channels * width + 9 * width**2)
        expect(
            student(channels, cardinality, weights),
            float(width),
            f"d for D = {channels}, C = {cardinality} and {weights} weights",
        )
    for _ in range(4):
        channels, cardinality, weights = (int(value) for value in rng.integers((8, 1, 500), (300, 40, 9000)))
        told = f"D = {channels}, C = {cardinality} and {weights} weights"
        width = student(channels, cardinality, weights)
        expect_that(isinstance(width, float) and width > 0, f"d for {told}", "a positive float", width)
        spent = cardinality * (2 * channels * width + 9 * width**2)
        expect(spent, float(weights), f"the weights of a block with your d, for {told}")


def split_groups(student: Student, rng: np.random.Generator) -> None:
    """Every entry of the paths, from blocks with and without a shortcut of its own; one path among them."""
    for cardinality, d, inputs, outputs in [(4, 3, 8, 16), (2, 1, 6, 8), (1, 4, 4, 4)]:
        block: dict[str, np.ndarray] = {}
        wanted: dict[str, np.ndarray] = {}
        inner = cardinality * d
        shapes: dict[str, Any] = {"conv1": (inner, inputs, 1, 1), "bn1": inner, "conv2": (inner, d, 3, 3), "bn2": inner}
        shapes |= {
            "conv3": (outputs, inner, 1, 1),
            "bn3": outputs,
            "downsample.0": (outputs, inputs, 1, 1),
            "downsample.1": outputs,
        }
        for part, shape in shapes.items():
            entries: dict[str, Any] = {"weight": rng.standard_normal(shape)}
            if not isinstance(shape, tuple):
                entries |= {name: rng.standard_normal(shape) for name in ("bias", "running_mean", "running_var")}
                entries["num_batches_tracked"] = rng.integers(1, 100, ())
            for name, value in entries.items():
                key = f"{part}.{name}"
                if inputs != outputs or not part.startswith("downsample"):
                    block[key] = np.asarray(value)
                if part in ("conv3", "bn3"):
                    wanted[key] = block[key]
                for i in range(cardinality if part in ("conv1", "bn1", "conv2", "bn2") else 0):
                    wanted[f"paths.{i}.{key}"] = block[key][d * i : d * (i + 1)] if np.ndim(value) else block[key]
        got = student(block, cardinality)
        told = f"for {cardinality} groups {d} wide"
        expect_that(isinstance(got, dict), f"the state of the paths {told}", "a dict", got)
        expect(sorted(got), sorted(wanted), f"the names {told}")
        for key, value in wanted.items():
            expect(got[key], value, f"{key!r} {told}", tolerance=0)
