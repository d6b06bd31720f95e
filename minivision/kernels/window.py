"""Sliding windows over one, two or three axes: how many there are along each and where their taps lie.

The definitions and the kernels share it, and what convolutions refuse.
"""

from __future__ import annotations

import math
import sys
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..errors import ShapeError

Pair = tuple[int, int]
Sizes = tuple[int, ...]
LARGEST = 2**31 - 1  # of any one number here: sums and products of two stay far below 2^63
NAMES = ("planes", "rows", "columns")
LETTERS = {1: ("L", "R"), 2: ("H, W", "R, S"), 3: ("D, H, W", "K, R, S")}  # of the image, of the weight


class Axis(NamedTuple):
    """One image axis under a window of `taps` elements `dilation` apart, moved by `stride`, `before` and `after` padded."""

    size: int
    taps: int
    stride: int = 1
    before: int = 0
    after: int = 0
    dilation: int = 1

    @property
    def reach(self) -> int:
        """Elements from the first tap to the last, both counted."""
        return self.dilation * (self.taps - 1) + 1

    @property
    def padded(self) -> int:
        """The size with its padding."""
        return self.size + self.before + self.after

    @property
    def windows(self) -> int:
        """The number of windows that fit: floor((padded - reach) / stride) + 1."""
        return (self.padded - self.reach) // self.stride + 1

    def at(self, tap: int) -> slice:
        """Where one tap of every window lies on the padded axis."""
        first = tap * self.dilation
        return slice(first, first + self.stride * (self.windows - 1) + 1, self.stride)

    @property
    def inside(self) -> slice:
        """Where the image lies on the padded axis."""
        return slice(self.before, self.before + self.size)


def _check_numbers(operation: str, least: int, **numbers: Sizes) -> None:
    for name, values in numbers.items():
        if not all(least <= value <= LARGEST for value in values):
            raise ValueError(f"{operation}: {name} must lie between {least} and {LARGEST}, got {values}")


@lru_cache(maxsize=4096)
def axes(
    operation: str, size: Sizes, kernel: Sizes, stride: Sizes, padding: tuple[Pair, ...], dilation: Sizes
) -> tuple[Axis, ...]:
    """The axes of an image under a window; ShapeError or ValueError where there is no such window.

    padding: ((in front, behind), ..), so ((top, bottom), (left, right)) in two axes.
    """
    _check_numbers(operation, 1, kernel=kernel, stride=stride, dilation=dilation)
    _check_numbers(operation, 0, padding=sum(padding, ()))
    found = tuple(Axis(*numbers) for numbers in zip(size, kernel, stride, *zip(*padding, strict=True), dilation, strict=True))
    for what, axis in zip(NAMES[-len(found) :], found, strict=True):
        if axis.reach > axis.padded:
            dilated = f" ({axis.taps} taps, dilation {axis.dilation})" if axis.dilation > 1 else ""
            problem = f"the window is {axis.reach} {what} large{dilated}, but the padded image has {axis.padded}"
            given = f"image {size}, kernel {kernel}, stride {stride}, padding {padding}, dilation {dilation}"
            hint = "a larger image, more padding, a smaller kernel, or fewer strides in the layers before"
            raise ShapeError(operation, problem, given, hint)
    return found


@lru_cache(maxsize=4096)
def transposed_size(
    operation: str, windows: Sizes, kernel: Sizes, stride: Sizes, padding: tuple[Pair, ...], dilation: Sizes, more: Sizes
) -> Sizes:
    """The image that a transposed convolution makes: (P - 1) stride + reach - padding + more for each axis.

    more: the output padding, which chooses among the sizes that have P windows.
    """
    _check_numbers(operation, 1, kernel=kernel, stride=stride, dilation=dilation)
    _check_numbers(operation, 0, padding=sum(padding, ()), output_padding=more)
    if any(m >= max(u, d) for m, u, d in zip(more, stride, dilation, strict=True)):
        problem = f"output_padding {more} must be smaller than the stride {stride} or the dilation {dilation}"
        raise ValueError(f"{operation}: {problem}, axis by axis")
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    parts = zip(windows, stride, reach, padding, more, strict=True)
    size = tuple((p - 1) * u + r - sum(around) + m for p, u, r, around, m in parts)
    if min((*windows, *size)) < 1:
        given = f"x {windows}, kernel {kernel}, stride {stride}, padding {padding}, dilation {dilation}, output_padding {more}"
        raise ShapeError(operation, f"the result would have size {size}", given, "a larger x, or less padding")
    return size


def check_memory(operation: str, shape: Sizes, itemsize: int) -> None:
    """MemoryError with the number of bytes where there is no memory for an array of this shape."""
    size = itemsize * math.prod(shape)  # Python's integers do not overflow
    try:
        if size > sys.maxsize:
            raise MemoryError
        if size > LARGEST:
            np.empty(size, np.uint8)
    except MemoryError:
        raise MemoryError(f"{operation}: an array of shape {shape} takes {size} bytes") from None


def check_windows(operation: str, y: Sizes, windows: Sizes, found: tuple[Axis, ...]) -> None:
    """Holds what lies on windows (y has the shape `y`, `windows` of them along each axis) to the image they come from."""
    want = tuple(axis.windows for axis in found)
    if windows != want:
        size = tuple(axis.size for axis in found)
        problem = f"{_times(windows)} windows are given, but an image of {_times(size)} has {_times(want)}"
        raise ShapeError(operation, problem, f"y {y}", "size, stride, padding and dilation are those of the windows")


def _times(numbers: Sizes) -> str:
    return " x ".join(map(str, numbers))


def check_groups(x: Sizes, weight: Sizes, groups: int, operation: str = "conv2d") -> None:
    """Holds an image (N, C, ..) and a weight (O, I, ..) to C = groups I and to groups dividing O."""
    _check_numbers(operation, 1, groups=(groups,))
    channels, (outputs, inputs), n = x[1], weight[:2], len(x) - 2
    given = f"x {x}, weight {weight}, groups {groups}"
    if channels != inputs * groups:
        problem = (
            f"x has {channels} channels at axis 1, but the weight takes {inputs} in each of {groups} groups: {inputs * groups}"
        )
        hint = f"x is (N, C, {LETTERS[n][0]}), the weight (O, C / groups, {LETTERS[n][1]})"
        if x[-1] == inputs * groups:
            order = (0, n + 1, *range(1, n + 1))
            hint += f"; this x looks like (N, {LETTERS[n][0]}, C): pass x.permute{order}, in NumPy x.transpose{order}"
        raise ShapeError(operation, problem, given, hint)
    if outputs % groups:
        problem = f"the weight has {outputs} output channels at axis 0, which {groups} groups do not divide"
        raise ShapeError(operation, problem, given, "each group makes O / groups of the output channels")


def check_transposed(operation: str, x: Sizes, weight: Sizes, bias: Sizes | None, groups: int) -> None:
    """Holds an image (N, C, ..), a weight (C, I, ..) and a bias (O) to O = groups I and to groups dividing C."""
    _check_numbers(operation, 1, groups=(groups,))
    given = f"x {x}, weight {weight}, bias {bias}, groups {groups}"
    if x[1] != weight[0] or x[1] % groups:
        problem = f"x has {x[1]} channels at axis 1, the weight takes {weight[0]} at axis 0, in {groups} groups"
        letters = LETTERS[len(x) - 2]
        hint = f"x is (N, C, {letters[0]}), the weight (C, O / groups, {letters[1]}), and groups divide C"
        raise ShapeError(operation, problem, given, hint)
    if bias is not None and bias != (weight[1] * groups,):
        problem = f"the bias should have shape ({weight[1] * groups},): {weight[1]} channels in each of {groups} groups"
        raise ShapeError(operation, problem, given)
