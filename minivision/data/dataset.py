"""A Dataset: labelled pictures in bytes, standardised as they are taken out, and the split of one set in two."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import DataError
from .augment import INK, Augmentation
from .files import data_error


class Standardised:
    """The images of a Dataset, seen as a float32 array (N, C, H, W) of mean 0 and deviation 1 that is computed where indexed."""

    dtype, ndim = np.dtype(np.float32), 4

    def __init__(self, dataset: Dataset, pixels: np.ndarray) -> None:
        self.dataset, self.pixels, self.shape = dataset, pixels, pixels.shape

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: Any) -> np.ndarray:
        """One image (C, H, W) or several (B, C, H, W), by number, slice, array of numbers or mask."""
        return self.dataset.standardise(self.pixels[index])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("standardised images are computed: they cannot be had without a copy")
        return np.asarray(self[:], dtype)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test images with their labels.

    pixels (N, C, H, W) of uint8, from 0 to `white`; labels (N) of int64, numbers in `classes`, or (N, classes) of 0 and 1, for
    each class whether it is there;
    mean, std (C) of the training pixels as parts of white. DataError where these do not fit together.
    """

    name: str
    train_pixels: np.ndarray
    train_labels: np.ndarray
    test_pixels: np.ndarray
    test_labels: np.ndarray
    classes: list[str]
    white: int = 255
    augmentation: Augmentation = INK
    mean: np.ndarray = field(init=False)
    std: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        _check_part(f"{self.name}, training", self.train_pixels, self.train_labels, len(self.classes))
        _check_part(f"{self.name}, test", self.test_pixels, self.test_labels, len(self.classes))
        train, test = self.train_pixels.shape[1:], self.test_pixels.shape[1:]
        if train != test:
            raise DataError(f"{self.name}: training images are (C, H, W) = {train}, but test images {test}; they should agree")
        mean, std = moments(self.train_pixels)
        object.__setattr__(self, "mean", (mean / self.white).astype(np.float32))
        object.__setattr__(self, "std", (std / self.white).astype(np.float32))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        _, channels, height, width = self.train_pixels.shape
        return channels, height, width

    @property
    def train_images(self) -> Standardised:
        """float32 (N, C, H, W), standardised where indexed; np.asarray takes all at once."""
        return Standardised(self, self.train_pixels)

    @property
    def test_images(self) -> Standardised:
        """float32 (N, C, H, W), standardised where indexed; np.asarray takes all at once."""
        return Standardised(self, self.test_pixels)

    def few(self, count: int, seed: int) -> Dataset:
        """The same, but of each class only `count` training images (few_of_each).

        Images are standardised as before: mean and deviation need no labels. DataError where images have several labels.
        """
        if self.train_labels.ndim == 2:
            raise data_error(f"{self.name}: its images have several labels each", hint="take all of them")
        chosen = few_of_each(self.train_labels, count, seed)
        kept = replace(self, train_pixels=self.train_pixels[chosen], train_labels=self.train_labels[chosen])
        object.__setattr__(kept, "mean", self.mean)
        object.__setattr__(kept, "std", self.std)
        return kept

    def standardise(self, pixels: np.ndarray) -> np.ndarray:
        """(pixels / white - mean) / std per channel: pixels (*, C, H, W) of bytes or floats -> float32 (*, C, H, W)."""
        images = pixels.astype(np.float32, order="C")
        images /= (self.white * self.std)[:, None, None]
        images -= (self.mean / self.std)[:, None, None]
        return images

    def pictures(self, images: np.ndarray) -> np.ndarray:
        """Undoes `standardise`, to show images: (*, C, H, W) -> float32 (*, C, H, W) from 0, black, to 1, white."""
        return np.clip(images * self.std[:, None, None] + self.mean[:, None, None], 0.0, 1.0)


def moments(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, in whole numbers until the last division: the same bits everywhere.

    pixels (N, C, H, W) of uint8 -> (C), (C). A channel of one value gets deviation 1, so that it standardises to 0.
    """
    counts = np.zeros((pixels.shape[1], 256), np.int64)
    for start in range(0, len(pixels), 1024):  # bincount widens to 64 bits: a piece at a time
        for channel, row in enumerate(counts):
            row += np.bincount(pixels[start : start + 1024, channel].ravel(), minlength=256)
    count, values = int(counts[0].sum()), np.arange(256)
    sums, squares = (counts * values).sum(1), (counts * values**2).sum(1)
    variances = [(count * int(square) - int(total) ** 2) / count**2 for total, square in zip(sums, squares, strict=True)]
    return sums / count, np.array([math.sqrt(variance) or 1.0 for variance in variances])


def stratified_split(labels: np.ndarray, seed: int, fraction: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the training and of the test images, in order: ceil(fraction N) for the test, each class in proportion.

    Drawn by a stable sort of the raw bits of PCG64: the same split on every machine. A class of two
    images or more has one in each part.
    """
    if seed < 0:
        raise ValueError(f"the seed of a split is a whole number from 0, got {seed}")
    counts = np.bincount(labels)
    shares, rests = np.divmod(counts * math.ceil(fraction * len(labels)), len(labels))
    largest = np.argsort(-rests, kind="stable")[: rests.sum() // len(labels)]
    shares[largest] += 1  # the largest remainders round up
    shares = np.clip(shares, 1, counts - 1)
    order = np.argsort(np.random.PCG64(seed).random_raw(len(labels)), kind="stable")
    test = np.sort(np.concatenate([order[labels[order] == label][:share] for label, share in enumerate(shares)]))
    return np.setdiff1d(np.arange(len(labels)), test), test


def few_of_each(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The numbers of `count` images of each class, class by class, drawn by a stable sort of the raw bits of PCG64.

    labels (N) -> (count x classes). DataError where a class has fewer.
    """
    classes, have = np.unique(labels, return_counts=True)
    if not 1 <= count <= have.min():
        problem, found = f"{count} images of each class were asked for", f"{have.min():,} of class {classes[have.argmin()]}"
        raise data_error(problem, found=found, hint=f"ask for 1 to {have.min():,}")
    order = np.argsort(np.random.PCG64(seed).random_raw(len(labels)), kind="stable")
    return np.concatenate([order[labels[order] == label][:count] for label in classes])


def check_labels(labels: np.ndarray, classes: int, where: str) -> None:
    """DataError naming the first label that is no class number."""
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if wrong.size:
        raise DataError(f"{where}: labels go from 0 to {classes - 1}, but label number {wrong[0]} is {labels[wrong[0]]}")


def _check_part(where: str, pixels: np.ndarray, labels: np.ndarray, classes: int) -> None:
    if pixels.ndim != 4 or pixels.dtype != np.uint8 or pixels.size == 0:
        raise DataError(f"{where}: pixels should be uint8 (N, C, H, W), at least one, got {pixels.dtype} {pixels.shape}")
    if labels.shape not in ((len(pixels),), (len(pixels), classes)) or labels.dtype != np.int64:
        raise DataError(f"{where}: {len(pixels)} images need as many int64 labels, got {labels.dtype} {labels.shape}")
    check_labels(labels.ravel(), classes if labels.ndim == 1 else 2, where)
