"""CIFAR-10 (Krizhevsky 2009) from its binary version: records of one label byte and 3 x 32 x 32 pixel bytes, red, green, blue."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .augment import PHOTOGRAPHS
from .dataset import Dataset, check_labels
from .files import check_folder, data_error, find_file, looks_like, reading

SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32
ARCHIVE = "cifar-10-binary.tar.gz, the binary version of CIFAR-10"


def load_cifar10(folder: Path) -> Dataset:
    """cifar10:DIR; the files lie in DIR or in DIR/cifar-10-batches-bin. DataError where one is absent or corrupt."""
    check_folder(folder, f"data_batch_1.bin to data_batch_5.bin, test_batch.bin and batches.meta.txt, from {ARCHIVE}")
    _refuse_pickles(folder)
    names = [f"data_batch_{number}.bin" for number in range(1, 6)]
    train = np.concatenate([_read_records(_find(folder, name, "a fifth of the training images")) for name in names])
    test = _read_records(_find(folder, "test_batch.bin", "the test images"))
    classes = _read_classes(_find(folder, "batches.meta.txt", "the names of the classes"))
    return Dataset("cifar10", *_split(train), *_split(test), classes, augmentation=PHOTOGRAPHS)


def _find(folder: Path, name: str, what: str) -> Path:
    return find_file([folder, folder / "cifar-10-batches-bin"], [name], f"{what}, from {ARCHIVE}")


def _refuse_pickles(folder: Path) -> None:
    """The Python version is made of pickles, which can run code when they are read."""
    places = [place for place in (folder, folder / "cifar-10-batches-py") if (place / "data_batch_1").is_file()]
    binary = any((place / "data_batch_1.bin").is_file() for place in (folder, folder / "cifar-10-batches-bin"))
    if places and not binary:
        raise data_error(f"{places[0]} holds the Python version of CIFAR-10, pickles that are never read here", expected=ARCHIVE)


def _read_records(path: Path) -> np.ndarray:
    """-> (N, 3073) of uint8."""
    with reading(path):
        content = np.fromfile(path, np.uint8)
    if content.size == 0 or content.size % RECORD:
        found = f"{content.size} bytes; {looks_like(content[:64].tobytes())}"
        expected = f"records of {RECORD} bytes: a label and 3 x 32 x 32 pixels"
        hint = f"if it is truncated, unpack it again from {ARCHIVE}"
        raise data_error(f"{path} is no whole number of CIFAR-10's records", expected=expected, found=found, hint=hint)
    records = content.reshape(-1, RECORD)
    check_labels(records[:, 0], 10, str(path))
    return records


def _split(records: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3073) -> pixels (N, 3, 32, 32) of uint8, labels (N) of int64."""
    return records[:, 1:].reshape(-1, *SHAPE), records[:, 0].astype(np.int64)


def _read_classes(path: Path) -> list[str]:
    with reading(path):
        names = path.read_bytes().decode("ascii", "replace").split()
    if len(names) != 10:
        raise data_error(f"{path} has {len(names)} names", expected="the names of CIFAR-10's 10 classes, one on each line")
    return names
