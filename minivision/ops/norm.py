"""Normalisation layers."""

from __future__ import annotations

import numpy as np

from .. import kernels
from ..op import op


def _layer_norm(x, weight, bias, *, eps=1e-5):
    """y = h w + b,  h = (x - m) r,  r = 1 / sqrt(mean (x - m)^2 + eps),  m = mean x   (Ba et al. 2016)

    shapes: x(*, N), weight(N), bias(N) -> y(*, N);  keeps: x, w, m, r
    """
    m = np.mean(x, axis=-1, keepdims=True)
    centred = x - m
    r = 1.0 / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + eps)
    h = centred * r
    y = h if weight is None else h * weight
    return y if bias is None else y + bias, (x, weight, m, r, bias is not None)


def _layer_norm_vjp(dy, kept, *, eps=1e-5):
    """dx = r (g - mean g - h mean(g h)),  g = dy w;   dw = sum_rows dy h,  db = sum_rows dy"""
    x, weight, m, r, has_bias = kept
    h = (x - m) * r
    g = dy if weight is None else dy * weight
    dx = r * (g - np.mean(g, axis=-1, keepdims=True) - h * np.mean(g * h, axis=-1, keepdims=True))
    rows = tuple(range(dy.ndim - 1))
    return dx, None if weight is None else np.sum(dy * h, axis=rows), np.sum(dy, axis=rows) if has_bias else None


layer_norm = op("layer_norm", _layer_norm, _layer_norm_vjp, kernel=kernels.layer_norm)
