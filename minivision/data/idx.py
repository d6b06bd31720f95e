"""MNIST (LeCun, Cortes and Burges 1998) from its four IDX files.

IDX: two zero bytes, the element type (8: unsigned byte), the number of axes, the size of each axis (32 bits, big-endian),
then the elements in C order.
"""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import IO, Any

import numpy as np

from .dataset import Dataset, check_labels
from .files import check_folder, data_error, find_file, looks_like, reading

GZIP = b"\x1f\x8b"
DEFLATE_RATIO = 1032  # no byte of a gzip file stands for more: deflate's longest copy is 258 bytes, its shortest code 2 bits
CLASSES = [str(digit) for digit in range(10)]


def load_mnist(folder: Path) -> Dataset:
    """mnist:DIR; the files lie in DIR or in DIR/MNIST/raw, gzipped or not. DataError where one is absent or corrupt."""
    check_folder(folder, "MNIST's four IDX files: train-images-idx3-ubyte and so on, gzipped or not")
    return Dataset("mnist", *_read_part(folder, "train", "training"), *_read_part(folder, "t10k", "test"), CLASSES)


def _read_part(folder: Path, prefix: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """-> pixels (N, 1, H, W) of uint8, labels (N) of int64."""
    images_path = _find(folder, f"{prefix}-images", "idx3-ubyte", f"MNIST's {part} images")
    labels_path = _find(folder, f"{prefix}-labels", "idx1-ubyte", f"MNIST's {part} labels")
    images, labels = read_idx(images_path, ndim=3), read_idx(labels_path, ndim=1)
    if len(images) != len(labels):
        raise data_error(f"{images_path} has {len(images)} images, but {labels_path} has {len(labels)} labels; they should agree")
    check_labels(labels, len(CLASSES), str(labels_path))
    return images[:, None], labels.astype(np.int64)


def _find(folder: Path, stem: str, kind: str, what: str) -> Path:
    names = [f"{stem}{joint}{kind}{suffix}" for suffix in ("", ".gz") for joint in "-."]
    return find_file([folder, folder / "MNIST" / "raw"], names, f"{what}, an IDX file")


def read_idx(path: Path, ndim: int) -> np.ndarray:
    """The array of unsigned bytes with `ndim` axes in an IDX file, gzipped or not (told by its content); read-only.

    What the header promises is held against the length of the file before anything is allocated.
    DataError where the file is foreign, truncated, too long or without elements.
    """
    with reading(path), path.open("rb") as head:
        zipped = head.read(2) == GZIP
    opened: Any = gzip.open if zipped else open
    with reading(path), opened(path, "rb") as stream:
        shape = _read_sizes(path, stream, ndim)
        count, most = math.prod(shape), path.stat().st_size * (DEFLATE_RATIO if zipped else 1)
        content = stream.read(count + 1) if count <= most else b""  # one more than promised: is there a rest?
    if len(content) != count or count == 0:
        came = "more" if len(content) > count else "fewer" if count else "none"
        problem = f"{path}: its header promises {' x '.join(map(str, shape))} = {count} bytes, and it holds {came}"
        raise data_error(problem, hint="it is truncated or corrupt: fetch it again")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _read_sizes(path: Path, stream: IO[bytes], ndim: int) -> tuple[int, ...]:
    """The sizes in an IDX header: the bytes 00 00 08 ndim, then ndim big-endian numbers of 32 bits."""
    magic, sizes = stream.read(4), stream.read(4 * ndim)
    if magic != bytes([0, 0, 8, ndim]):
        problem, expected = f"{path} is no IDX file of unsigned bytes with {ndim} axes", f"first bytes 00 00 08 0{ndim}"
        raise data_error(problem, expected=expected, found=looks_like(magic + sizes + stream.read(64)))
    if len(sizes) != 4 * ndim:
        raise data_error(f"{path} is truncated: {4 + len(sizes)} bytes, where its header alone takes {4 + 4 * ndim}")
    return tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
