"""Resizing images: one resampling matrix for each axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

from .. import ops
from ..errors import DtypeError, ShapeError
from ..kernels.window import check_memory
from ..ops.taps import Taps, antialiased, bin_means, cubic_convolution, linear, nearest
from ._sizes import numbers

__all__ = ["interpolate"]

AXES = {"nearest": (1, 2, 3), "nearest-exact": (1, 2, 3), "area": (1, 2, 3), "linear": (1,), "bilinear": (2,), "bicubic": (2,),
        "trilinear": (3,)}  # fmt: skip
SMOOTH = ("linear", "bilinear", "bicubic", "trilinear")


def interpolate(
    input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None, antialias: bool = False,
) -> Any:  # fmt: skip
    """An image of another size;  input (N, C, L), (N, C, H, W) or (N, C, D, H, W) -> (N, C, *size), floor(sizes * scale_factor).

    mode: "nearest" (element floor(i n / m), as OpenCV's old rule), "nearest-exact" (the one whose middle is nearest),
    "linear", "bilinear" or "trilinear" by the number of axes, "bicubic" (Keys 1981, a = -3/4; 2 axes), "area" (means of
    bins, as adaptive_avg_pool2d). align_corners: the outer pixels' middles stay in place, instead of their outer edges.
    antialias: bilinear and bicubic (a = -1/2) average over all that a new pixel covers, as Pillow does.
    A scale_factor is also the ratio of the grids, unless recompute_scale_factor: then size / sizes is.
    """
    count = _check_mode(input, mode, align_corners, antialias)
    old = tuple(input.shape[2:])
    new, ratios = _new_sizes(old, size, scale_factor, recompute_scale_factor)
    if min(new) < 1 or min(old) < 1:
        given = f"input {tuple(input.shape)}, size {size}, scale_factor {scale_factor}"
        raise ShapeError("interpolate", f"sizes should be at least 1, got {old} -> {new}", given)
    check_memory("interpolate", (*input.shape[:2], *new), input.dtype.itemsize)
    build = _builder(mode, bool(align_corners), antialias)
    for i in sorted(range(count), key=lambda i: (new[i] / old[i], -i)):  # what shrinks first: least to compute
        if (new[i], ratios[i]) != (old[i], 1.0):
            input = ops.resample.resample(input, axis=i + 2, taps=build(new[i], old[i], ratios[i]))
    return input


def _check_mode(input: Any, mode: str, align_corners: bool | None, antialias: bool) -> int:
    """The number of axes that are resized; an error where the mode does not go with them or with the other arguments."""
    count = input.ndim - 2
    if mode not in AXES:
        raise ValueError(f"interpolate: mode is one of {', '.join(AXES)}, got {mode!r}")
    if count not in AXES[mode]:
        wanted = " or ".join(f"{n + 2}" for n in AXES[mode])
        raise ShapeError("interpolate", f"mode {mode!r} takes an input of {wanted} axes, got {count + 2}", f"input {input.shape}")
    if align_corners is not None and mode not in SMOOTH:
        raise ValueError(f"interpolate: align_corners goes with {', '.join(SMOOTH)}, not with {mode!r}")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError(f"interpolate: antialias goes with bilinear and bicubic, not with {mode!r}")
    if not mode.startswith("nearest") and input.dtype.kind != "f":
        raise DtypeError(f"interpolate: mode {mode!r} makes fractions, got {input.dtype}; convert the input with .float()")
    return count


def _new_sizes(old: tuple[int, ...], size: Any, scale_factor: Any, recompute: bool | None) -> tuple[Any, Any]:
    """The new sizes, and for each axis how many old elements go into a new one."""
    if (size is None) == (scale_factor is None):
        raise ValueError(f"interpolate: give size or scale_factor, one of them; got {size} and {scale_factor}")
    if size is not None:
        if recompute:
            raise ValueError("interpolate: recompute_scale_factor goes with scale_factor; the size tells the scale already")
        new = numbers("size", size, len(old))
        return new, [n / m if m else 0.0 for n, m in zip(old, new, strict=True)]
    factors = tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * len(old)
    if len(factors) != len(old) or not all(isinstance(f, Real) and 0.0 < float(f) * max(1, *old) < math.inf for f in factors):
        raise ValueError(f"interpolate: scale_factor is a number above 0 or {len(old)} of them, got {scale_factor}")
    factors = tuple(map(float, factors))
    new = tuple(int(n * f) for n, f in zip(old, factors, strict=True))
    if recompute:
        return new, [n / m if m else 0.0 for n, m in zip(old, new, strict=True)]
    return new, [1.0 / f for f in factors]


def _builder(mode: str, align_corners: bool, antialias: bool) -> Callable[[int, int, float], Taps]:
    """What makes the matrix of one axis from its new size, its old size and old elements in a new one."""
    if mode.startswith("nearest"):
        return lambda new, old, ratio: nearest(new, old, ratio, mode == "nearest-exact")
    if mode == "area":
        return lambda new, old, ratio: bin_means(new, old)
    make = cubic_convolution if mode == "bicubic" else linear

    def build(new: int, old: int, ratio: float) -> Taps:
        ratio = ratio if not align_corners else (old - 1) / (new - 1) if new > 1 else 0.0
        if antialias:
            return antialiased(new, old, ratio, "cubic" if mode == "bicubic" else "linear")
        return make(new, old, ratio, align_corners)

    return build
