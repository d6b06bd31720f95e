"""Matrix products."""

from __future__ import annotations

import math

import numpy as np

from .. import kernels
from ..op import op
from .elementwise import unbroadcast


def transpose_last(x):
    """(..., M, N) -> (..., N, M)"""
    return np.swapaxes(x, -1, -2)


def rows_of(x):
    """(..., N) -> (M, N): all leading axes as one"""
    return np.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def _matmul(a, b):
    """y_ij = sum_p a_ip b_pj

    shapes: a(..., M, K), b(..., K, N) -> y(..., M, N);  keeps: a, b
    """
    return np.matmul(a, b), (a, b)


def _matmul_vjp(dy, kept, *, needs):
    """da = dy b^T,  db = a^T dy"""
    a, b = kept
    da = unbroadcast(matmul(dy, transpose_last(b)), a.shape) if needs[0] else None
    if not needs[1]:
        return da, None
    if b.ndim == 2:  # one b for the whole batch: one product over all rows of it
        return da, matmul(transpose_last(rows_of(a)), rows_of(dy))
    return da, unbroadcast(matmul(transpose_last(a), dy), b.shape)


def _linear(x, weight, bias):
    """y = x W^T + b

    shapes: x(*, I), weight(O, I), bias(O) -> y(*, O);  keeps: x, W
    """
    y = np.matmul(x, transpose_last(weight))
    return y if bias is None else y + bias, (x, weight, bias is not None)


def _linear_vjp(dy, kept, *, needs):
    """dx = dy W,  dW = dy^T x,  db = sum_rows dy"""
    x, weight, has_bias = kept
    rows, columns = rows_of(dy), rows_of(x)
    dx = np.reshape(matmul(rows, weight), x.shape) if needs[0] else None
    dw = matmul(transpose_last(rows), columns) if needs[1] else None
    return dx, dw, np.sum(rows, axis=0) if has_bias and needs[2] else None


matmul = op("matmul", _matmul, _matmul_vjp, kernel=kernels.matmul)
linear = op("linear", _linear, _linear_vjp, kernel=kernels.linear)
