"""Labelled pictures: digits, drawn shapes, MNIST, CIFAR-10 and folders of images; no network, and nothing unpickled."""

from __future__ import annotations

from .augment import Augmentation
from .batching import batches
from .dataset import Dataset
from .palette import colour_palette, kmeans, to_images, to_tokens
from .shapes import Scene, Thing, scenes
from .spec import load

__all__ = [
    "Augmentation", "Dataset", "Scene", "Thing", "batches", "colour_palette", "kmeans", "load", "scenes", "to_images",
    "to_tokens",
]  # fmt: skip
