"""MobileNets: what a layer costs, how channels are rounded, where a shortcut stands."""

from __future__ import annotations

import numpy as np

from ..expect import expect
from ..proxy import Student


def separable_share(student: Student, rng: np.random.Generator) -> None:
    """The multiply-adds of both, counted for some inputs and a side, one divided by the other."""
    for outputs, kernel in [(1, 1), (1, 3), (8, 1), (32, 3), (512, 3), (16, 5), (7, 7)]:
        inputs, side = (int(n) for n in rng.integers(1, 30, 2))
        filtering, combining = kernel**2 * inputs * side**2, inputs * outputs * side**2
        expect(
            student(outputs, kernel),
            (filtering + combining) / (combining * kernel**2),
            f"the share for N = {outputs}, k = {kernel}",
        )


def make_divisible(student: Student, rng: np.random.Generator) -> None:
    """The nearest multiple, by a search among all of them, that is at least 0.9 of the channels; halves go up."""
    drawn = [(float(n), int(d)) for n, d in zip(rng.uniform(0.5, 300.0, 12), rng.choice([4, 8, 10], 12), strict=True)]
    for channels, divisor in [(1, 8), (4, 8), (11.9, 8), (12, 8), (18, 8), (20, 8), (33, 8), (84, 8), (100, 10), *drawn]:
        multiples = [divisor * n for n in range(1, 200)]
        least = min(abs(m - channels) for m in multiples)
        nearest = max(m for m in multiples if abs(m - channels) == least)
        wanted = nearest if nearest >= 0.9 * channels else nearest + divisor
        expect(student(channels, divisor), wanted, f"{channels} channels in multiples of {divisor}")


def shortcut_rule(student: Student, rng: np.random.Generator) -> None:
    """Equal and unequal channels, with strides of 1, 2 and 3."""
    for stride in (1, 2, 3):
        for inputs, outputs in [(8, 8), (8, 16), (16, 8)]:
            expect(student(inputs, outputs, stride), (inputs, 1) == (outputs, stride), f"{inputs} to {outputs}, stride {stride}")
