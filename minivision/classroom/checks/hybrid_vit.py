"""The hybrid's filters against a loop over them, with their gradient in closed form; its border pixel by pixel."""

from __future__ import annotations

import math

import numpy as np

from ...tape import Tensor
from ..expect import expect, expect_parts
from ..proxy import Student


def standardised(student: Student, rng: np.random.Generator) -> None:
    """Every filter less its mean, over the root of its biased variance; dw = r (g - mean g - h mean(g h))."""
    for shape in [(3, 2, 3, 3), (1, 4, 1, 1), (5, 1, 2, 2)]:
        weight, g = 1.5 + 2 * rng.standard_normal(shape), rng.standard_normal(shape)
        h, dw = np.zeros(shape), np.zeros(shape)
        for i, w in enumerate(weight):
            r = 1 / math.sqrt(np.mean((w - w.mean()) ** 2) + 1e-8)
            h[i] = r * (w - w.mean())
            dw[i] = r * (g[i] - g[i].mean() - h[i] * np.mean(g[i] * h[i]))
        got = student.drive("hybrid_vit:standardised", weight, g)
        answer, gradient = expect_parts(got, "filters gradient")
        expect(answer, Tensor(h), f"the filters of a weight {shape}")
        expect(gradient, dw, f"the gradient that reaches a weight {shape}")


def border(student: Student, rng: np.random.Generator) -> None:
    """As many rows and columns as windows at every stride-th pixel need, the odd one at the bottom and on the right."""
    for (height, width), kernel, stride, value in [
        ((7, 8), 3, 2, 0.0), ((8, 8), 7, 2, 0.0), ((5, 6), 1, 2, 0.0), ((6, 9), 3, 3, -math.inf), ((4, 5), 2, 1, 1.0),
    ]:  # fmt: skip
        x = rng.standard_normal((2, 3, height, width))
        rows, columns = (list(range(0, size, stride)) for size in (height, width))
        down, across = max(rows[-1] + kernel - height, 0), max(columns[-1] + kernel - width, 0)
        wanted = np.full((2, 3, height + down, width + across), value)
        wanted[:, :, down // 2 : down // 2 + height, across // 2 : across // 2 + width] = x
        label = f"x {x.shape} for windows of {kernel} at stride {stride}, value {value}"
        expect(student(Tensor(x), kernel, stride, value), Tensor(wanted), label)
