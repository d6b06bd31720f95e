"""Group normalisation (Wu & He 2018): each image alone, neighbouring channels together."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels
from ..errors import ShapeError
from ..op import op
from .batch_norm import affine, along, check_channels, over
from .elementwise import raw


def check_groups(x: Any, groups: int, weight: Any, bias: Any) -> None:
    """Holds x to (N, C, ...) with C divisible by groups, weight and bias to (C)."""
    check_channels("group_norm", x, weight=weight, bias=bias)
    if groups < 1 or x.shape[1] % groups:
        problem = f"x has {x.shape[1]} channels at axis 1, which {groups} groups do not divide"
        raise ShapeError("group_norm", problem, f"x {x.shape}", "groups counts the groups, not the channels of one")


def _grouped(x: Any, groups: int) -> Any:
    """(N, C, ...) -> (N, G, all that shares a mean)"""
    return np.reshape(x, (x.shape[0], groups, int(np.prod(x.shape[1:], dtype=np.int64)) // groups))


def _group_norm(x, weight, bias, *, groups, eps=1e-5, seen=None):
    """y = h w + b,  h = (x - m) r,  r = 1 / sqrt(v + eps),  m = mean x,  v = mean (x - m)^2: over a group of an image

    One channel a group is instance normalisation (Ulyanov et al. 2016). seen: a list that receives m and v, (N, G).

    shapes: x, weight, bias -> y, where x is (N, C, ...), weight and bias (C);  keeps: x, w, m, r
    """
    check_groups(x, groups, weight, bias)
    rows = _grouped(x, groups)
    m = np.mean(rows, axis=2)
    centred = rows - m[:, :, None]
    v = np.mean(centred * centred, axis=2)
    r = 1.0 / np.sqrt(v + eps)
    if seen is not None:
        seen[:] = raw(m), raw(v)
    h = np.reshape(centred * r[:, :, None], x.shape)
    return affine(h, weight, bias), (x, weight, m, r, bias is not None)


def _group_norm_vjp(dy, kept, *, groups, eps=1e-5, seen=None):
    """dx = r (g - mean g - h mean(g h)),  g = dy w,  means over a group;   dw = sum dy h,  db = sum dy"""
    x, weight, m, r, has_bias = kept
    h = (_grouped(x, groups) - m[:, :, None]) * r[:, :, None]
    g = _grouped(dy if weight is None else dy * along(weight, dy), groups)
    dx = r[:, :, None] * (g - np.mean(g, axis=2, keepdims=True) - h * np.mean(g * h, axis=2, keepdims=True))
    dw = None if weight is None else over(np.sum, dy * np.reshape(h, x.shape))
    return np.reshape(dx, x.shape), dw, over(np.sum, dy) if has_bias else None


group_norm = op("group_norm", _group_norm, _group_norm_vjp, kernel=kernels.group_norm)
