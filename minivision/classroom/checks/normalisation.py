"""Normalisation layers: their gradients, the variance, and running averages."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops.batch_norm import _batch_norm
from ...ops.norm import _layer_norm, _rms_norm
from ...tape import Tensor
from ..expect import expect, expect_parts
from ..proxy import Student
from .gradients import pulled


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


def rms_norm_gradient(student: Student, rng: np.random.Generator) -> None:
    """dx and dw are J^T dy by complex step, with and without a weight, in both element types."""
    for shape in [(5,), (3, 5), (2, 3, 4), (2, 1), (0, 3)]:
        for weight in (rng.normal(1.0, 0.5, shape[-1:]), None):
            x, dy = rng.normal(2.0, 3.0, shape), rng.normal(size=shape)
            x = x if shape[-1] > 1 else x / 1000  # x / |x| alone has no slope: only beside eps, sqrt(1e-5), one is left
            got = expect_parts(student(dy, _rms_norm(x, weight)[1]), "dx dw")
            what = f"for x of shape {shape}{'' if weight is not None else ', without a weight'}"
            for name, one, other in zip(("dx", "dw"), got, pulled(_rms_norm, [x, weight], dy), strict=True):
                expect(one, other, f"{name} {what}", tolerance=1e-9)
    single = [rng.normal(size=shape).astype(np.float32) for shape in ((4, 6), (6,))]
    dy32 = rng.normal(size=(4, 6)).astype(np.float32)
    exact = [part.astype(np.float32) for part in pulled(_rms_norm, single, dy32)]
    expect(student(dy32, _rms_norm(*single)[1]), exact, "dx and dw for float32")


def variance(student: Student, rng: np.random.Generator) -> None:
    """The variance, by NumPy in float64, of float32 numbers that are far from 0 too; along all kinds of axes."""
    for shape, axis, correction, keepdims in [((7,), None, 1, False), ((3, 6), -1, 0, True), ((2, 3, 4), (0, 2), 1, False)]:
        for mean in (0.0, 10.0, 3000.0):
            x = (rng.standard_normal(shape) + mean).astype(np.float32)
            exact = np.asarray(np.var(x.astype(np.float64), axis=axis, ddof=correction, keepdims=keepdims)).astype(np.float32)
            got, kept = expect_parts(student(x, axis=axis, correction=correction, keepdims=keepdims), "y kept")
            label = f"the variance of {shape} along {axis}, correction={correction}, keepdims={keepdims}, about {mean:g}"
            expect(np.asarray(got), exact, label)
            expect(kept, (x,), "what is kept")


def batch_norm_gradient(student: Student, rng: np.random.Generator) -> None:
    """The four cotangents are J^T dy by differences, with and without parameters, residual and ReLU."""
    for shape in [(6, 3), (2, 3, 4), (3, 2, 2, 2)]:
        for parts, activation in [("", None), ("w b", None), ("w b residual", None), ("w b", "relu"), ("w b residual", "relu")]:
            channels = shape[1:2]
            weight, bias = (rng.normal(1.0, 0.5, channels), rng.normal(size=channels)) if "w" in parts else (None, None)
            inputs: list[Any] = []
            dy = rng.normal(size=shape)
            while not inputs or np.abs(_batch_norm(*inputs)[0]).min() < 1e-3:  # the ReLU's corner has no derivative
                inputs = [rng.normal(2.0, 3.0, shape), weight, bias, rng.normal(size=shape) if "residual" in parts else None]
            kept, expected = (
                _batch_norm(*inputs, activation=activation)[1],
                pulled(_batch_norm, inputs, dy, False, activation=activation),
            )
            got = expect_parts(student(dy, kept, activation=activation), "dx dw db dresidual")
            what = f"for x of shape {shape} with {parts or 'nothing else'}, activation={activation}"
            for name, one, other in zip(("dx", "dw", "db", "dresidual"), got, expected, strict=True):
                if other is not None:
                    expect(one, other, f"{name} {what}", tolerance=1e-6)  # what differences are good to


def running_statistics(student: Student, rng: np.random.Generator) -> None:
    """The running average is moved in its own memory, array or Tensor; None stays None."""
    for momentum in (0.1, 1.0, 0.25):
        running, batch = rng.normal(size=4).astype(np.float32), rng.normal(size=4).astype(np.float32)
        exact = ((1.0 - momentum) * running + momentum * batch).astype(np.float32)
        for given, wanted in [(running, exact), (Tensor(running.copy()), Tensor(exact)), (None, None)]:
            _, (after, *_) = student.drive("in_place", given, batch, momentum)
            expect(after, wanted, f"the running average, given as {type(given).__name__}, for momentum={momentum}")


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
