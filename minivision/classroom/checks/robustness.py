"""Damaged pictures, pixel by pixel and patch by patch in loops; decisions counted one by one."""

from __future__ import annotations

import numpy as np

from ..expect import expect, expect_error
from ..proxy import Student


def drop_patches(student: Student, rng: np.random.Generator) -> None:
    """Every pixel, in bytes and in floats; grids of patches that are no squares; offsets within a patch and beyond."""
    for shape, grid, dtype, offset in [
        ((3, 3, 4, 6), (2, 3), np.uint8, 0),
        ((2, 1, 6, 4), (2, 1), np.float32, 0),
        ((2, 2, 4, 4), (1, 1), np.uint8, 0),
        ((4, 3, 6, 6), (3, 2), np.uint8, 1),
        ((3, 1, 6, 8), (3, 2), np.float64, 3),
    ]:
        pixels = rng.integers(1, 256, shape).astype(dtype)
        dropped = np.arange(shape[0] * grid[0] * grid[1]).reshape(-1, *grid) % 2 == 1
        expected = pixels.copy()
        for n, _, y, x in np.ndindex(shape):
            row, column = (y - offset) % shape[2] * grid[0] // shape[2], (x - offset) % shape[3] * grid[1] // shape[3]
            if dropped[n, row, column]:
                expected[n, :, y, x] = 0
        told = f"pixels {shape} {np.dtype(dtype)}, dropped {dropped.shape} and offset {offset}"
        expect(student(pixels, dropped, offset=offset), expected, told)


def arrange_patches(student: Student, rng: np.random.Generator) -> None:
    """Patch by patch: grids of unlike sides, one patch, single pixels; each picture's own order, and patches that come twice."""
    for shape, grid, dtype, twice in [
        ((3, 1, 4, 6), (2, 3), np.uint8, False),
        ((2, 3, 6, 4), (3, 1), np.float32, False),
        ((2, 2, 2, 3), (2, 3), np.uint8, False),
        ((2, 1, 4, 4), (1, 1), np.float64, False),
        ((3, 2, 6, 8), (3, 2), np.uint8, True),
    ]:
        pixels, count = rng.integers(0, 256, shape).astype(dtype), grid[0] * grid[1]
        order = np.array(
            [np.roll(np.arange(count), -1 - n) for n in range(shape[0])]
        )  # unlike orders, and no inverse of themselves
        order = rng.integers(0, count, order.shape) if twice else order
        height, width = shape[2] // grid[0], shape[3] // grid[1]
        expected = np.empty_like(pixels)
        for n, k in np.ndindex(order.shape):
            (row, column), (from_row, from_column) = (divmod(int(number), grid[1]) for number in (k, order[n, k]))
            patch = pixels[n, :, from_row * height :, from_column * width :][:, :height, :width]
            expected[n, :, row * height : (row + 1) * height, column * width : (column + 1) * width] = patch
        told = f"pixels {shape} {np.dtype(dtype)}, order {order.tolist()} and grid {grid}"
        expect(student(pixels, order, grid), expected, told)


def salient_patches(student: Student, rng: np.random.Generator) -> None:
    """The fewest patches, taken one by one: from both ends, masses from none to all, sums that are not 1, equal patches."""
    even = np.array([[[5.0, 1.0], [1.0, 1.0]], [[1.0, 1.0], [1.0, 5.0]]])
    cases = [(even, mass, salient) for mass in (0.0, 0.5, 0.7, 1.0) for salient in (True, False)]
    for shape in [(3, 2, 3), (2, 1, 4)]:
        saliency = 10.0 * rng.permuted(np.arange(1, shape[0] * shape[1] * shape[2] + 1.0)).reshape(shape) ** 2
        cases += [(saliency, mass, salient) for mass in (0.33, 0.81) for salient in (True, False)]
    for saliency, mass, salient in cases:
        dropped = np.zeros(saliency.shape, bool)
        for one, out in zip(saliency, dropped, strict=True):
            order = np.argsort(-one if salient else one, axis=None, kind="stable")
            left = list(zip(*np.unravel_index(order, one.shape), strict=True))
            while left and one[out].sum() < mass * one.sum():
                out[left.pop(0)] = True
        told = f"saliency {saliency.tolist()}, mass {mass} and salient {salient}"
        expect(student(saliency, mass, salient), dropped, told)


def shape_bias(student: Student, rng: np.random.Generator) -> None:
    """Counted one by one: answers of each kind, cues that agree, lists and arrays; and nothing to count."""
    shapes, textures = [0, 0, 0, 1, 2, 2, 3], [1, 1, 2, 0, 2, 0, 3]
    cases = [([0, 1, 3, 1, 2, 2, 3], shapes, textures), (shapes, shapes, textures), (textures, shapes, textures)]
    drawn = rng.integers(0, 4, (3, 60))
    cases.append(tuple(drawn.tolist()))
    for answers, outlines, fills in cases:
        decided = [(a == s, a == t) for a, s, t in zip(answers, outlines, fills, strict=True) if s != t]
        by_shape, by_texture = sum(first for first, _ in decided), sum(second for _, second in decided)
        told = f"answers {answers}, shapes {outlines} and textures {fills}" if len(answers) < 10 else "60 drawn pictures"
        expect(student(answers, np.array(outlines), np.array(fills)), by_shape / (by_shape + by_texture), told)
    expect_error(lambda: student([3, 3], [0, 1], [1, 2]), ValueError, "answers [3, 3], shapes [0, 1] and textures [1, 2]")
