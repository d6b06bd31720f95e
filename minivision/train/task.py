"""What is asked about an image, told by the shape of the labels.

(N) of class numbers: which class is it? (N, C) of 0 and 1: which classes are there? For both the loss, how much of an answer is
right, and the figures at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import functional, metrics


def loss(logits: Any, labels: np.ndarray, smoothing: float) -> Any:
    """Mean cross entropy, or mean binary cross entropy; a share of the target is spread evenly over its possible values."""
    if labels.ndim == 1:
        return functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    target = labels * (1.0 - smoothing) + smoothing / 2.0
    return functional.binary_cross_entropy_with_logits(logits, target.astype(logits.dtype))


def right(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N): 1 where the highest logit is the label's; of many labels, the share that has the right sign."""
    return (logits.argmax(-1) == labels) * 1.0 if labels.ndim == 1 else np.mean((logits > 0) == labels, axis=-1)


def figures(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """More about the answers to all test images than their accuracy: top-5 accuracy, or mean average precision."""
    if labels.ndim == 2:
        return {"mean_average_precision": metrics.mean_average_precision(logits, labels)}
    return {"top5_accuracy": metrics.topk_accuracy(logits, labels, 5)} if logits.shape[-1] > 5 else {}


def verdict(found: Mapping[str, Any]) -> str:
    """The figure that counts, in words."""
    if "bits_per_byte" in found:
        return f"{found['bits_per_byte']:.3f} bits per byte of {found['test_bytes']:,} unseen ones"
    if "test_accuracy" not in found:
        return f"loss {found['test_loss']:.3f} on what is hidden in {found['test_images']:,} unseen images"
    if "mean_average_precision" in found:
        precision, share = found["mean_average_precision"], found["test_accuracy"]
        return f"mAP {precision:.1%}, {share:.1%} of all labels of {found['test_images']:,} unseen images right"
    return f"{found['test_accuracy']:.1%} of {found['test_images']:,} unseen images right"
