"""Square pieces of the two photographs that come with scikit-learn: a temple in China, and a flower."""

from __future__ import annotations

import numpy as np

from .augment import PHOTOGRAPHS
from .dataset import Dataset
from .files import absent_package
from .options import whole_numbers

OPTIONS = {"size": (8, 96, 32)}  # least, most, usual
SHARE = 0.75  # of a photograph's width, from the left, is for training


def load_photos(options: str, seed: int = 0) -> Dataset:
    """The spec photos?size=32: which photograph is a piece of? From the left for training, from the right for the test.

    Pieces are size x size pixels; those for training begin every size / 2 pixels and overlap, those for the test do not, and no
    pixel is in both parts. The seed changes nothing. DataError for an option that there is not, or where a package is absent.
    """
    size = whole_numbers("photos", options, OPTIONS)["size"]
    pictures, names = photographs()
    cut = [round(SHARE * picture.shape[2]) for picture in pictures]
    train = [pieces(picture[..., :end], size, size // 2) for picture, end in zip(pictures, cut, strict=True)]
    test = [pieces(picture[..., end:], size, size) for picture, end in zip(pictures, cut, strict=True)]
    labels = [np.repeat(np.arange(len(names)), [len(each) for each in part]) for part in (train, test)]
    return Dataset("photos", np.concatenate(train), labels[0], np.concatenate(test), labels[1], names, augmentation=PHOTOGRAPHS)


def photographs() -> tuple[list[np.ndarray], list[str]]:
    """The photographs, each (3, H, W) of uint8, and their names. DataError where scikit-learn or Pillow is absent."""
    try:
        from sklearn.datasets import load_sample_images

        found = load_sample_images()
    except ImportError as error:
        raise absent_package("scikit-learn and Pillow", "photos", error) from error
    pictures = [np.ascontiguousarray(picture.transpose(2, 0, 1)) for picture in found.images]
    return pictures, [str(name).rpartition("/")[2].partition(".")[0] for name in found.filenames]


def pieces(picture: np.ndarray, size: int, step: int) -> np.ndarray:
    """picture (C, H, W) -> (N, C, size, size): the squares that begin every `step` pixels and lie whole in it, row by row."""
    views = np.lib.stride_tricks.sliding_window_view(picture, (size, size), axis=(1, 2))[:, ::step, ::step]
    return np.ascontiguousarray(views.transpose(1, 2, 0, 3, 4)).reshape(-1, len(picture), size, size)
