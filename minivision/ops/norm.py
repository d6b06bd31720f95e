"""Layer, RMS and local response normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels
from ..errors import ShapeError
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


def _add_layer_norm(x, residual, weight, bias, *, eps=1e-5):
    """s = x + residual, and h w + b, h = (s - m) r: its layer normalisation; the two in one array, s first

    shapes: x(*, N), residual(*, N), weight(N), bias(N) -> y(2, *, N);  keeps: y, w, m, r
    """
    s = x + residual
    normalised, (_, *kept) = _layer_norm(s, weight, bias, eps=eps)
    y = np.stack([s, normalised])
    return y, (y, *kept)


def _add_layer_norm_vjp(parts, kept, *, eps=1e-5):
    """dx = dresidual = dy_0 + d,  where d, dw, db are layer_norm's for dy_1"""
    y, *more = kept
    d, dw, db = _layer_norm_vjp(parts[1], (y[0], *more), eps=eps)
    dx = parts[0] + d
    return dx, dx, dw, db


def _rms_norm(x, weight, *, eps=1e-5):
    """y = h w,  h = x r,  r = 1 / sqrt(mean x^2 + eps)   (Zhang & Sennrich 2019, eq. 4)

    shapes: x(*, N), weight(N) -> y(*, N);  keeps: x, w, r
    """
    r = 1.0 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    h = x * r
    return h if weight is None else h * weight, (x, weight, r)


def _rms_norm_vjp(dy, kept, *, eps=1e-5):
    """dx = r (g - h mean(g h)),  g = dy w;   dw = sum_rows dy h"""
    x, weight, r = kept
    h = x * r
    g = dy if weight is None else dy * weight
    dx = r * (g - h * np.mean(g * h, axis=-1, keepdims=True))
    return dx, None if weight is None else np.sum(dy * h, axis=tuple(range(dy.ndim - 1)))


def _neighbours(x: Any, before: int, after: int) -> Any:
    """y_c = x_(c - before) + .. + x_(c + after) over the channels, axis 1; 0 outside."""
    before, after = (min(n, x.shape[1]) for n in (before, after))
    blank = [np.zeros((x.shape[0], n, *x.shape[2:]), x.dtype) for n in (before, after)]
    padded = np.concatenate([blank[0], x, blank[1]], axis=1)
    y = padded[:, : x.shape[1]]
    for first in range(1, before + after + 1):
        y = y + padded[:, first : first + x.shape[1]]
    return y


def _local_response_norm(x, *, size, alpha=1e-4, beta=0.75, k=1.0):
    """y_c = x_c s_c^-beta,  s_c = k + alpha / size sum of x_j^2 over the `size` channels around c

    Krizhevsky et al. 2012, section 3.3, where alpha stands for this alpha / size. An even size has one channel more
    before c than after it.

    shapes: x -> y, where x is (N, C, ...);  keeps: x, s
    """
    if x.ndim < 2:
        raise ShapeError("local_response_norm", f"x should have at least 2 axes (N, C, ...), got {x.ndim}", f"x {x.shape}")
    s = k + alpha / size * _neighbours(x * x, size // 2, (size - 1) // 2)
    return x * np.power(s, -beta), (x, s)


def _local_response_norm_vjp(dy, kept, *, size, alpha=1e-4, beta=0.75, k=1.0):
    """dx_c = dy_c s_c^-beta - 2 alpha beta / size x_c sum of dy_j x_j s_j^(-beta-1) over the j that c is around"""
    x, s = kept
    power = np.power(s, -beta)
    around = _neighbours(dy * x * power / s, (size - 1) // 2, size // 2)
    return dy * power - 2.0 * alpha * beta / size * x * around


layer_norm = op("layer_norm", _layer_norm, _layer_norm_vjp, kernel=kernels.layer_norm)
add_layer_norm = op("add_layer_norm", _add_layer_norm, _add_layer_norm_vjp, kernel=kernels.add_layer_norm)
rms_norm = op("rms_norm", _rms_norm, _rms_norm_vjp, kernel=kernels.rms_norm)
local_response_norm = op("local_response_norm", _local_response_norm, _local_response_norm_vjp)
