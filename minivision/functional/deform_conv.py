"""Deformable convolution: a convolution whose taps stand where another layer sends them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops
from ..errors import ShapeError
from ..kernels.window import Axis, axes, check_memory
from ._sizes import pair
from .convolution import conv2d

__all__ = ["deform_conv2d"]


def deform_conv2d(
    input: Any, offset: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, mask: Any = None
) -> Any:
    """y_o = b_o + sum_irs W_oirs m_rs x_i(p + offset_rs);  input (N, C, H, W), weight (O, C / groups, R, S) -> (N, O, P, Q).

    offset (N, 2 G R S, P, Q) holds, for each of G groups of channels and each tap, how far down and across it is moved, in
    pixels; x between pixels is bilinear, and 0 outside. mask (N, G R S, P, Q) weighs the taps.
    Dai et al. 2017, eq. 2; with mask Zhu et al. 2019, eq. 1. groups and G follow from the shapes.
    """
    _check_axes(input, offset, weight, mask)
    (n, c, h, w), (r, s) = input.shape, weight.shape[2:]
    step, around, apart = pair("stride", stride), pair("padding", padding), pair("dilation", dilation)
    down, across = axes("deform_conv2d", (h, w), (r, s), step, tuple((p, p) for p in around), apart)
    p, q = down.windows, across.windows
    groups = _check_sizes(input, offset, weight, mask, (p, q))
    check_memory("deform_conv2d", (n, c, p, r, q, s), input.dtype.itemsize)
    moves = np.transpose(np.reshape(offset, (n * groups, r, s, 2, p, q)), (0, 4, 1, 5, 2, 3))  # (N G, P, R, Q, S, 2)
    points = np.reshape(moves + _taps(down, across).astype(input.dtype), (n * groups, p * r * q * s, 2))
    images = np.reshape(input, (n * groups, c // groups, h, w))
    seen = ops.sample.sample(images, points, np.arange(n * groups))  # (N G, P R Q S, C / G)
    if mask is not None:
        weights = np.transpose(np.reshape(mask, (n * groups, r, s, p, q)), (0, 3, 1, 4, 2))
        seen = seen * np.reshape(weights, (n * groups, p * r * q * s, 1))
    patches = np.reshape(np.moveaxis(np.reshape(seen, (n, groups, p * r, q * s, c // groups)), 4, 2), (n, c, p * r, q * s))
    return conv2d(patches, weight, bias, stride=(r, s), groups=c // weight.shape[1])  # windows side by side


def _taps(down: Axis, across: Axis) -> np.ndarray:
    """(P, R, Q, S, 2): where the taps of each window stand before they are moved, in pixels of the image."""
    rows, columns = (np.arange(a.windows)[:, None] * a.stride - a.before + np.arange(a.taps) * a.dilation for a in (down, across))
    return np.stack(np.broadcast_arrays(rows[:, :, None, None], columns[None, None]), -1)


def _describe(**arguments: Any) -> str:
    return ", ".join(f"{name} {tuple(x.shape)}" for name, x in arguments.items() if x is not None)


def _check_axes(input: Any, offset: Any, weight: Any, mask: Any) -> None:
    for name, x in {"input": input, "offset": offset, "weight": weight, "mask": mask}.items():
        if x is not None and x.ndim != 4:
            raise ShapeError("deform_conv2d", f"{name} should have 4 axes, got {x.ndim}", f"{name} {tuple(x.shape)}")


def _check_sizes(input: Any, offset: Any, weight: Any, mask: Any, windows: tuple[int, ...]) -> int:
    """The number of offset groups; an error where the arguments do not fit together."""
    n, c = input.shape[:2]
    taps = math.prod(weight.shape[2:])
    groups, rest = divmod(offset.shape[1], 2 * taps)
    given = _describe(input=input, offset=offset, weight=weight, mask=mask)
    if rest or groups < 1 or c % groups:
        problem = f"offset should have 2 G {taps} channels, G a divisor of the input's {c}, got {offset.shape[1]}"
        raise ShapeError("deform_conv2d", problem, given)
    if (len(offset), *offset.shape[2:]) != (n, *windows):
        raise ShapeError("deform_conv2d", f"offset should be (N, 2 G R S, P, Q) with N, P, Q = {(n, *windows)}", given)
    if mask is not None and tuple(mask.shape) != (n, groups * taps, *windows):
        raise ShapeError("deform_conv2d", f"mask should be {(n, groups * taps, *windows)}", given)
    if weight.shape[1] < 1 or c % weight.shape[1]:
        raise ShapeError("deform_conv2d", f"weight takes {weight.shape[1]} channels, which do not divide the input's {c}", given)
    return groups
