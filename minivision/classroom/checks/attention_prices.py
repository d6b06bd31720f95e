"""Prices of attention: windows against loops over pixels, sizes of maps against halving, shapes against what NumPy computes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..expect import expect
from ..proxy import Student

Asked = list[tuple[str, list[tuple[int, ...]]]]  # an operation and its operands' shapes
FITTING: Asked = [
    ("linear", [(2, 5, 3), (4, 3)]),
    ("linear", [(3,), (2, 3), (2,)]),
    ("matmul", [(2, 3), (3, 4)]),
    ("matmul", [(5, 1, 2, 3), (4, 3, 6)]),
    ("matmul", [(2, 3), (7, 3, 1)]),
    ("attention", [(2, 3, 4), (2, 5, 4), (2, 5, 6)]),
    ("attention", [(2, 1, 3, 4), (8, 5, 4), (1, 5, 2), (3, 5)]),
    ("attention", [(3, 4), (6, 2, 4), (2, 7)]),
]
REFUSED: Asked = [
    ("linear", [(2, 3), (3, 4)]),
    ("matmul", [(2, 3), (4, 3)]),
    ("matmul", [(3,), (3, 2)]),
    ("matmul", [(2, 2, 3), (4, 3, 5)]),
    ("attention", [(2, 3), (4, 5), (4, 2)]),
    ("attention", [(2, 3), (4, 3), (5, 2)]),
    ("attention", [(2, 2, 3), (3, 4, 3), (4, 2)]),
]


def window_reverse(student: Student, rng: np.random.Generator) -> None:
    """Every pixel by its formula: several images, windows that are not square, one window, one pixel, shifts of each side."""
    for n, p, q, r, s, shift in [
        (2, 2, 3, 2, 3, (1, 2)),
        (1, 1, 1, 4, 3, (0, 0)),
        (3, 2, 2, 1, 1, (0, 1)),
        (1, 3, 1, 2, 2, (3, 0)),
    ]:
        for dtype in (np.float64, np.float32):
            y = rng.standard_normal((n * p * q, r, s, 3)).astype(dtype)
            x = np.empty((n, p * r, q * s, 3), dtype)
            windows = y.reshape(n, p, q, r, s, 3)
            for image, a, b, i, j in np.ndindex(n, p, q, r, s):
                x[image, (a * r + i + shift[0]) % (p * r), (b * s + j + shift[1]) % (q * s)] = windows[image, a, b, i, j]
            told = f"x for y {y.shape}, {np.dtype(dtype)}, image={(p * r, q * s)} and shift={shift}"
            expect(student(y, image=(p * r, q * s), shift=shift), (x, ((r, s),)), told)


def swin_windows(student: Student, rng: np.random.Generator) -> None:
    """All four stages of images square and long, such that windows do not divide, or are larger than the map."""
    chosen: list[dict[str, Any]] = [
        {"img_size": 224},
        {"img_size": (448, 96)},
        {"img_size": 256, "window_size": 8},
        {"img_size": (60, 36), "window_size": 4, "patch_size": 2},
        {"img_size": 36, "window_size": 1, "patch_size": 1},
    ]
    for settings in chosen:
        M, patch = settings.get("window_size", 7), settings.get("patch_size", 4)
        size = settings["img_size"]
        sides = [each // patch for each in (size if isinstance(size, tuple) else (size, size))]
        for stage in range(4):
            wanted = tuple(min(M, side) for side in sides), tuple(M // 2 if side > M else 0 for side in sides)
            told = ", ".join(f"{name}={value}" for name, value in settings.items())
            expect(student.drive("attention_prices:windows", settings, stage), wanted, f"windows({stage}) with {told}")
            sides = [(side + 1) // 2 for side in sides]


def product_shape(student: Student, rng: np.random.Generator) -> None:
    """The shapes of what is computed, where operands fit; None where they do not."""
    for name, shapes in FITTING:
        arrays = [np.zeros(shape) for shape in shapes]
        if name == "linear":
            wanted = (arrays[0] @ arrays[1].T).shape
        elif name == "matmul":
            wanted = (arrays[0] @ arrays[1]).shape
        else:
            wanted = (arrays[0] @ arrays[1].swapaxes(-1, -2) @ arrays[2]).shape
        expect(student(name, tuple(arrays)), wanted, f"the shape of {name} for {shapes}")
    for name, shapes in REFUSED:
        expect(student(name, tuple(np.zeros(shape) for shape in shapes)), None, f"{name} for {shapes}")
