"""Accuracy on damaged pictures, level by level, for any network and Dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data import Dataset
from ..errors import ShapeError
from ..train import predict
from .damage import drop_patches, random_patches, salient_patches, shift_pictures, shuffle_patches

Damage = Callable[[np.ndarray, Any, np.random.Generator], np.ndarray]  # pixels (N, C, H, W), level -> pixels


@dataclass(frozen=True, eq=False)
class Curve:
    """A network's accuracy at every level of a damage.

    levels (L): how much is damaged, in the unit of the function that made the curve; accuracy (L): the share of right answers at
    each, 0 to 1; clean: the share on undamaged pictures.
    """

    levels: np.ndarray
    accuracy: np.ndarray
    clean: float

    @property
    def kept(self) -> np.ndarray:
        """(L): each accuracy as a part of the clean one."""
        return self.accuracy / self.clean


def accuracy_curve(
    model: Any, dataset: Dataset, damage: Damage, levels: Iterable[Any], seed: int = 0, batch_size: int = 256
) -> Curve:
    """Accuracy on the dataset's test pictures after damage(pixels, level, rng), for each level, and without damage.

    damage is given all test pixels (N, C, H, W) of uint8 and a generator; with equal seeds the damaged pictures are the same for
    every model. What it returns is clipped to the bytes' range and standardised as the dataset's images are. ValueError for a
    dataset of several labels a picture, or a damage that changes the shape of pixels.
    """
    pixels, labels, levels = dataset.test_pixels, dataset.test_labels, list(levels)
    if labels.ndim != 1:
        raise ValueError(f"accuracy_curve: one label a picture is needed, (N); {dataset.name} has labels {labels.shape}")

    def accuracy(damaged: np.ndarray) -> float:
        if damaged.shape != pixels.shape:
            raise ValueError(f"accuracy_curve: damage keeps the shape of pixels, {pixels.shape}; it returned {damaged.shape}")
        parts = (damaged[i : i + batch_size] for i in range(0, len(pixels), batch_size))
        logits = [predict(model, dataset.standardise(np.clip(part, 0, dataset.white)), batch_size) for part in parts]
        return float(np.mean(np.concatenate(logits).argmax(-1) == labels))

    found = [accuracy(damage(pixels, level, np.random.default_rng([seed, i]))) for i, level in enumerate(levels)]
    return Curve(np.array(levels), np.array(found), accuracy(pixels))


def drop_curve(
    model: Any,
    dataset: Dataset,
    grid: tuple[int, int],
    amounts: Iterable[float],
    saliency: np.ndarray | None = None,
    salient: bool = True,
    offset: int = 0,
    seed: int = 0,
) -> Curve:
    """Accuracy over information loss, the share of all patches that is black (Naseer et al. 2021, section 3.1).

    amounts: shares of patches, drawn at random; with saliency (N, rows, columns) of the test pictures, on the same grid,
    shares of that, dropped from the most salient patch down, or with salient=False from the least up. The curve's levels are
    the shares of patches that were dropped in fact. ShapeError where grid, saliency and pictures do not fit; ValueError for
    amounts outside 0 to 1.
    """
    if saliency is not None and np.shape(saliency)[1:] != tuple(grid):
        hint = (
            "take saliency on the grid: attention_saliency of a network whose patches are the grid's, or grid=saliency.shape[1:]"
        )
        told = f"grid {tuple(grid)}, saliency {np.shape(saliency)}"
        raise ShapeError("drop_curve", f"saliency is (N, {grid[0]}, {grid[1]}), as the grid", told, hint)
    lost: list[float] = []

    def damage(pixels: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
        if saliency is None:
            dropped = random_patches(len(pixels), grid, float(amount), rng)
        else:
            dropped = salient_patches(saliency, float(amount), salient)
        lost.append(float(dropped.mean()))
        return drop_patches(pixels, dropped, offset)

    found = accuracy_curve(model, dataset, damage, amounts, seed)
    return Curve(np.array(lost), found.accuracy, found.clean)


def shuffle_curve(model: Any, dataset: Dataset, grids: Iterable[tuple[int, int]], seed: int = 0) -> Curve:
    """Accuracy over the number of patches, rows times columns, that are shuffled (section 3.3). ShapeError: shuffle_patches."""
    grids = list(grids)
    found = accuracy_curve(model, dataset, shuffle_patches, grids, seed)
    return Curve(np.array([rows * columns for rows, columns in grids]), found.accuracy, found.clean)


def shift_curve(model: Any, dataset: Dataset, distances: Iterable[int], edge: bool = False, seed: int = 0) -> Curve:
    """Accuracy over the pixels by which each picture is moved, each in one of eight directions drawn at random.

    distances: whole numbers, below the side; diagonally a picture moves as far down or up as to the side. edge: as
    shift_pictures.
    """
    steps = np.array([(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)])

    def damage(pixels: np.ndarray, distance: int, rng: np.random.Generator) -> np.ndarray:
        down, right = (steps[rng.integers(len(steps), size=len(pixels))] * distance).T
        return shift_pictures(pixels, down, right, edge)

    return accuracy_curve(model, dataset, damage, distances, seed)
