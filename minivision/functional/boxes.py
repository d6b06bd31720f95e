"""Boxes (x1, y1, x2, y2): how much they overlap, and which of many that do to keep."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ShapeError
from ..ops.elementwise import raw
from ..tape import Tensor

__all__ = ["box_iou", "nms"]


def _check_boxes(function: str, **arguments: Any) -> None:
    for name, boxes in arguments.items():
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise ShapeError(function, f"{name} should be (N, 4), got {tuple(boxes.shape)}", f"{name} {tuple(boxes.shape)}")


def _areas(boxes: Any) -> Any:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def box_iou(boxes1: Any, boxes2: Any) -> Any:
    """Area of intersection over area of union of each pair;  boxes1 (N, 4), boxes2 (M, 4) -> (N, M). NaN for two without area."""
    _check_boxes("box_iou", boxes1=boxes1, boxes2=boxes2)
    first, second = np.expand_dims(boxes1, 1), np.expand_dims(boxes2, 0)
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])  # (N, M, 2)
    sides = np.clip(sides, 0.0, None)
    shared = sides[..., 0] * sides[..., 1]
    return shared / (np.expand_dims(_areas(boxes1), 1) + np.expand_dims(_areas(boxes2), 0) - shared)


def nms(boxes: Any, scores: Any, iou_threshold: float) -> Any:
    """Non-maximum suppression: the numbers of the boxes kept, best first;  boxes (N, 4), scores (N) -> (K) of int64.

    From the highest score down, a box is kept unless its IoU with one kept before is above iou_threshold. Of equal
    scores the first comes first. No gradient flows.
    """
    _check_boxes("nms", boxes=boxes)
    if tuple(scores.shape) != (len(boxes),):
        raise ShapeError("nms", f"scores should be ({len(boxes)},), one for each box", f"scores {tuple(scores.shape)}")
    corners, left = raw(boxes), np.argsort(-raw(scores), kind="stable")
    kept = []
    with np.errstate(invalid="ignore"):  # 0 / 0 of boxes without area: nothing to suppress
        while len(left):
            best, left = left[0], left[1:]
            kept.append(best)
            left = left[~(box_iou(corners[best : best + 1], corners[left])[0] > iou_threshold)]
    numbers = np.array(kept, np.int64)
    return Tensor(numbers) if isinstance(boxes, Tensor) else numbers
