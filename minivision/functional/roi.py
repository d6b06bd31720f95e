"""Regions of interest: a box of an image as a small image of fixed size, for detection heads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import ops
from ..errors import ShapeError
from ..ops.elementwise import raw
from ._sizes import pair

__all__ = ["roi_align", "roi_pool"]


def _regions(function: str, input: Any, boxes: Any, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """(image (K,), corners (K, 4) times scale) from boxes (K, 5) or from a list of (L, 4) for each image."""
    if input.ndim != 4 or 0 in input.shape[1:]:
        raise ShapeError(function, "input should be (N, C, H, W) with C, H and W above 0", f"input {tuple(input.shape)}")
    if isinstance(boxes, (list, tuple)):
        parts = [np.asarray(raw(b)) for b in boxes]
        if len(parts) != len(input) or any(b.ndim != 2 or b.shape[1] != 4 for b in parts):
            shapes = [b.shape for b in parts]
            raise ShapeError(function, f"a list of boxes holds {len(input)} arrays (L, 4), one for each image", f"boxes {shapes}")
        image = np.repeat(np.arange(len(parts)), [len(b) for b in parts])
        corners = np.concatenate([np.empty((0, 4), input.dtype), *parts])
    else:
        table = np.asarray(raw(boxes))
        if table.ndim != 2 or table.shape[1] != 5:
            raise ShapeError(function, "boxes should be (K, 5): image number, x1, y1, x2, y2; or a list", f"boxes {table.shape}")
        _check_finite(function, table)
        image, corners = table[:, 0].astype(np.int64), table[:, 1:]
    if image.size and not 0 <= image.min() <= image.max() < len(input):
        raise ValueError(f"{function}: images are numbered from 0 to {len(input) - 1}, got {image.min()} to {image.max()}")
    _check_finite(function, corners)
    return image, corners.astype(input.dtype) * scale


def _check_finite(function: str, boxes: np.ndarray) -> None:
    if not np.isfinite(boxes).all():
        raise ValueError(f"{function}: boxes should be finite numbers, got NaN or infinity")


def _output_size(function: str, output_size: Any) -> tuple[int, int]:
    size = pair("output_size", output_size)
    if min(size) < 1:
        raise ValueError(f"{function}: output_size must be at least 1 x 1, got {size}")
    return size


# --------------------------------------------------------------------------------------------------------- RoI align

CHUNK = 2**24  # elements that are read at a time: points times channels


def _samples(start: Any, length: Any, bins: int, ratio: int, size: int) -> tuple[np.ndarray, int]:
    """(the places (bins n) of n samples in each bin along one axis, n).

    A place up to one pixel outside counts as on the border; further out it is -2, where all is 0.
    """
    step = length / length.dtype.type(bins)  # in the input's own type, on which the number of samples hangs
    n = ratio if ratio > 0 else max(math.ceil(step), 0)
    places = start + np.arange(bins, dtype=step.dtype)[:, None] * step + (np.arange(n, dtype=step.dtype) + 0.5) * step / max(n, 1)
    inside = (places >= -1.0) & (places <= size)
    return np.where(inside, np.clip(places, 0.0, size - 1.0), -2.0).astype(step.dtype).ravel(), n


def _points(box: np.ndarray, size: tuple[int, int], image: tuple[int, int], ratio: int) -> tuple[np.ndarray, np.ndarray, int]:
    """(points (M, 2), the bin of each (M,), samples in a bin) of one box (x, y, width, height)."""
    (rows, m), (columns, n) = (_samples(box[i], box[i + 2], size[1 - i], ratio, image[1 - i]) for i in (1, 0))
    down, across = np.meshgrid(rows, columns, indexing="ij")
    bins = np.arange(size[0]).repeat(m)[:, None] * size[1] + np.arange(size[1]).repeat(n)  # (P m, Q n)
    return np.stack([down, across], -1).reshape(-1, 2), bins.ravel(), m * n


def roi_align(
    input: Any, boxes: Any, output_size: Any, spatial_scale: float = 1.0, sampling_ratio: int = -1, aligned: bool = False
) -> Any:
    """Means of bilinear samples over the bins of each box;  input (N, C, H, W), boxes (K, 5) -> (K, C, *output_size).

    boxes hold (image, x1, y1, x2, y2), or are a list of (L, 4), one for each image; spatial_scale brings their corners to
    pixels of input. A bin has sampling_ratio^2 samples, or with -1 as many as pixels fit. aligned: pixels have their middle
    at 1/2, as they should; otherwise they lie half a pixel off and no box is smaller than 1. The gradient flows to the input
    alone. He et al. 2017 (Mask R-CNN), section 3.
    """
    image, corners = _regions("roi_align", input, boxes, spatial_scale)
    size, shift = _output_size("roi_align", output_size), np.asarray(0.5 if aligned else 0.0, input.dtype)
    starts, lengths = corners[:, :2] - shift, corners[:, 2:] - corners[:, :2]
    found = np.concatenate([starts, lengths if aligned else np.maximum(lengths, np.ones((), input.dtype))], 1)
    regions = [_points(box, size, input.shape[2:], sampling_ratio) for box in found]
    parts = [_means(input, image[part], regions[part], math.prod(size)) for part in _chunks(regions, input.shape[1])]
    return np.moveaxis(np.reshape(np.concatenate(parts), (len(image), *size, input.shape[1])), -1, 1)


def _chunks(regions: list[Any], channels: int) -> Iterator[slice]:
    """Stretches of the regions (at least one) that read no more than CHUNK elements, or of one region that reads more."""
    first, total = 0, 0
    for i, (points, _, _) in enumerate(regions):
        total += len(points) * channels
        if total > CHUNK and i > first:
            yield slice(first, i)
            first, total = i, len(points) * channels
    yield slice(first, len(regions))


def _means(input: Any, image: np.ndarray, regions: list[Any], bins: int) -> Any:
    """The means over the bins of some regions, (K bins, C)."""
    lengths = [len(points) for points, _, _ in regions]
    points = np.concatenate([np.empty((0, 2), input.dtype), *(points for points, _, _ in regions)])
    places = np.concatenate([np.empty(0, np.int64), *(i * bins + number for i, (_, number, _) in enumerate(regions))])
    share = np.repeat([1.0 / max(count, 1) for _, _, count in regions], lengths).astype(input.dtype)
    values = ops.sample.sample(input, points[:, None], np.repeat(image, lengths))  # (M, 1, C)
    values = np.reshape(values, (len(points), input.shape[1])) * share[:, None]
    return ops.indexing.index_add(values, places, axis=0, size=len(regions) * bins)


# ---------------------------------------------------------------------------------------------------------- RoI pool


def _stretches(start: float, end: float, bins: int, size: int, dtype: Any) -> list[slice]:
    """The pixels of each bin along one axis: from floor to ceil of its ends, cut off at the image's."""
    first, last = (int(math.copysign(math.floor(abs(v) + 0.5), v)) for v in (start, end))
    step = dtype.type(max(last - first + 1, 1)) / dtype.type(bins)
    ends = [(math.floor(dtype.type(i) * step) + first, math.ceil(dtype.type(i + 1) * step) + first) for i in range(bins)]
    return [slice(min(max(a, 0), size), min(max(b, 0), size)) for a, b in ends]


def _largest(image: np.ndarray, rows: slice, columns: slice) -> np.ndarray | int:
    """The number h W + w of the first largest pixel of each channel (C,) in a rectangle; -1 where it is empty."""
    part = image[:, rows, columns]
    if part.size == 0:
        return -1
    h, w = np.divmod(np.argmax(part.reshape(len(part), -1), axis=1), part.shape[2])
    return (h + rows.start) * image.shape[2] + w + columns.start


def roi_pool(input: Any, boxes: Any, output_size: Any, spatial_scale: float = 1.0) -> Any:
    """The largest pixel in each bin of each box, 0 in an empty one;  input (N, C, H, W), boxes (K, 5) -> (K, C, *output_size).

    boxes as for roi_align; corners are rounded to whole pixels, the last one belongs to the box. Of equal pixels the first
    takes the gradient. Girshick 2015 (Fast R-CNN), section 2.1.
    """
    image, corners = _regions("roi_pool", input, boxes, spatial_scale)
    (p, q), (_, c, h, w), data = _output_size("roi_pool", output_size), input.shape, raw(input)
    taken = np.full((len(image), c, p, q), -1)
    for k, (x1, y1, x2, y2) in enumerate(corners):
        rows, columns = _stretches(y1, y2, p, h, input.dtype), _stretches(x1, x2, q, w, input.dtype)
        for i, j in np.ndindex(p, q):
            taken[k, :, i, j] = _largest(data[image[k]], rows[i], columns[j])
    places = (image[:, None] * c + np.arange(c))[:, :, None, None] * (h * w) + np.maximum(taken, 0)
    return np.where(taken < 0, 0.0, np.take(np.reshape(input, (-1,)), places, axis=0))
