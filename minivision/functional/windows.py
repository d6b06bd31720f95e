"""The windows of an image that attention stays inside."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..errors import ShapeError
from ._sizes import pair

__all__ = ["window_partition", "window_reverse"]


def window_partition(x: Any, window_size: Any, shift: Any = 0) -> Any:
    """Windows side by side;  x (N, H, W, C) -> (N H/R W/S, R, S, C), for window_size (R, S) or one number.

    shift: pixels that the image is rolled up and to the left before, numbers or a pair. Liu et al. 2021 (Swin), section 3.2.
    """
    size = _fitting("window_partition", pair("window_size", window_size), tuple(x.shape[1:3]))
    return ops.windows.window_partition(x, size=size, shift=pair("shift", shift))


def window_reverse(windows: Any, window_size: Any, img_size: Any, shift: Any = 0) -> Any:
    """The image (N, H, W, C), img_size = (H, W), whose window_partition of the same size and shift gives these windows."""
    image = pair("img_size", img_size)
    size = _fitting("window_reverse", pair("window_size", window_size), image)
    count = (image[0] // size[0]) * (image[1] // size[1])
    if windows.ndim != 4 or tuple(windows.shape[1:3]) != size or not count or windows.shape[0] % count:
        problem = f"windows should be (N * {count}, {size[0]}, {size[1]}, C), got {tuple(windows.shape)}"
        raise ShapeError("window_reverse", problem, f"windows {tuple(windows.shape)}, window_size {size}, img_size {image}")
    return ops.windows.window_reverse(windows, image=image, shift=pair("shift", shift))


def _fitting(operation: str, size: tuple[int, int], image: tuple[int, ...]) -> tuple[int, int]:
    """A window that divides the image; else ShapeError."""
    if min(size) < 1 or len(image) != 2 or image[0] % size[0] or image[1] % size[1]:
        problem = f"windows of {size} pixels do not divide an image of {image}"
        raise ShapeError(operation, problem, f"window_size {size}, image {image}", "pad the image with mv.functional.pad first")
    return size
