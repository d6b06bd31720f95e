"""Convolution on csrc/conv.inc.c and csrc/depthwise.inc.c: images and weights go in and come out channels last in memory."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ._library import Kernel, empty, function, get_num_threads, pointer, takes, workspace
from .norm import sum_rows
from .window import Pair, axes, check_groups

ONE: Pair = (1, 1)
NONE: tuple[Pair, Pair] = ((0, 0), (0, 0))


@lru_cache(maxsize=4096)
def _sizes(x: Any, weight: Any, stride: Pair, padding: tuple[Pair, Pair], dilation: Pair, groups: int) -> np.ndarray:
    """struct conv_sizes; ShapeError or ValueError where the arguments do not fit together."""
    check_groups(x, weight, groups)
    down, across = axes("conv2d", x[2:], weight[2:], stride, padding, dilation)
    image = (x[0], x[2], x[3], down.windows, across.windows, groups, weight[1], weight[0] // groups)
    return np.array([*image, *weight[2:], *stride, down.before, across.before, *dilation], np.int64)


def _channels_last(x: np.ndarray) -> np.ndarray:
    """(N, C, H, W) in any layout -> (N, H, W, C), dense; a copy only where memory is in another order."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def _is_depthwise(sizes: np.ndarray) -> bool:
    """Whether every channel has one filter of its own."""
    return sizes[6] == 1 == sizes[7]


def _filters(weight: np.ndarray, depthwise: bool) -> np.ndarray:
    """weight(O, I, R, S) -> (O, R, S, I), depthwise (R, S, C); dense."""
    return np.ascontiguousarray(weight[:, 0].transpose(1, 2, 0)) if depthwise else _channels_last(weight)


def _run(name: str, sizes: np.ndarray, *arrays: np.ndarray | None) -> None:
    """Calls a kernel with the pointers of the arrays, of which the last is the result."""
    threads, dtype = get_num_threads(), arrays[-1].dtype  # type: ignore[union-attr]
    scratch = [] if name in ("depthwise", "depthwise_vjp_x") else [workspace(_scratch(name, sizes, dtype, threads), dtype)]
    function(name, dtype)(pointer(sizes), *map(pointer, [*arrays, *scratch]), threads)


def _scratch(name: str, sizes: np.ndarray, dtype: np.dtype, threads: int) -> int:
    """Elements of workspace that a kernel needs."""
    if name == "depthwise_vjp_filter":
        return function("depthwise_workspace", dtype)(int(sizes[5]), int(sizes[8] * sizes[9]))
    return function("conv_workspace", dtype)(pointer(sizes), threads)


def _conv2d(x, weight, bias, *, stride=ONE, padding=NONE, dilation=ONE, groups=1):
    sizes = _sizes(x.shape, weight.shape, stride, padding, dilation, groups)
    if not takes(x, weight, bias) or x.size == 0 or weight.size == 0:
        return NotImplemented
    depthwise = _is_depthwise(sizes)
    y = empty((len(x), int(sizes[3]), int(sizes[4]), len(weight)), x.dtype)
    bias = None if bias is None else np.ascontiguousarray(bias)
    _run("depthwise" if depthwise else "conv", sizes, _channels_last(x), _filters(weight, depthwise), bias, y)
    return y.transpose(0, 3, 1, 2), (x, weight, bias is not None)


def _conv2d_vjp(dy, kept, *, needs, stride=ONE, padding=NONE, dilation=ONE, groups=1):
    x, weight, has_bias = kept
    if not takes(dy, x, weight) or x.size == 0 or weight.size == 0:
        return NotImplemented
    sizes = _sizes(x.shape, weight.shape, stride, padding, dilation, groups)
    depthwise, dy = _is_depthwise(sizes), _channels_last(dy)
    family, dx, dw = "depthwise" if depthwise else "conv", None, None
    if needs[0]:
        n, channels, height, width = x.shape
        dx = empty((n, height, width, channels), x.dtype)
        _run(f"{family}_vjp_x", sizes, dy, _filters(weight, depthwise), dx)
    if needs[1]:
        o, i, r, s = weight.shape
        dw = empty((r, s, o) if depthwise else (o, r, s, i), x.dtype)
        _run(f"{family}_vjp_filter", sizes, dy, _channels_last(x), dw)
        dw = np.ascontiguousarray(dw.transpose(2, 0, 1)[:, None] if depthwise else dw.transpose(0, 3, 1, 2))
    db = sum_rows(dy.reshape(-1, dy.shape[-1])) if has_bias and needs[2] else None
    return None if dx is None else dx.transpose(0, 3, 1, 2), dw, db


conv2d: Kernel = Kernel(_conv2d, _conv2d_vjp)
