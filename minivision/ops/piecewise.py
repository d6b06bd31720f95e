"""Activations made of straight lines (and, for hard swish, a parabola)."""

from __future__ import annotations

import numpy as np

from .. import kernels
from ..op import op
from .elementwise import raw


def _relu(x):
    """y = max(x, 0)   (Nair & Hinton 2010)

    shapes: x -> y;  keeps: y
    """
    y = np.maximum(x, 0)
    return y, (y,)


def _relu_vjp(dy, kept):
    """dx = dy [y > 0]"""
    return np.where(raw(kept[0]) <= 0, 0.0, dy)


def _leaky_relu(x, *, negative_slope=0.01):
    """y = x where x > 0, a x elsewhere;  a = negative_slope   (Maas et al. 2013)

    shapes: x -> y;  keeps: x
    """
    return np.where(raw(x) > 0, x, negative_slope * x), (x,)


def _leaky_relu_vjp(dy, kept, *, negative_slope=0.01):
    """dx = dy where x > 0, a dy elsewhere"""
    return np.where(raw(kept[0]) > 0, dy, negative_slope * dy)


def _hardtanh(x, *, min=-1.0, max=1.0):
    """y = x, held between min and max

    shapes: x -> y;  keeps: y
    """
    y = np.clip(x, min, max)
    return y, (y,)


def _hardtanh_vjp(dy, kept, *, min=-1.0, max=1.0):
    """dx = dy [min < y < max]"""
    y = raw(kept[0])
    return np.where((y <= min) | (y >= max), 0.0, dy)


def _hardsigmoid(x):
    """y = min(max(x + 3, 0), 6) / 6   (Howard et al. 2019, section 5.2)

    shapes: x -> y;  keeps: x
    """
    return np.clip(x + 3.0, 0.0, 6.0) / 6.0, (x,)


def _hardsigmoid_vjp(dy, kept):
    """dx = dy / 6 [-3 < x < 3]"""
    x = raw(kept[0])
    return np.where((x > -3.0) & (x < 3.0), dy / 6.0, 0.0)


def _hardswish(x):
    """y = x min(max(x + 3, 0), 6) / 6   (Howard et al. 2019, section 5.2)

    shapes: x -> y;  keeps: x
    """
    return x * np.clip(x + 3.0, 0.0, 6.0) / 6.0, (x,)


def _hardswish_vjp(dy, kept):
    """dx = dy (x / 3 + 1/2) between -3 and 3, 0 below, dy above"""
    (x,) = kept
    return np.where(raw(x) <= -3.0, 0.0, np.where(raw(x) < 3.0, dy * (x / 3.0 + 0.5), dy))


relu = op("relu", _relu, _relu_vjp, kernel=kernels.relu, method="relu")
leaky_relu = op("leaky_relu", _leaky_relu, _leaky_relu_vjp, kernel=kernels.leaky_relu)
hardtanh = op("hardtanh", _hardtanh, _hardtanh_vjp, kernel=kernels.hardtanh)
hardsigmoid = op("hardsigmoid", _hardsigmoid, _hardsigmoid_vjp, kernel=kernels.hardsigmoid)
hardswish = op("hardswish", _hardswish, _hardswish_vjp, kernel=kernels.hardswish)
