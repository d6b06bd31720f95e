"""Batches of a Dataset: in order for testing; shuffled and augmented for training."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .dataset import Dataset

Batches = Iterator[tuple[np.ndarray, np.ndarray]]


def batches(
    dataset: Dataset,
    batch_size: int,
    rng: np.random.Generator | None = None,
    train: bool = True,
    augment: bool = True,
    skip: int = 0,
) -> Batches:
    """An epoch as (images (B, C, H, W) of float32, labels (B) of int64); every image once, the last batch may be smaller.

    Training images come shuffled and, with `augment`, moved by the dataset's augmentation; test images as they are, in order.
    All of an epoch's random numbers are drawn from `rng` by this very call, so an epoch that was interrupted is taken up by
    giving `rng` the state it had before the call and skipping the batches that were done.
    """
    if batch_size < 1:
        raise ValueError(f"a batch has at least one image, got batch_size={batch_size}")
    if not train:
        return _test_batches(dataset, range(skip * batch_size, len(dataset.test_labels), batch_size), batch_size)
    if rng is None:
        raise ValueError("training batches are shuffled: give rng, for example np.random.default_rng(0)")
    count, (_, height, width) = len(dataset.train_labels), dataset.image_shape
    order = rng.permutation(count)
    moves = dataset.augmentation.draw(rng, count, height, width) if augment else None
    return _train_batches(dataset, [order[i : i + batch_size] for i in range(skip * batch_size, count, batch_size)], moves)


def _test_batches(dataset: Dataset, starts: range, batch_size: int) -> Batches:
    for start in starts:
        yield dataset.test_images[start : start + batch_size], dataset.test_labels[start : start + batch_size]


def _train_batches(dataset: Dataset, chosen: list[np.ndarray], moves: np.ndarray | None) -> Batches:
    for numbers in chosen:
        pixels = dataset.train_pixels[numbers]
        pixels = pixels if moves is None else dataset.augmentation.apply(pixels, moves[numbers])
        yield dataset.standardise(pixels), dataset.train_labels[numbers]
