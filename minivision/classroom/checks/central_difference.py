"""Central difference convolution against its definition, sum by sum; the depth loss's gradient by complex step."""

from __future__ import annotations

import numpy as np

from ...tape import Tensor
from ..expect import expect, expect_parts
from ..proxy import Student


def _differences(x: np.ndarray, w: np.ndarray, theta: float) -> np.ndarray:
    """theta sum_n w(n) (x(n) - x(0)) + (1 - theta) sum_n w(n) x(n), with zeros around x (B, C, H, W)."""
    around = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    y = np.zeros((x.shape[0], w.shape[0], *x.shape[2:]), np.result_type(x, w))
    for i, j in np.ndindex(3, 3):
        moved = around[:, :, i : i + x.shape[2], j : j + x.shape[3]]
        y += np.einsum("oc,bchw->bohw", w[:, :, i, j], theta * (moved - x) + (1.0 - theta) * moved)
    return y


def edited(student: Student, rng: np.random.Generator) -> None:
    """The middle alone is changed, for each output and input, in both element types; a Tensor's gradient flows."""
    for dtype in (np.float64, np.float32):
        for shape, theta in (((2, 3, 3, 3), 0.7), ((1, 1, 3, 3), 1.0), ((2, 2, 3, 3), 0.0)):
            w = rng.standard_normal(shape).astype(dtype)
            expected = w.copy()
            expected[:, :, 1, 1] -= dtype(theta) * w.sum((2, 3))
            expect(student(w, theta), expected, f"the kernel for a weight {shape}, {np.dtype(dtype)}, theta={theta}")


def layer(student: Student, rng: np.random.Generator) -> None:
    """y, dx and dw: by the definition, and since it is linear in x and in w, by what it gives for each unit vector."""
    for theta in (0.0, 0.3, 1.0):
        for shape, outputs in (((1, 2, 3, 4), 3), ((2, 1, 4, 3), 2)):
            x, w = rng.standard_normal(shape), rng.standard_normal((outputs, shape[1], 3, 3))
            dy = rng.standard_normal((shape[0], outputs, *shape[2:]))
            dx = [np.sum(dy * _differences(e.reshape(x.shape), w, theta)) for e in np.eye(x.size)]
            dw = [np.sum(dy * _differences(x, e.reshape(w.shape), theta)) for e in np.eye(w.size)]
            y, got_dx, got_dw = expect_parts(student.drive("central_difference:layer", w, theta, Tensor(x), dy), "y dx dw")
            what = f"for x {x.shape}, a weight {w.shape}, theta={theta}"
            expect(y, Tensor(_differences(x, w, theta)), f"y {what}", tolerance=1e-12)
            expect(got_dx, Tensor(np.reshape(dx, x.shape)), f"the gradient for x {what}", tolerance=1e-12)
            expect(got_dw, Tensor(np.reshape(dw, w.shape)), f"the gradient for the weight {what}", tolerance=1e-12)


def depth_gradient(student: Student, rng: np.random.Generator) -> None:
    """Of the loss written as a plain mean of squares, by complex step, pixel by pixel."""
    for shape in ((1, 3, 3), (2, 4, 6)):
        p, t = rng.standard_normal(shape), rng.standard_normal(shape)
        expected = np.zeros(shape)
        for at in np.ndindex(shape):
            moved = (p - t).astype(complex)
            moved[at] += 1e-30j
            expected[at] = _contrastive(moved).imag / 1e-30
        expect(student(p, t), expected, f"the gradient for predicted and target {shape}", tolerance=1e-12)


def _contrastive(e: np.ndarray) -> complex:
    """The mean of (neighbour - middle)^2 over images, 8 directions and inner pixels."""
    height, width = e.shape[1:]
    inner = e[:, 1:-1, 1:-1]
    moves = [(i, j) for i, j in np.ndindex(3, 3) if (i, j) != (1, 1)]
    return np.mean([(e[:, i : height - 2 + i, j : width - 2 + j] - inner) ** 2 for i, j in moves])
