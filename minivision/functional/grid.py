"""Images read at the points of a grid: affine_grid, grid_sample. Jaderberg et al. 2015, spatial transformers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops
from ..errors import ShapeError
from ..ops.elementwise import raw
from ..ops.sample import mirrored

__all__ = ["affine_grid", "grid_sample"]

CURVES = {"bilinear": "linear", "nearest": "nearest", "bicubic": "cubic"}
PADDINGS = ("zeros", "border", "reflection")


def affine_grid(theta: Any, size: Any, align_corners: bool | None = None) -> Any:
    """The points theta (x, y, 1) for each pixel (x, y);  theta (N, 2, 3), size (N, C, H, W) -> (N, H, W, 2).

    With three axes theta (N, 3, 4), size (N, C, D, H, W) -> (N, D, H, W, 3). Coordinates run from -1 to 1: between the
    middles of the outer pixels where align_corners, else between their outer edges; x, across, comes first.
    """
    sizes = tuple(map(int, size))
    count = len(sizes) - 2
    if count not in (2, 3) or tuple(theta.shape) != (sizes[0], count, count + 1) or min(sizes) < 1:
        problem = "theta should be (N, 2, 3) for a size (N, C, H, W) or (N, 3, 4) for (N, C, D, H, W), all sizes above 0"
        raise ShapeError("affine_grid", problem, f"theta {tuple(theta.shape)}, size {sizes}")
    axes = [_middles(n, bool(align_corners)) for n in sizes[2:]]
    places = [*np.meshgrid(*axes, indexing="ij")[::-1], np.ones(sizes[2:])]  # x, y, (z,) 1
    base = np.reshape(np.stack(places, -1), (-1, count + 1)).astype(theta.dtype)
    return np.reshape(ops.matmul.matmul(base, np.swapaxes(theta, 1, 2)), (sizes[0], *sizes[2:], count))


def _middles(size: int, align_corners: bool) -> np.ndarray:
    """The coordinates of the pixels' middles along an axis; of a single pixel 0."""
    ends = np.linspace(-1.0, 1.0, size) if size > 1 else np.zeros(1)
    return ends if align_corners else ends * ((size - 1) / size)


def grid_sample(
    input: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Any:
    """The image at the points of a grid;  input (N, C, H, W), grid (N, P, Q, 2) -> (N, C, P, Q).

    Also input (N, C, D, H, W), grid (N, O, P, Q, 3) -> (N, C, O, P, Q). The last axis of grid holds x (across), y (down),
    then z, from -1 to 1 as in affine_grid. mode: "bilinear" (with 3 axes trilinear), "nearest", "bicubic" (2 axes). A
    point outside sees "zeros", the "border", or the image's "reflection". A coordinate of NaN gives NaN ("nearest": the
    border's or 0).
    """
    count = _check_grid(input, grid, mode, padding_mode)
    sizes = input.shape[2:]
    axes = [_pixels(grid[..., -1 - i], n, bool(align_corners)) for i, n in enumerate(sizes)]  # y before x
    if mode != "bicubic":  # there the 4 x 4 pixels are padded, not the point
        axes = [_moved_inside(p, n, padding_mode, bool(align_corners)) for p, n in zip(axes, sizes, strict=True)]
    points = np.reshape(np.stack(axes, -1), (len(grid), math.prod(grid.shape[1:-1]), count))
    padding = padding_mode if mode == "bicubic" else "zeros"
    y = ops.sample.sample(
        input, points, np.arange(len(grid)), curve=CURVES[mode], padding=padding, align_corners=bool(align_corners)
    )
    return np.moveaxis(np.reshape(y, (*grid.shape[:-1], input.shape[1])), -1, 1)


def _check_grid(input: Any, grid: Any, mode: str, padding_mode: str) -> int:
    """The number of axes; an error where the arguments do not fit together."""
    count = input.ndim - 2
    if mode not in CURVES or padding_mode not in PADDINGS:
        wanted = f"mode is one of {', '.join(CURVES)}; padding_mode one of {', '.join(PADDINGS)}"
        raise ValueError(f"grid_sample: {wanted}; got {mode!r}, {padding_mode!r}")
    fits = grid.ndim == input.ndim and grid.shape[-1] == count and len(grid) == len(input)
    if count not in (2, 3) or not fits or 0 in input.shape[2:]:
        problem = "input should be (N, C, H, W) with a grid (N, P, Q, 2), or (N, C, D, H, W) with (N, O, P, Q, 3)"
        raise ShapeError("grid_sample", problem, f"input {tuple(input.shape)}, grid {tuple(grid.shape)}")
    if mode == "bicubic" and count != 2:
        raise ValueError("grid_sample: bicubic takes an input (N, C, H, W); use bilinear for three axes")
    return count


def _pixels(coordinate: Any, size: int, align_corners: bool) -> Any:
    """Coordinates from -1 to 1 as places among the pixels, of which the first lies at 0."""
    return (coordinate + 1.0) * ((size - 1) / 2.0) if align_corners else ((coordinate + 1.0) * float(size) - 1.0) / 2.0


def _moved_inside(p: Any, size: int, padding: str, align_corners: bool) -> Any:
    """Places outside the image moved to its border, or reflected and then moved; no gradient flows where they are."""
    if padding == "zeros":
        return p
    p = mirrored(p, size, align_corners) if padding == "reflection" else p
    outside = np.clip(raw(p), 0.0, size - 1.0)
    return np.where((raw(p) > 0.0) & (raw(p) < size - 1.0), p, outside)
