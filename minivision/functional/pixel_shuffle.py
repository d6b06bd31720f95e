"""Channels into pixels and back, and channels in another order: all rearrangements."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..errors import ShapeError

__all__ = ["channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]


def _check(function: str, input: Any, number: Any, name: str, divided: dict[str, int]) -> int:
    """The number as an int; an error where it is below 1, where axes are missing, or where it does not divide a size."""
    number = operator.index(number)
    if number < 1:
        raise ValueError(f"{function}: {name} must be at least 1, got {number}")
    given = f"input {tuple(input.shape)}, {name} {number}"
    if input.ndim < 3:
        raise ShapeError(function, f"input should have at least 3 axes (*, C, H, W), got {input.ndim}", given)
    for what, size in divided.items():
        if size % number ** (2 if what == "channels" and function == "pixel_shuffle" else 1):
            raise ShapeError(function, f"{size} {what} cannot be split by {name} {number}", given)
    return number


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """Blocks of r x r pixels made of r r channels;  input (*, C r r, H, W) -> (*, C, H r, W r),  r = upscale_factor.

    y[c, h r + i, w r + j] = x[c r r + i r + j, h, w].  Shi et al. 2016, eq. 4.
    """
    *lead, channels, h, w = input.shape if input.ndim > 2 else (1, 1, 1)
    r = _check("pixel_shuffle", input, upscale_factor, "upscale_factor", {"channels": channels})
    n = len(lead)
    x = np.reshape(input, (*lead, channels // (r * r), r, r, h, w))
    x = np.transpose(x, (*range(n), n, n + 3, n + 1, n + 4, n + 2))  # (*, C, H, r, W, r)
    return np.reshape(x, (*lead, channels // (r * r), h * r, w * r))


def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """The inverse of pixel_shuffle;  input (*, C, H r, W r) -> (*, C r r, H, W),  r = downscale_factor."""
    *lead, channels, h, w = input.shape if input.ndim > 2 else (1, 1, 1)
    r = _check("pixel_unshuffle", input, downscale_factor, "downscale_factor", {"rows": h, "columns": w})
    n = len(lead)
    x = np.reshape(input, (*lead, channels, h // r, r, w // r, r))
    x = np.transpose(x, (*range(n), n, n + 2, n + 4, n + 1, n + 3))  # (*, C, r, r, H, W)
    return np.reshape(x, (*lead, channels * r * r, h // r, w // r))


def channel_shuffle(input: Any, groups: int) -> Any:
    """The first channel of every group, the second of every group, ...;  input (N, C, *) -> (N, C, *).

    y[n, i G + g] = x[n, g C / G + i].  Zhang et al. 2018 (ShuffleNet), section 3.1.
    """
    g = _check("channel_shuffle", input, groups, "groups", {"channels": input.shape[1] if input.ndim > 1 else 0})
    n, channels, *sizes = input.shape
    return np.reshape(np.swapaxes(np.reshape(input, (n, g, channels // g, *sizes)), 1, 2), input.shape)
