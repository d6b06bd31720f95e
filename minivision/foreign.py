"""What a file that is no sound checkpoint looks like, and what to do about it: read from its first bytes alone."""

from __future__ import annotations

import difflib
import json
import os
from pathlib import Path

CONVERT = "load it with the program that wrote it, and save its arrays with save_checkpoint"
AGAIN = "download or copy it again"
LONGEST_HEADER = 100_000_000  # bytes; safetensors' own limit

# (how the file starts, what it is, what to do); the first that fits
STARTS = [
    (b"version https://git-lfs", "a git-lfs pointer, not the file it stands for", "run `git lfs pull`, or download the file"),
    (b"\x1f\x8b", "a gzip archive", "unpack it first, with gunzip or tar -xzf"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras)", "load it with h5py and save its arrays with save_checkpoint"),
    (b"\x93NUMPY", "a NumPy array file (.npy)", "load it with np.load and save it with save_checkpoint"),
    (b"GGUF", "a GGUF file (llama.cpp)", "look for the model's .safetensors file"),
]  # fmt: skip


def describe(path: Path, error: Exception) -> str:
    """`path: what it looks like` and, on the next line, what to do."""
    if not path.exists():
        return _absent(path)
    if path.is_dir():
        inside = ", ".join(sorted(p.name for p in path.glob("*.safetensors"))) or "none"
        return f"{path}: a folder, not a checkpoint\n  hint: name one of the .safetensors files in it: {inside}"
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError as refusal:
        return f"{path}: cannot be read: {refusal.strerror}\n  hint: check its permissions"
    looks, hint = _looks(head, path, error)
    return f"{path}: not a sound safetensors checkpoint; it looks like {looks}\n  hint: {hint}"


def _absent(path: Path) -> str:
    """Names the closest checkpoint where there is one."""
    names = [p.name for p in path.parent.glob("*.safetensors")] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, names, n=3, cutoff=0.0)
    where = f"that folder holds {', '.join(close)}" if close else f"{path.parent} holds no .safetensors file"
    return (
        f"{path}: there is no such file\n  hint: {where if path.parent.is_dir() else f'there is no folder {path.parent} either'}"
    )


def _looks(head: bytes, path: Path, error: Exception) -> tuple[str, str]:
    """(what the file looks like, what to do)"""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "an empty file", AGAIN
    if head[8:9] == b"{":
        return _broken(head, path, error)
    for start, looks, hint in STARTS:
        if head.startswith(start):
            return looks, hint
    if head.startswith(b"PK\x03\x04"):
        return _zip(head)
    if head[0] == 0x80 and head[1:2] <= b"\x05":
        return "a pickle that is no PyTorch checkpoint, which minivision never opens", CONVERT
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        return "an HTML page, such as a login or error page saved under the file's name", "download the file itself"
    if text.startswith((b"{", b"[")):
        return (
            "JSON text, such as the index of a checkpoint in several files",
            "name the .safetensors file itself, one of those in the index",
        )
    return f"something unknown, starting with {head[:16]!r}", f"{AGAIN}, and check that it is a .safetensors file"


def _zip(head: bytes) -> tuple[str, str]:
    if b".npy" in head:
        return "a NumPy archive (.npz)", "load it with np.load and save its arrays with save_checkpoint"
    return "a zip archive", "unpack it first"


def _broken(head: bytes, path: Path, error: Exception) -> tuple[str, str]:
    """A file with safetensors' start: cut off, or damaged."""
    size, length = int.from_bytes(head[:8], "little"), os.path.getsize(path)
    if size > LONGEST_HEADER:
        return f"a damaged safetensors file: its header cannot be {size:,} bytes long", AGAIN
    if length < 8 + size:
        return f"a truncated safetensors file: {length:,} bytes, but its header alone should end at {8 + size:,}", AGAIN
    try:
        with open(path, "rb") as file:
            file.seek(8)
            entries = json.loads(file.read(size))
        tensors = [entry for name, entry in entries.items() if name != "__metadata__"]
        end = 8 + size + max(entry["data_offsets"][1] for entry in tensors)
        types = ", ".join(sorted({str(entry["dtype"]) for entry in tensors}))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return f"a damaged safetensors file ({error})", AGAIN
    if length < end:
        return f"a truncated safetensors file: {length:,} of {end:,} bytes", AGAIN
    return f"a damaged or too new safetensors file ({error}; element types {types})", f"save it in float32, or {AGAIN}"
