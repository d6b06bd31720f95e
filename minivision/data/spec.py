"""`load`: from a spec such as mnist:DIR to a Dataset."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..errors import DataError
from .augment import Augmentation
from .cifar import load_cifar10
from .dataset import Dataset, stratified_split
from .files import absent_package, data_error
from .folder import load_folder
from .idx import load_mnist
from .photos import load_photos
from .shapes import load_shapes

EMBEDDED = ("digits", "shapes", "photos")  # no folder
SPECS = {
    "digits": "scikit-learn's 1,797 scans of 8 x 8 pixels",
    "mnist:DIR": "MNIST's four IDX files, gzipped or not",
    "cifar10:DIR": "CIFAR-10, binary version",
    "shapes": "coloured shapes, drawn by seed; shapes?objects=3&size=48 asks which of them are there",
    "photos": "pieces of scikit-learn's two photographs; photos?size=48 sets their side",
    "folder:DIR": "PNG and JPEG images in class folders; folder:DIR?size=64&flip=no resizes them and mirrors none",
}


def load(spec: str = "digits", seed: int = 0) -> Dataset:
    """The Dataset that a spec names, one of those in SPECS; options follow a question mark.

    The seed draws the shapes, and splits digits, and a folder that has no test part of its own: 20 % of each class for the test.
    DataError where the spec is unknown, a package is absent, or a file is absent, truncated or foreign.
    """
    name = re.split("[:?]", spec, maxsplit=1)[0]
    mark, place = spec[len(name) :][:1], spec[len(name) + 1 :]
    if name not in READERS:
        raise _unknown(spec, name)
    if name in EMBEDDED and (mark == ":" or (mark and name == "digits")):
        raise DataError(f"{spec!r}: {name} takes no {'folder' if mark == ':' else 'options'}; known are\n{known()}")
    if name not in EMBEDDED and not (mark == ":" and place):
        raise DataError(f"{spec!r} does not say which folder holds the data; known are\n{known()}")
    return READERS[name](place, seed)


def known() -> str:
    """The specs and what they read, a line each."""
    return "\n".join(f"  {form:<12}  {what}" for form, what in SPECS.items())


def load_digits(seed: int) -> Dataset:
    """The test part of Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998), split by seed: 1,437 and 360."""
    try:
        from sklearn.datasets import load_digits as read
    except ImportError as error:
        raise absent_package("scikit-learn", "digits", error) from error
    scans = read()
    pixels, labels = scans.images[:, None].astype(np.uint8), scans.target.astype(np.int64)
    train, test = stratified_split(labels, seed)
    classes = [str(name) for name in scans.target_names]
    moved = Augmentation(shift=0.075)  # 0.6 pixels: more cuts strokes off; with less, position embeddings hardly show the grid
    return Dataset("digits", pixels[train], labels[train], pixels[test], labels[test], classes, white=16, augmentation=moved)


READERS: dict[str, Callable[[str, int], Dataset]] = {
    "digits": lambda place, seed: load_digits(seed),
    "shapes": load_shapes,
    "mnist": lambda place, seed: load_mnist(Path(place).expanduser()),
    "cifar10": lambda place, seed: load_cifar10(Path(place).expanduser()),
    "photos": load_photos,
    "folder": load_folder,
}


def _unknown(spec: str, name: str) -> DataError:
    close = difflib.get_close_matches(name.lower(), READERS, n=1, cutoff=0.4)
    hint = {"hint": f"did you mean {close[0]}?"} if close else {}
    return data_error(f"no data is called {spec!r}; known are\n{known()}", **hint)
