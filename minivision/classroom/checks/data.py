"""Data: fair splits, moved images and the fans of a weight, each counted or looked up one by one."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import partial
from itertools import product
from typing import Literal

import numpy as np

from ..expect import expect, expect_error, expect_parts
from ..proxy import Student

# images of each class, part of the test: remainders, equal remainders, classes of one and two, a half, a part that is no fifth
SPLITS = [((40, 30, 20), 0.2), ((7, 5, 3, 3), 0.2), ((50, 7, 2, 1), 0.1), ((6, 6, 6), 0.5), ((30, 2, 9), 0.35)]
PADDINGS: tuple[Literal["constant", "edge"], ...] = ("constant", "edge")


def fans(student: Student, rng: np.random.Generator) -> None:
    """The weights that one output row holds, and one input column, for windows of no axis to three."""
    for window in [(), (3,), (1,), (2, 5), (3, 3), (2, 3, 4)]:
        shape = (int(rng.integers(6, 12)), int(rng.integers(1, 6)), *window)
        weight = np.zeros(shape)
        expect(student(shape), (weight[0].size, weight[:, 0].size), f"(fan_in, fan_out) of a weight of shape {shape}")
    for shape in [(4,), ()]:
        expect_error(partial(student, shape), ValueError, f"the fans of {shape}")


def split(student: Student, rng: np.random.Generator) -> None:
    """Each class's share by exact fractions, its images by their place in the order; every image in one part."""
    for counts, fraction in SPLITS:
        labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
        for seed in (0, int(rng.integers(1, 1000))):
            place = np.argsort(np.argsort(np.random.PCG64(seed).random_raw(len(labels)), kind="stable"))
            ahead = [sum((labels == labels[i]) & (place < place[i])) for i in range(len(labels))]
            test = [i for i in range(len(labels)) if ahead[i] < shares(counts, fraction)[labels[i]]]
            train = [i for i in range(len(labels)) if i not in test]
            what = f"{len(labels)} images, {counts} of each class, seed={seed}, fraction={fraction}"
            got = expect_parts(student(labels, seed, fraction), "train test")
            for name, one, other in zip(("training", "test"), got, (train, test), strict=True):
                expect(one, np.array(other), f"the {name} part, {what}")
    expect_error(lambda: student(np.array([0, 0, 1, 1]), -1), ValueError, "the seed -1")


def shares(counts: tuple[int, ...], fraction: float) -> list[int]:
    """How many test images each class has."""
    total = sum(counts)
    exact = [Fraction(count * math.ceil(fraction * total), total) for count in counts]
    whole = [math.floor(share) for share in exact]
    rising = sorted(range(len(counts)), key=lambda c: (whole[c] - exact[c], c))[: int(sum(exact)) - sum(whole)]
    return [min(max(whole[c] + (c in rising), 1), count - 1) for c, count in enumerate(counts)]


def transforms(student: Student, rng: np.random.Generator) -> None:
    """The inverse of: mirror, turn, then move; by a matrix inverse for each image."""
    turn, none, mirrored = rng.uniform(-180, 180, 5), np.zeros(5), np.array([True, False, True, False, True])
    move, plain = rng.uniform(-3, 3, (2, 5)), np.zeros(5, bool)
    cases = {
        "turned alone": (turn, none, none, plain),
        "moved alone": (none, *move, plain),
        "mirrored alone": (none, none, none, mirrored),
        "turned and moved": (turn, *move, plain),
        "three of them mirrored, then all turned and moved": (turn, *move, mirrored),
    }
    for name, args in cases.items():
        forward = np.array([onto(*each) for each in zip(*args, strict=True)])
        expect(student(*args), np.linalg.inv(forward)[:, :2], f"the matrices of 5 images, {name}", tolerance=1e-9)


def onto(degrees: float, down: float, right: float, mirrored: bool) -> np.ndarray:
    """Where a place (y, x, 1) of the image goes: mirrored, turned counter-clockwise with y pointing down, moved."""
    turn = math.radians(degrees)
    mirror = np.diag([1.0, -1.0 if mirrored else 1.0, 1.0])
    turned = np.array([[math.cos(turn), -math.sin(turn), 0.0], [math.sin(turn), math.cos(turn), 0.0], [0.0, 0.0, 1.0]])
    return np.array([[1.0, 0.0, down], [0.0, 1.0, right], [0.0, 0.0, 1.0]]) @ turned @ mirror


def resample(student: Student, rng: np.random.Generator) -> None:
    """Whole-pixel moves by slices, exactly; any others pixel by pixel, in float64."""
    for shape, padding in product([(2, 1, 5, 4), (3, 2, 3, 6), (1, 3, 1, 1)], PADDINGS):
        images = rng.integers(0, 256, shape, dtype=np.uint8)
        framed = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), mode=padding).astype(np.float64)
        for down, right in [(0, 0), (1, 0), (0, -1), (-1, 1)]:
            matrices = np.array([[[1.0, 0.0, -down], [0.0, 1.0, -right]]] * len(images))
            moved = framed[:, :, 1 - down : 1 - down + shape[2], 1 - right : 1 - right + shape[3]].astype(np.float32)
            label = f"images {shape} moved down by {down} and right by {right}, padding={padding!r}"
            expect(student(images, matrices, padding), moved, label, tolerance=0)
        matrices = np.eye(2, 3) + rng.uniform(-0.5, 0.5, (len(images), 2, 3))
        wanted = np.zeros(shape)
        for n, y, x in np.ndindex(shape[0], *shape[2:]):
            wanted[n, :, y, x] = looked_up(framed[n], matrices[n], y, x)
        expect(student(images, matrices, padding), wanted.astype(np.float32), f"images {shape}, random matrices, {padding!r}")


def looked_up(framed: np.ndarray, matrix: np.ndarray, y: int, x: int) -> np.ndarray:
    """All pixels of (C, H + 2, W + 2) near a place, weighted by 1 - distance along both axes: the channels of one result."""
    h, w = framed.shape[1] - 2, framed.shape[2] - 2
    middle = np.array([h - 1, w - 1]) / 2
    place = matrix @ [y - middle[0], x - middle[1], 1.0] + middle + 1.0
    place = np.clip(place, 0.0, [h + 1.0, w + 1.0])
    down, across = (np.maximum(1.0 - np.abs(np.arange(n) - at), 0.0) for n, at in zip(framed.shape[1:], place, strict=True))
    return np.einsum("chw,h,w->c", framed, down, across)
