"""Weight normalisation (Salimans & Kingma 2016): a weight as a direction and a length."""

from __future__ import annotations

import numpy as np

from ..errors import ShapeError
from ..op import op


def norm_shape(shape: tuple[int, ...], dim: int | None) -> tuple[int, ...]:
    """The shape of the norms over all axes of a weight but `dim`; over all axes where dim is None."""
    if dim is None:
        return (1,) * len(shape)
    if not -len(shape) <= dim < len(shape):
        raise ValueError(f"weight_norm: dim must lie between {-len(shape)} and {len(shape) - 1}, or be None, got {dim}")
    return tuple(n if i == dim % len(shape) else 1 for i, n in enumerate(shape))


def _rest(x, dim):
    return tuple(i for i in range(x.ndim) if dim is None or i != dim % x.ndim)


def _weight_norm(v, g, *, dim=0):
    """w = g v / |v|,  |v| the 2-norm over all axes but `dim` (over all where dim is None)   (eq. 2)

    shapes: v, g -> w, where g has size 1 at the axes of the norm;  keeps: v, g, |v|
    """
    if tuple(g.shape) != norm_shape(v.shape, dim):
        problem = f"g is {tuple(g.shape)}, but v with dim={dim} has {norm_shape(v.shape, dim)} lengths"
        raise ShapeError("weight_norm", problem, f"v {tuple(v.shape)}, g {tuple(g.shape)}", "one length for each direction")
    length = np.sqrt(np.sum(v * v, axis=_rest(v, dim), keepdims=True))
    return v * (g / length), (v, g, length)


def _weight_norm_vjp(dw, kept, *, dim=0):
    """dg = <dw, v> / |v|,  dv = g / |v| (dw - v <dw, v> / |v|^2)   (eq. 3)"""
    v, g, length = kept
    dot = np.sum(dw * v, axis=_rest(v, dim), keepdims=True)
    return g / length * (dw - v * (dot / (length * length))), dot / length


weight_norm = op("weight_norm", _weight_norm, _weight_norm_vjp)
