"""Labelled pictures: digits, MNIST, CIFAR-10 and folders of images; read from disk, never from a network, never unpickled."""

from __future__ import annotations

from .augment import Augmentation
from .batching import batches
from .dataset import Dataset
from .spec import load

__all__ = ["Augmentation", "Dataset", "batches", "load"]
