"""What is made from pooling: p-norms of windows, and max pooling undone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import DtypeError, ShapeError
from ..kernels.window import check_memory
from ..ops.elementwise import raw
from ..ops.indexing import scatter_add
from ._sizes import numbers
from .pooling import avg_pool1d, avg_pool2d, avg_pool3d, batched, max_pool1d, max_pool2d, max_pool3d

__all__ = ["lp_pool1d", "lp_pool2d", "lp_pool3d", "max_unpool1d", "max_unpool2d", "max_unpool3d"]


def _lp_pool(pools: Any, x: Any, p: float, kernel_size: Any, stride: Any, ceil_mode: bool, axes: int) -> Any:
    """(k mean x^p)^(1/p) by average pooling; where the sum is 0, so is the gradient. The limit p = inf is max |x|."""
    maxima, means = pools
    if abs(p) == math.inf:
        sign = math.copysign(1.0, p)
        return sign * maxima(sign * np.absolute(x), kernel_size, stride, ceil_mode=ceil_mode)
    sums = means(np.power(x, float(p)), kernel_size, stride, ceil_mode=ceil_mode)
    sums = sums * float(math.prod(numbers("kernel_size", kernel_size, axes)))
    zero = raw(sums) == 0
    return np.where(zero, 0.0, np.power(np.where(zero, 1.0, sums), 1.0 / p))


def lp_pool1d(input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Any:
    """(sum x^p)^(1/p) of each window, p = norm_type;  input (N, C, L) or (C, L) -> (.., P)."""
    return _lp_pool((max_pool1d, avg_pool1d), input, norm_type, kernel_size, stride, ceil_mode, 1)


def lp_pool2d(input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Any:
    """(sum x^p)^(1/p) of each window, p = norm_type;  input (N, C, H, W) or (C, H, W) -> (.., P, Q), as in avg_pool2d.

    p = 1 is sum pooling, p = inf max pooling of |x|. Where the sum is 0 the gradient is 0 too. In ceil_mode the sum of a
    window that hangs over the edge is scaled up to a whole window's number of elements.
    """
    return _lp_pool((max_pool2d, avg_pool2d), input, norm_type, kernel_size, stride, ceil_mode, 2)


def lp_pool3d(input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Any:
    """(sum x^p)^(1/p) of each window, p = norm_type;  input (N, C, D, H, W) or (C, D, H, W) -> (.., E, P, Q)."""
    return _lp_pool((max_pool3d, avg_pool3d), input, norm_type, kernel_size, stride, ceil_mode, 3)


def _unpooled_size(operation: str, given: tuple[int, ...], settings: Any, output_size: Any) -> tuple[int, ...]:
    """The size that max pooling came from: the given one, if it is near enough, or (P - 1) stride + kernel - 2 padding."""
    size = tuple((n - 1) * step + k - 2 * p for n, (k, step, p) in zip(given, settings, strict=True))
    if output_size is not None:
        wanted = tuple(output_size)[2:] if len(output_size) == len(size) + 2 else tuple(output_size)
        near = len(wanted) == len(size) and all(
            abs(m - n) < step for m, n, (_, step, _) in zip(wanted, size, settings, strict=True)
        )
        if not near:
            problem = f"output_size {tuple(output_size)} should differ from {size} by less than the stride on each axis"
            raise ValueError(f"{operation}: {problem}")
        size = wanted
    if min(size) < 1:
        raise ValueError(f"{operation}: the result would have size {size}; less padding, or the settings of the max pooling")
    return size


def _places(operation: str, x: Any, indices: Any, size: tuple[int, ...]) -> np.ndarray:
    """The indices (N, C, ...), which lie inside a result of that size."""
    at = np.asarray(raw(indices))
    if at.dtype.kind not in "iu":
        raise DtypeError(
            f"{operation}: indices should be integers, as max pooling with return_indices=True gives, got {at.dtype}"
        )
    if at.shape != x.shape:
        given = f"input {tuple(x.shape)}, indices {at.shape}"
        raise ShapeError(operation, "input and indices should have the same shape", given, "both come from one max pooling")
    if at.size and not 0 <= at.min() <= at.max() < math.prod(size):
        problem = f"indices should lie between 0 and {math.prod(size) - 1}, for a result of size {size}"
        raise ValueError(f"{operation}: {problem}, got {at.min()} to {at.max()}")
    return at


def _unpool(
    operation: str, x: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any, axes: int
) -> Any:
    """Zeros, with each value of x where its index says; of several in one place the last."""
    kernel = numbers("kernel_size", kernel_size, axes)
    step = kernel if stride is None else numbers("stride", stride, axes)
    batch = batched(operation, x, axes)
    settings = list(zip(kernel, step, numbers("padding", padding, axes), strict=True))
    size = _unpooled_size(operation, batch.shape[2:], settings, output_size)
    shape = (*x.shape[: x.ndim - axes], *size)
    check_memory(operation, shape, x.dtype.itemsize)
    images, each = math.prod(batch.shape[:2]), math.prod(batch.shape[2:])
    at, order = _places(operation, x, indices, size).reshape(images, each), np.arange(each)
    last = np.full((images, math.prod(size)), -1)
    np.put_along_axis(last, at, order[None], axis=1)
    values = np.where(np.take_along_axis(last, at, 1) == order, np.reshape(x, (images, each)), 0.0)
    return np.reshape(scatter_add(values, at, axis=1, size=math.prod(size)), shape)


def max_unpool1d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Any:
    """Undoes max_pool1d;  input and indices (N, C, P) or (C, P) -> (.., L). As max_unpool2d."""
    return _unpool("max_unpool1d", input, indices, kernel_size, stride, padding, output_size, 1)


def max_unpool2d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Any:
    """Puts each value where max_pool2d with return_indices took it, 0 elsewhere;  (N, C, P, Q) or (C, P, Q) -> (.., H, W).

    H = (P - 1) stride + kernel_size - 2 padding, or as output_size says, which differs from that by less than the stride.
    Where windows overlapped and an index comes several times, the last value stays. Zeiler, Taylor & Fergus 2011.
    """
    return _unpool("max_unpool2d", input, indices, kernel_size, stride, padding, output_size, 2)


def max_unpool3d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Any:
    """Undoes max_pool3d;  input and indices (N, C, E, P, Q) or (C, E, P, Q) -> (.., D, H, W). As max_unpool2d."""
    return _unpool("max_unpool3d", input, indices, kernel_size, stride, padding, output_size, 3)
