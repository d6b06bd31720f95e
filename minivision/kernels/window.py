"""Sliding windows: how many there are along each axis and where their taps lie. The definitions and the kernels share it."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from ..errors import ShapeError

Pair = tuple[int, int]
LARGEST = 2**31 - 1  # of any one number here: sums and products of two stay far below 2^63


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


@lru_cache(maxsize=4096)
def axes(operation: str, size: Pair, kernel: Pair, stride: Pair, padding: tuple[Pair, Pair], dilation: Pair) -> tuple[Axis, Axis]:
    """The rows and the columns of an image under a window; ShapeError or ValueError where there is no such window.

    padding: ((top, bottom), (left, right)).
    """
    bounds = {"kernel": (1, kernel), "stride": (1, stride), "padding": (0, sum(padding, ())), "dilation": (1, dilation)}
    for name, (least, values) in bounds.items():
        if not all(least <= value <= LARGEST for value in values):
            raise ValueError(f"{operation}: {name} must lie between {least} and {LARGEST}, got {values}")
    down, across = (Axis(*numbers) for numbers in zip(size, kernel, stride, *zip(*padding, strict=True), dilation, strict=True))
    for what, axis in {"rows": down, "columns": across}.items():
        if axis.reach > axis.padded:
            dilated = f" ({axis.taps} taps, dilation {axis.dilation})" if axis.dilation > 1 else ""
            problem = f"the window is {axis.reach} {what} large{dilated}, but the padded image has {axis.padded}"
            given = f"image {size}, kernel {kernel}, stride {stride}, padding {padding}, dilation {dilation}"
            hint = "a larger image, more padding, a smaller kernel, or fewer strides in the layers before"
            raise ShapeError(operation, problem, given, hint)
    return down, across


def check_groups(x: tuple[int, ...], weight: tuple[int, ...], groups: int) -> None:
    """Holds an image (N, C, H, W) and a weight (O, I, R, S) to C = groups I and to groups dividing O."""
    (_, channels, _, last), (outputs, inputs) = x, weight[:2]
    given = f"x {x}, weight {weight}, groups {groups}"
    if not 1 <= groups <= LARGEST:
        raise ValueError(f"conv2d: groups must be at least 1, got {groups}")
    if channels != inputs * groups:
        problem = (
            f"x has {channels} channels at axis 1, but the weight takes {inputs} in each of {groups} groups: {inputs * groups}"
        )
        hint = "x is (N, C, H, W), the weight (O, C / groups, R, S)"
        if last == inputs * groups:
            hint += "; this x looks like (N, H, W, C): pass x.permute(0, 3, 1, 2), in NumPy x.transpose(0, 3, 1, 2)"
        raise ShapeError("conv2d", problem, given, hint)
    if outputs % groups:
        problem = f"the weight has {outputs} output channels at axis 0, which {groups} groups do not divide"
        raise ShapeError("conv2d", problem, given, "each group makes O / groups of the output channels")
