"""Normalisation layers: their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops.norm import _layer_norm
from ..expect import expect, expect_parts
from ..proxy import Student


def layer_norm_gradient(student: Student, rng: np.random.Generator) -> None:
    """The three cotangents are <dy, J v> for random dy, by complex step through the definition; absent parameters get None."""
    for shape, parts in [((5,), "wb"), ((3, 5), "wb"), ((2, 3, 4), "wb"), ((3, 5), "w"), ((3, 5), "")]:
        x, w = rng.normal(2.0, 3.0, shape), rng.normal(1.0, 0.5, shape[-1])
        b, dy = rng.normal(size=shape[-1]), rng.normal(size=shape)
        inputs = [x, w if "w" in parts else None, b if "b" in parts else None]
        expected = [None if part is None else _pulled(dy, inputs, i) for i, part in enumerate(inputs)]
        got = student(dy, _layer_norm(*inputs)[1])
        for name, one, other in zip(("dx", "dw", "db"), expect_parts(got, "dx dw db"), expected, strict=True):
            expect(one, other, f"{name} for x of shape {shape}{_without(parts)}", tolerance=1e-9)
    float32 = [part.astype(np.float32) for part in (rng.normal(size=(4, 6)), rng.normal(size=6), rng.normal(size=6))]
    answer = student(np.ones((4, 6), np.float32), _layer_norm(*float32)[1])
    expect([part.dtype.name for part in answer], ["float32"] * 3, "the element types for float32")


def _without(parts: str) -> str:
    return {"wb": "", "w": ", without a bias", "": ", without weight and bias"}[parts]


def _pulled(dy: np.ndarray, inputs: list[Any], which: int) -> np.ndarray:
    """d <dy, y> / d input, element by element: the imaginary part of a step of 1e-30 i, exact to rounding."""
    found = np.empty_like(inputs[which])
    for at in np.ndindex(found.shape):
        moved: list[Any] = [None if part is None else part.astype(complex) for part in inputs]
        moved[which][at] += 1e-30j
        found[at] = np.sum(dy * _layer_norm(*moved)[0].imag) / 1e-30
    return found
