"""PyTorch's files (.pt, .pth), read without running anything in them.

Both forms are read: the zip (a pickle, and a file for each storage) and the one from before 2020 (pickles, one after the
other, then the storages). pickles.py reads the pickles.
"""

from __future__ import annotations

import io
import math
import os
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Literal

import numpy as np

from .errors import CheckpointError
from .pickles import STORAGES, Storage, View, run

MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of the older form
ZIP, OLD = b"PK\x03\x04", b"\x80\x02\x8a\x0a" + MAGIC.to_bytes(10, "little")  # how the two forms begin
BROKEN = (  # what reading a damaged pickle or zip raises
    ValueError, LookupError, TypeError, AttributeError, EOFError, OverflowError, AssertionError, RuntimeError,
    Warning, struct.error, zipfile.BadZipFile,
)  # fmt: skip


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """{name: array} of all tensors in the file, names of dictionaries in dictionaries joined by dots.

    CheckpointError where the file is cut off or damaged, holds no tensor, or one of an unknown type.
    """
    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("error")  # such as of an odd escape in a text
            tree, flat = (_read_zip if file.read(len(ZIP)) == ZIP else _read_pickles)(file)
        views = dict(_tensors(tree, set()))
        if not views:
            raise ValueError("there is no tensor in it")
        return {name: _array(view, flat(view.storage)) for name, view in views.items()}
    except BROKEN as error:
        problem = f"{path}: a PyTorch checkpoint that is cut off, damaged or of an unknown form ({error})"
        raise CheckpointError(
            f"{problem}\n  hint: fetch or save it again; in safetensors if it holds more than tensors"
        ) from error


def is_one(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as PyTorch's do."""
    try:
        with open(path, "rb") as file:
            head = file.read(256)
    except OSError:
        return False
    return (head.startswith(ZIP) and b"data.pkl" in head) or head.startswith(OLD)


# ------------------------------------------------------------------------------------------------------- the two forms

Numbers = Callable[[Storage], np.ndarray]
Order = Literal["little", "big"]


def _read_zip(file: BinaryIO) -> tuple[Any, Numbers]:
    """FOLDER/data.pkl, FOLDER/byteorder and, for each storage, FOLDER/data/KEY."""
    with zipfile.ZipFile(file) as archive:
        if any(each.compress_type != zipfile.ZIP_STORED for each in archive.infolist()):
            raise ValueError("its entries are compressed, which PyTorch never does")
        kept = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    order = kept.get("byteorder", b"little").decode()
    return run(kept["data.pkl"]), lambda storage: numbers(kept[f"data/{storage.key}"], storage, order)


def _read_pickles(file: BinaryIO) -> tuple[Any, Numbers]:
    """Magic number, version, word sizes, the tree, the storages' keys; then for each key its count and its numbers."""
    file.seek(0)
    file = io.BytesIO(file.read())  # in memory: no count in a damaged file makes it read, or reserve, more than there is
    magic, _, words, tree, keys = (run(file) for _ in range(5))
    if magic != MAGIC:
        raise ValueError("it does not begin as PyTorch's files do")
    kinds = {view.storage.key: view.storage for _, view in _tensors(tree, set())}
    kept: dict[str, np.ndarray] = {}
    order: Order = "little" if words["little_endian"] else "big"
    for key in keys:
        count = int.from_bytes(file.read(8), order)
        if key not in kinds or kinds[key].count != count:
            raise ValueError(f"storage {key} holds {count} numbers, which is not what its tensors say")
        kept[key] = numbers(file.read(count * _width(kinds[key])), kinds[key], order)
    return tree, lambda storage: kept[storage.key]


def _width(storage: Storage) -> int:
    return 2 if STORAGES[storage.kind] == "bf16" else np.dtype(STORAGES[storage.kind]).itemsize


def numbers(raw: bytes, storage: Storage, order: str) -> np.ndarray:
    """A storage's bytes as numbers; float16 and bfloat16 (the upper half of a float32) as float32."""
    if len(raw) != storage.count * _width(storage):
        raise ValueError(f"storage {storage.key} should be {storage.count} of {storage.kind}, but is {len(raw)} bytes")
    kind, sign = STORAGES[storage.kind], "<" if order == "little" else ">"
    if kind == "bf16":
        return (np.frombuffer(raw, f"{sign}u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
    found = np.frombuffer(raw, sign + kind)
    return found.astype(np.float32 if kind == "f2" else np.dtype(kind))


def _array(view: View, flat: np.ndarray) -> np.ndarray:
    """The tensor as a new array; no element may lie outside its storage."""
    last = view.offset + sum((n - 1) * step for n, step in zip(view.shape, view.strides, strict=True))
    empty = 0 in view.shape
    if min((view.offset, *view.shape, *view.strides)) < 0 or (not empty and last >= flat.size):
        raise ValueError(f"a tensor of shape {view.shape} reaches beyond its storage of {flat.size} numbers")
    if math.prod(view.shape) > max(flat.size, 1):
        raise ValueError(f"a tensor of shape {view.shape} repeats its {flat.size} numbers")
    steps = tuple(step * flat.itemsize for step in view.strides)
    return np.lib.stride_tricks.as_strided(flat[view.offset :], view.shape, steps).copy()


def _tensors(tree: Any, met: set[int], path: str = "") -> Iterator[tuple[str, View]]:
    """Every tensor under its dotted name; what else there is (an epoch, settings) is left out.

    met: the containers that were seen already. A pickle may put one into many others, or into itself.
    """
    if isinstance(tree, View):
        yield path, tree
    elif isinstance(tree, (dict, list, tuple)) and id(tree) not in met:
        met.add(id(tree))
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _tensors(value, met, f"{path}.{key}" if path else str(key))
