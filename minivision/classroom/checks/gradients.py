"""Closed forms, and the numbers that they are checked with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...ops.activation import _sigmoid
from ...ops.reduce import _max, _min, _prod
from ...proof.jacobian import differentiable, numeric
from ..expect import expect
from ..proxy import Student


def pulled(definition: Callable[..., Any], args: Sequence[Any], dy: Any, complex_step: bool = True, **attrs: Any) -> list[Any]:
    """J^T dy of a definition that returns (y, kept), a part for each argument; by complex step, or by central differences."""
    flat = np.ravel(dy) @ numeric(lambda x: definition(*x, **attrs)[0], args, complex_step)
    parts = iter(np.split(flat, np.cumsum([a.size for a in args if differentiable(a)])[:-1]))
    return [next(parts).reshape(a.shape) if differentiable(a) else None for a in args]


def sigmoid_gradient(student: Student, rng: np.random.Generator) -> None:
    """dx is J^T dy by complex step, for small and large x, in both element types."""
    for shape, scale in [((5,), 1.0), ((2, 3), 4.0), ((), 1.0), ((0, 3), 1.0), ((4,), 300.0)]:
        x, dy = np.asarray(scale * rng.standard_normal(shape)), np.asarray(rng.standard_normal(shape))
        if scale > 36.0:
            x[0] = dy[0] = 1.0  # beside which the others' slopes count as nothing: y rounds to 0 or 1 there
        s = np.exp(-np.abs(x)) / (1.0 + np.exp(-np.abs(x))) ** 2  # the slope, by another formula
        expect(student(dy, _sigmoid(x)[1]), dy * s, f"dx for x of shape {shape}, about {scale:g} large")
    x, dy = rng.standard_normal((2, 4)).astype(np.float32)
    expect(student(dy, _sigmoid(x)[1]), pulled(_sigmoid, [x], dy)[0].astype(np.float32), "dx for float32")


def extreme_gradient(student: Student, rng: np.random.Generator) -> None:
    """dx against central differences, which take the mean of both sides at a tie of two; a tie of three by hand; NaN."""
    for shape, axis, keepdims in [((5,), None, False), ((3, 4), 0, False), ((3, 4), -1, True), ((2, 3, 4), (0, 2), False)]:
        x = rng.permutation(np.prod(shape)).reshape(shape) / 4.0
        tie = x.copy()
        tie.flat[-1] = tie.flat[-2]  # of two neighbours along the last axis
        for name, definition in [("max", _max), ("min", _min)]:
            for what, values in [("", x), (", with a tie", tie)]:
                y, kept = definition(values, axis=axis, keepdims=keepdims)
                dy = np.asarray(rng.standard_normal(np.shape(y)))
                (dx,) = pulled(definition, [values], dy, complex_step=False, axis=axis, keepdims=keepdims)
                label = f"dx of {name} along axis {axis} of shape {shape}, keepdims={keepdims}{what}"
                expect(student(dy, kept, axis=axis, keepdims=keepdims), dx, label, tolerance=1e-6)  # what differences are good to
    x = np.array([[2.0, 2.0, 1.0, 2.0], [0.0, np.nan, 5.0, 1.0]])
    got = student(np.array([6.0, 1.0]), _max(x, axis=1)[1], axis=1)
    expect(got, np.array([[2.0, 2.0, 0.0, 2.0], [0.0, 1.0, 0.0, 0.0]]), "dx of max for a tie of three, and for a row with a NaN")


def prod_gradient(student: Student, rng: np.random.Generator) -> None:
    """dx is J^T dy by complex step, with no, one and two zeros among the factors."""
    for shape, axis, keepdims in [
        ((4,), None, False),
        ((3, 4), 0, False),
        ((3, 4), 1, True),
        ((2, 3), None, False),
        ((3, 1), 1, False),
    ]:
        for zeros in (0, 1, 2):
            x = rng.uniform(0.5, 2.0, shape) * rng.choice([-1.0, 1.0], shape)
            x.flat[:zeros] = 0.0
            y, kept = _prod(x, axis=axis, keepdims=keepdims)
            dy = np.asarray(rng.standard_normal(np.shape(y)))
            (dx,) = pulled(_prod, [x], dy, axis=axis, keepdims=keepdims)
            label = f"dx along axis {axis} of shape {shape}, keepdims={keepdims}, {zeros} zeros among the factors"
            expect(student(dy, kept, axis=axis, keepdims=keepdims), dx, label)


def central_differences(student: Student, rng: np.random.Generator) -> None:
    """The Jacobian of y = a x^2 + b x^3, exact up to the eps^2 b that the method leaves; x is as before, also after an error."""
    for outputs, inputs in [(3, 5), (4, 1), (2, 2)]:
        a, b = rng.standard_normal((2, outputs, inputs))
        x = rng.standard_normal(inputs)
        jacobian, after = student.drive("gradients:of_polynomial", a, b, x, 1e-3)
        exact = 2 * a * x + b * (3 * x**2 + 1e-6)
        label = f"the Jacobian ({outputs}, {inputs}) of y = a x^2 + b x^3 for eps = 1e-3"
        expect(jacobian, exact, label, tolerance=1e-9)  # rounding, divided by eps
        expect(after, x, "x after the call", tolerance=0)
    expect(student.drive("gradients:after_an_error", x, 1e-3), x, "x after an error in the function", tolerance=0)


def complex_step(student: Student, rng: np.random.Generator) -> None:
    """The Jacobian of y = exp(W x), to rounding; x is as before."""
    for outputs, inputs in [(3, 4), (1, 2), (2, 1)]:
        W, x = rng.standard_normal((outputs, inputs)), rng.standard_normal(inputs)
        jacobian, after = student.drive("gradients:of_exponentials", W, x)
        expect(jacobian, np.exp(W @ x)[:, None] * W, f"the Jacobian ({outputs}, {inputs}) of y = exp(W x)", tolerance=1e-13)
        expect(after, x.astype(complex), "x after the call", tolerance=0)
