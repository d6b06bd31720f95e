"""Pooling: the largest value or the mean of each window of a signal, an image or a volume.

A signal is an image of one row. In a volume the windows are taken in each plane first, then along the depth: maxima and
sums do not mind, and the counts of a mean multiply.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ops
from ..errors import ShapeError
from ..tape import Tensor
from ._sizes import numbers

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool1d", "max_pool2d", "max_pool3d",
]  # fmt: skip

Settings = dict[str, tuple[int, ...]]  # a number for each axis
Pool = Callable[..., tuple[Any, Any]]  # of an image (N, C, H, W), by settings of two axes: y, and the pixels taken, if wanted
SHAPES = {1: "(N, C, L) or (C, L)", 2: "(N, C, H, W) or (C, H, W)", 3: "(N, C, D, H, W) or (C, D, H, W)"}
NEUTRAL = {"kernel": 1, "stride": 1, "padding": 0, "dilation": 1}  # these settings, or as many bins as pixels, change nothing


def batched(operation: str, x: Any, axes: int) -> Any:
    """x, or where it is a single signal, image or volume (C, ...), a batch of it."""
    if x.ndim not in (axes + 1, axes + 2):
        problem = f"input should be {SHAPES[axes]}, got {x.ndim} axes"
        raise ShapeError(operation, problem, f"input {tuple(x.shape)}", "reshape it, or pool over another number of axes")
    return x if x.ndim == axes + 2 else np.expand_dims(x, 0)


def _image(pool: Pool, x: Any, settings: Settings, rows: int | None, columns: int | None) -> tuple[Any, Any]:
    """Pools an image whose rows and columns are these axes of the settings; one that is None stays as it is."""
    where = ((2, rows), (3, columns))
    chosen = {
        name: tuple(NEUTRAL.get(name, x.shape[axis]) if i is None else values[i] for axis, i in where)
        for name, values in settings.items()
    }
    return pool(x, **chosen)


def _volume(pool: Pool, x: Any, settings: Settings) -> tuple[Any, Any]:
    """(N, C, D, H, W) -> (N, C, E, P, Q): each plane, then along the depth."""
    n, c, d, h, w = x.shape
    y, inner = _image(pool, np.reshape(np.transpose(x, (0, 2, 1, 3, 4)), (n * d, c, h, w)), settings, 1, 2)
    p, q = y.shape[2:]
    deep = np.reshape(np.transpose(np.reshape(y, (n, d, c, p, q)), (0, 2, 1, 3, 4)), (n, c, d, p * q))
    z, outer = _image(pool, deep, settings, 0, None)
    if outer is not None:
        inner = inner.reshape(n, d, c, p * q).transpose(0, 2, 1, 3)
        plane = np.maximum(outer, 0) // (p * q)
        outer = np.where(outer < 0, -1, plane * (h * w) + np.take_along_axis(inner, plane, 2)).reshape(n, c, -1, p, q)
    return np.reshape(z, (n, c, -1, p, q)), outer


def _pool(operation: str, pool: Pool, x: Any, settings: Settings, axes: int) -> tuple[Any, Any]:
    """Pools over one, two or three axes, with or without a batch in front."""
    batch = batched(operation, x, axes)
    if axes == 1:
        y, taken = _image(pool, np.expand_dims(batch, 2), settings, None, 0)
        y, taken = np.squeeze(y, 2), None if taken is None else taken.squeeze(2)
    else:
        y, taken = _image(pool, batch, settings, 0, 1) if axes == 2 else _volume(pool, batch, settings)
    return (y, taken) if x.ndim == batch.ndim else (np.squeeze(y, 0), None if taken is None else taken.squeeze(0))


def _windows(axes: int, kernel_size: Any, stride: Any, **more: Any) -> Settings:
    """The settings of windows that slide."""
    kernel = numbers("kernel_size", kernel_size, axes)
    step = kernel if stride is None else numbers("stride", stride, axes)
    return {"kernel": kernel, "stride": step, **{name: numbers(name, value, axes) for name, value in more.items()}}


# ------------------------------------------------------------------------------------------------------------- maxima


def _with_places(pool: Any, **settings: Any) -> Pool:
    """A max pooling of images that tells which pixels it took, (N, C, P, Q)."""

    def run(x: Any, **chosen: Any) -> tuple[Any, Any]:
        seen: list[np.ndarray] = []
        return pool(x, seen=seen, **settings, **chosen), np.ascontiguousarray(seen[0].transpose(0, 3, 1, 2))

    return run


def _without_places(pool: Any, **settings: Any) -> Pool:
    return lambda x, **chosen: (pool(x, **settings, **chosen), None)


def _maxima(operation: str, pool: Any, x: Any, settings: Settings, axes: int, indices: bool, **more: Any) -> Any:
    """A max pooling: y, or y and the indices of the elements that were taken."""
    y, taken = _pool(operation, (_with_places if indices else _without_places)(pool, **more), x, settings, axes)
    return y if taken is None else (y, Tensor(taken) if isinstance(y, Tensor) else taken)


def max_pool1d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest value of each window;  input (N, C, L) or (C, L) -> (.., P). Settings as in max_pool2d."""
    settings = _windows(1, kernel_size, stride, padding=padding, dilation=dilation)
    return _maxima("max_pool1d", ops.pool.max_pool2d, input, settings, 1, return_indices, ceil_mode=bool(ceil_mode))


def max_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest value of each window, padding left out;  input (N, C, H, W) or (C, H, W) -> (.., P, Q).

    P = floor((H + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1, rounded up in ceil_mode unless the last
    window would begin behind the image. stride defaults to kernel_size. return_indices: also h W + w of each value taken,
    -1 where a dilated window holds no pixel.
    """
    settings = _windows(2, kernel_size, stride, padding=padding, dilation=dilation)
    return _maxima("max_pool2d", ops.pool.max_pool2d, input, settings, 2, return_indices, ceil_mode=bool(ceil_mode))


def max_pool3d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest value of each window;  input (N, C, D, H, W) or (C, D, H, W) -> (.., E, P, Q). As max_pool2d."""
    settings = _windows(3, kernel_size, stride, padding=padding, dilation=dilation)
    return _maxima("max_pool3d", ops.pool.max_pool2d, input, settings, 3, return_indices, ceil_mode=bool(ceil_mode))


# -------------------------------------------------------------------------------------------------------------- means


def _means(operation: str, x: Any, settings: Settings, axes: int, ceil_mode: bool, include: bool, divisor: Any = None) -> Any:
    more = {"ceil_mode": bool(ceil_mode), "count_include_pad": bool(include), "divisor": divisor}
    return _pool(operation, _without_places(ops.pool.avg_pool2d, **more), x, settings, axes)[0]


def _divisor(divisor: int | None) -> int | None:
    if divisor is not None and not 1 <= abs(divisor) < 2**63:
        problem = "must not be 0" if divisor == 0 else "must lie between -2^63 and 2^63"
        raise ValueError(f"divisor_override {problem}, got {divisor}")
    return divisor


def avg_pool1d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True
) -> Any:
    """The mean of each window;  input (N, C, L) or (C, L) -> (.., P). Settings as in avg_pool2d."""
    settings = _windows(1, kernel_size, stride, padding=padding)
    return _means("avg_pool1d", input, settings, 1, ceil_mode, count_include_pad)


def avg_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Any:  # fmt: skip
    """The mean of each window;  input (N, C, H, W) or (C, H, W) -> (.., P, Q), sizes as in max_pool2d.

    stride defaults to kernel_size. count_include_pad: zeros of the padding count as values; divisor_override divides the
    sums instead of a count.
    """
    settings = _windows(2, kernel_size, stride, padding=padding)
    return _means("avg_pool2d", input, settings, 2, ceil_mode, count_include_pad, _divisor(divisor_override))


def avg_pool3d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Any:  # fmt: skip
    """The mean of each window;  input (N, C, D, H, W) or (C, D, H, W) -> (.., E, P, Q). Settings as in avg_pool2d."""
    settings, divisor = _windows(3, kernel_size, stride, padding=padding), _divisor(divisor_override)
    y = _means("avg_pool3d", input, settings, 3, ceil_mode, count_include_pad, 1 if divisor else None)
    return y / float(divisor) if divisor else y


# ------------------------------------------------------------------------------------------- as many windows as asked for


def _bins(operation: str, x: Any, output_size: Any, axes: int) -> Settings:
    """The number of bins along each axis; None keeps a size."""
    given = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * axes
    shape = batched(operation, x, axes).shape[2:]
    kept = [shape[i] if want is None and i < axes else want for i, want in enumerate(given)]
    return {"size": numbers("output_size", kept, axes)}


def _adaptive_means(operation: str, x: Any, output_size: Any, axes: int) -> Any:
    settings = _bins(operation, x, output_size, axes)
    return _pool(operation, _without_places(ops.adaptive_pool.adaptive_avg_pool2d), x, settings, axes)[0]


def _adaptive_maxima(operation: str, x: Any, output_size: Any, axes: int, indices: bool) -> Any:
    settings = _bins(operation, x, output_size, axes)
    return _maxima(operation, ops.adaptive_pool.adaptive_max_pool2d, x, settings, axes, indices)


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """The means over output_size bins that cover the signal;  input (N, C, L) or (C, L) -> (.., P)."""
    return _adaptive_means("adaptive_avg_pool1d", input, output_size, 1)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """The means over output_size bins that cover the image;  input (N, C, H, W) or (C, H, W) -> (.., P, Q).

    Bin i runs from floor(i H / P) to ceil((i + 1) H / P) - 1. None in output_size keeps a size. 1: global pooling.
    """
    return _adaptive_means("adaptive_avg_pool2d", input, output_size, 2)


def adaptive_avg_pool3d(input: Any, output_size: Any) -> Any:
    """The means over output_size bins that cover the volume;  input (N, C, D, H, W) or (C, D, H, W) -> (.., E, P, Q)."""
    return _adaptive_means("adaptive_avg_pool3d", input, output_size, 3)


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The maxima of output_size bins that cover the signal;  input (N, C, L) or (C, L) -> (.., P)."""
    return _adaptive_maxima("adaptive_max_pool1d", input, output_size, 1, return_indices)


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The maxima of output_size bins that cover the image;  input (N, C, H, W) or (C, H, W) -> (.., P, Q).

    Bins as in adaptive_avg_pool2d. return_indices: also h W + w of each value taken.
    """
    return _adaptive_maxima("adaptive_max_pool2d", input, output_size, 2, return_indices)


def adaptive_max_pool3d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The maxima of output_size bins that cover the volume;  input (N, C, D, H, W) or (C, D, H, W) -> (.., E, P, Q)."""
    return _adaptive_maxima("adaptive_max_pool3d", input, output_size, 3, return_indices)
