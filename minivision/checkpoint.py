"""Checkpoints: names, arrays and a few words in one safetensors file. PyTorch's are read too. Nothing is ever unpickled."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from . import torch_file
from .errors import CheckpointError
from .nn import Module
from .nn import state as states

DTYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16, "I64": np.int64, "I32": np.int32, "I16": np.int16,
    "I8": np.int8, "U64": np.uint64, "U32": np.uint32, "U16": np.uint16, "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip
SAVED = {np.dtype(dtype) for name, dtype in DTYPES.items() if name != "BF16"}

# ------------------------------------------------------------------------------------------------------------- saving


def save_checkpoint(
    path: str | os.PathLike[str], state: Module | Mapping[str, Any], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes a module's state dict, or any mapping of names to arrays, with metadata, as a safetensors file.

    The file appears whole or not at all: a crash leaves the one that was there. An entry that cannot be saved raises
    CheckpointError before anything is written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    target = Path(os.path.realpath(path))
    arrays = _arrays(state)
    words = _words(metadata)
    if not target.parent.is_dir():
        raise CheckpointError(f"{path}: there is no folder {target.parent} to save into; create it first")
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        draft.touch()
        mode = draft.stat().st_mode
        save_file(arrays, draft, words or None)
        draft.chmod(mode)  # safetensors makes files that only their owner can read
        _flush(draft)
        os.replace(draft, target)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: could not be written ({error}); what was there before is untouched") from error
    finally:
        draft.unlink(missing_ok=True)
    _flush(target.parent)


def _arrays(state: Module | Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The entries as C-ordered arrays, all fit to be saved."""
    entries = states.arrays(state.state_dict(copy=False) if isinstance(state, Module) else state)
    arrays = {name: np.asarray(array, array.dtype.newbyteorder("="), order="C") for name, array in entries.items()}
    wrong = [
        f"{n!r} ({a.dtype})" for n, a in arrays.items() if not isinstance(n, str) or n == "__metadata__" or a.dtype not in SAVED
    ]
    if wrong:
        raise CheckpointError(f"a checkpoint holds arrays of numbers under names, not {', '.join(wrong)}; nothing was written")
    return arrays


def _words(metadata: Mapping[str, str] | None) -> dict[str, str]:
    words = dict(metadata or {})
    wrong = [key for key, value in words.items() if not (isinstance(key, str) and isinstance(value, str))]
    if wrong:
        raise TypeError(f"metadata maps text to text; turn the values of {wrong} into text, with json.dumps for example")
    return words


def _flush(path: Path) -> None:
    """Waits until a file, or a folder's list of files, is on the disk."""
    if path.is_dir() and os.name == "nt":  # Windows opens no folders
        return
    file = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)


# ------------------------------------------------------------------------------------------------------------ loading


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """{name: array} of a safetensors or a PyTorch file, as new arrays; float16 and bfloat16 come as float32.

    A PyTorch file is read without running anything in it (torch_file.py); names of dictionaries in dictionaries are joined
    by dots. A file that is absent, truncated or of another kind raises CheckpointError that says what it looks like.
    """
    if torch_file.is_one(path):
        return torch_file.read(path)
    header, start = _header(path)
    odd = [f"{name} ({entry['dtype']})" for name, entry in header.items() if entry["dtype"] not in DTYPES]
    if odd:
        raise CheckpointError(f"{path}: element types that minivision does not read: {', '.join(odd)}; save it in float32 first")
    with open(path, "rb") as file:
        return {name: _entry(file, start, **entry) for name, entry in header.items()}


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The metadata that a checkpoint was saved with, none in a PyTorch file; the arrays are not read."""
    from safetensors import safe_open

    if torch_file.is_one(path):
        return {}
    _header(path)
    with safe_open(path, framework="numpy") as file:
        return dict(file.metadata() or {})


def _header(path: str | os.PathLike[str]) -> tuple[dict[str, Any], int]:
    """(name -> dtype, shape, data_offsets; where the data starts) of a file that safetensors has found sound."""
    from safetensors import SafetensorError, safe_open

    from . import foreign

    try:
        with safe_open(path, framework="numpy"):
            pass
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(foreign.describe(Path(path), error)) from error
    header.pop("__metadata__", None)
    return header, 8 + size


def _entry(file: Any, start: int, dtype: str, shape: list[int], data_offsets: list[int]) -> np.ndarray:
    """One array. bfloat16 is the upper half of a float32."""
    file.seek(start + data_offsets[0])
    little = np.dtype(DTYPES[dtype]).newbyteorder("<")
    array = np.fromfile(file, little, (data_offsets[1] - data_offsets[0]) // little.itemsize).reshape(shape)
    if dtype == "BF16":
        return np.asarray(array.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return array.astype(np.float32 if dtype == "F16" else DTYPES[dtype], copy=False)
