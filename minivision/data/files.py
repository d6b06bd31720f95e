"""Files and folders that may be absent, empty, truncated or something else: every failure is a DataError that names them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import DataError

LOOKS = {
    b"<": "an HTML page: the download failed",
    b"version https://git-lfs": "a Git LFS pointer: the file itself was not fetched",
    b"PK\x03\x04": "a zip archive: unpack it",
    b"\x1f\x8b": "a gzip archive: unpack it",
    b"\x80": "a Python pickle, which is never read because it can run code",
}


def data_error(problem: str, **lines: str) -> DataError:
    """A DataError of a problem and indented lines: expected, found, hint."""
    return DataError("\n".join([problem, *(f"  {name}: {text}" for name, text in lines.items())]))


def absent_package(package: str, user: str, error: ImportError) -> DataError:
    """A DataError for a package of the extra `data` that cannot be imported."""
    return data_error(f"{user} need {package}, which cannot be imported: {error}", hint='pip install "minivision[data]"')


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns the failures of the disk and of decompression into a DataError that names the file."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise data_error(f"{path} cannot be read: {reason}", hint="if it is truncated or corrupt, fetch it again") from error


def looks_like(head: bytes) -> str:
    """What a file seems to be, from its first bytes."""
    what = next((what for start, what in LOOKS.items() if head.lstrip().startswith(start)), None)
    return what or (f"first bytes {head[:4].hex(' ')}" if head else "an empty file")


def entries(folder: Path) -> list[Path]:
    """What a folder holds, sorted by name, hidden entries left out."""
    with reading(folder):
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def holding(folder: Path) -> str:
    """The names in a folder, for an error message."""
    names = [entry.name for entry in entries(folder)]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def check_folder(folder: Path, expected: str) -> None:
    """DataError where the folder is absent, no folder, or empty; `expected` says what belongs in it."""
    problem = "does not exist" if not folder.exists() else "is not a folder" if not folder.is_dir() else ""
    if problem or not entries(folder):
        raise data_error(f"{folder} {problem or 'is empty'}", expected=f"a folder with {expected}")


def find_file(folders: list[Path], names: list[str], what: str) -> Path:
    """The first file of one of these names in one of these folders; DataError saying what it is and where to put it."""
    found = next((folder / name for folder in folders for name in names if (folder / name).is_file()), None)
    if found is None:
        others = f" (or {', '.join(names[1:])})" if names[1:] else ""
        problem, hint = f"{folders[0]} has no file {names[0]}{others}", f"put {names[0]} in {folders[0]}"
        raise data_error(problem, expected=what, found=holding(folders[0]), hint=hint)
    return found
