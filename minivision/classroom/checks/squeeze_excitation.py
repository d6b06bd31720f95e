"""Squeeze-and-excitation: gates against loops over NumPy's arrays, their cost against matrices that are counted."""

from __future__ import annotations

import numpy as np

from ...tape import Tensor
from ..expect import expect
from ..proxy import Student


def gates(student: Student, rng: np.random.Generator) -> None:
    """s of every image and channel, in both element types; one image, one pixel, and a middle of one channel among them."""
    for shape, reduction in [((3, 8, 4, 5), 4), ((1, 6, 3, 3), 2), ((2, 4, 1, 1), 4)]:
        narrow = shape[1] // reduction
        for dtype in (np.float64, np.float32):
            x = rng.standard_normal(shape).astype(dtype)
            w1, w2 = (rng.standard_normal(size).astype(dtype) for size in ((narrow, shape[1]), (shape[1], narrow)))
            b1, b2 = (rng.standard_normal(size).astype(dtype) + dtype(0.5) for size in (narrow, shape[1]))
            state = {"fc1.weight": w1[:, :, None, None], "fc1.bias": b1, "fc2.weight": w2[:, :, None, None], "fc2.bias": b2}
            wanted = np.zeros((*shape[:2], 1, 1), dtype)
            for s, image in zip(wanted, x, strict=True):
                middle = np.maximum(w1 @ np.array([channel.mean() for channel in image]) + b1, 0)
                s[:, 0, 0] = 1 / (1 + np.exp(-(w2 @ middle + b2)))
            got = student.drive("resnet:gates", reduction, state, Tensor(x))
            expect(got, Tensor(wanted), f"s for x {shape}, {np.dtype(dtype)}, and a reduction of {reduction}")


def cost(student: Student, rng: np.random.Generator) -> None:
    """The elements of all matrices, for the paper's network and for others of one to four stages."""
    cases: list[tuple[tuple[int, ...], tuple[int, ...], int]] = [
        ((256, 512, 1024, 2048), (3, 4, 6, 3), 16),
        ((8,), (1,), 8),
        ((8,), (3,), 1),
    ]
    for stages in (1, 2, 3):
        reduction = int(rng.integers(2, 6))
        channels, depths = rng.integers(1, 9, stages) * reduction, rng.integers(2, 6, stages)
        cases.append((tuple(map(int, channels)), tuple(map(int, depths)), reduction))
    for widths, blocks, reduction in cases:
        matrices = [np.empty((c // reduction, c)) for c, n in zip(widths, blocks, strict=True) for _ in range(2 * n)]
        told = f"channels {widths}, depths {blocks} and reduction {reduction}"
        expect(student(widths, blocks, reduction), sum(each.size for each in matrices), f"the weights for {told}")
