"""Reads what students handed in: folders and zip files whose names and contents may be anything. Nothing is unpacked or run."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ...errors import SettingError
from ..manifest import Exercise
from ..workspace import LARGEST

MOST_ENTRIES, MOST_NOTES, LARGEST_ZIP = 2000, 20, 64 << 20  # names looked at; lines; bytes


class Unreadable(ValueError):
    """Why a file is not taken."""


@dataclass
class Submission:
    """One student's files. texts: by exercise id; refused: why a file of that exercise was not taken; notes: on the rest."""

    student: str
    texts: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Adds a line, up to a bound."""
        if len(self.notes) < MOST_NOTES:
            self.notes.append(text)


def plain(text: str) -> str:
    """A name in characters that any file format holds."""
    text = os.fsencode(text).decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def find(folder: Path, exercises: Sequence[Exercise], one: bool = False) -> tuple[list[Submission], bool]:
    """All submissions in a folder, one for each folder and zip file in it; or itself, and True, if `one` or if it has files."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise SettingError(f"{folder} cannot be read: {error.strerror}\n  hint: a folder of submissions is expected") from None
    here = {exercise.file for exercise in exercises} & set(names)
    inside = [name for name in names if not name.startswith(".") and _holds_files(folder / name)]
    if one or here or not inside:
        return [of_folder(folder.resolve(), exercises, folder.resolve().name)], True
    return [_of(folder / name, exercises) for name in inside], False


def _holds_files(path: Path) -> bool:
    """Whether it may be a student's: a folder, a zip file, or what poses as one."""
    mode = path.lstat().st_mode
    return stat.S_ISDIR(mode) or path.suffix.lower() == ".zip" or (stat.S_ISLNK(mode) and path.is_dir())


def _of(path: Path, exercises: Sequence[Exercise]) -> Submission:
    """A student's folder or zip file."""
    if path.suffix.lower() == ".zip" and not path.is_dir():
        return of_zip(path, exercises, path.stem)
    return of_folder(path, exercises, path.name)


def of_folder(path: Path, exercises: Sequence[Exercise], student: str) -> Submission:
    """The files of a folder, or of the only folder in it where there are none beside it."""
    found = Submission(plain(student))
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        found.note("not a folder that can be read: links are not followed")
        return found
    try:
        names = _names(folder, found)
        if not {exercise.file for exercise in exercises} & set(names) and (inner := _only_folder(folder, names)):
            os.close(folder)
            folder = inner
            names = _names(folder, found)
        _take(found, exercises, names, lambda name: _bytes(folder, name))
    finally:
        os.close(folder)
    return found


def _names(folder: int, found: Submission) -> list[str]:
    """The names in a folder, up to a bound."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry, _ in zip(entries, range(MOST_ENTRIES + 1), strict=False)]
    if len(names) > MOST_ENTRIES:
        found.note(f"more than {MOST_ENTRIES:,} files: those behind are not looked at")
    return sorted(names[:MOST_ENTRIES])


def _only_folder(folder: int, names: Sequence[str]) -> int | None:
    """The folder that was zipped instead of its files."""
    inner = [n for n in names if not n.startswith((".", "__")) and stat.S_ISDIR(os.lstat(n, dir_fd=folder).st_mode)]
    if len(inner) != 1:
        return None
    with contextlib.suppress(OSError):
        return os.open(inner[0], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    return None


def _bytes(folder: int, name: str) -> bytes:
    """A regular file's content. No link is followed, no device opened, no pipe waited for."""
    try:
        mode = os.lstat(name, dir_fd=folder).st_mode
        if not stat.S_ISREG(mode):
            raise Unreadable(f"{_kind(mode)}, not a file")
        with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Unreadable("it changed while it was read")
            return file.read(LARGEST + 1)
    except OSError as error:
        raise Unreadable(f"cannot be read: {os.strerror(error.errno or errno.EIO)}") from None


def _kind(mode: int) -> str:
    kinds = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def of_zip(path: Path, exercises: Sequence[Exercise], student: str) -> Submission:
    """The files of an archive that are at its top, or all in one folder."""
    found = Submission(plain(student))
    try:
        if not stat.S_ISREG(path.lstat().st_mode) or path.lstat().st_size > LARGEST_ZIP:
            raise Unreadable(f"not a zip file of at most {LARGEST_ZIP >> 20} MB")
        with zipfile.ZipFile(path) as archive:
            entries = _entries(archive, found)
            _take(found, exercises, list(entries), lambda name: _unzipped(archive, entries[name]))
    except Exception as error:  # an archive can be broken in as many ways as zipfile has errors
        found.note(f"not a zip file that can be read: {plain(str(error))[:200]}")
    return found


def _entries(archive: zipfile.ZipFile, found: Submission) -> dict[str, list[zipfile.ZipInfo]]:
    """Those at the top, by name; a folder around all of them is taken away; what points out of the archive is left."""
    inside: list[tuple[PurePosixPath, zipfile.ZipInfo]] = []
    for entry in archive.infolist()[:MOST_ENTRIES]:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            found.note(f"left out: {plain(entry.filename)[:80]} points out of the archive")
        elif not entry.is_dir() and not path.parts[0].startswith("__MACOSX"):
            inside.append((path, entry))
    around = {path.parts[0] if len(path.parts) > 1 else "" for path, _ in inside}
    depth = 2 if len(around) == 1 and "" not in around else 1
    by_name: dict[str, list[zipfile.ZipInfo]] = {}
    for path, entry in inside:
        if len(path.parts) == depth:
            by_name.setdefault(path.name, []).append(entry)
    return by_name


def _unzipped(archive: zipfile.ZipFile, entries: Sequence[zipfile.ZipInfo]) -> bytes:
    """An entry's content, no more than is needed to see that it is too much."""
    if len(entries) > 1:
        raise Unreadable("it is in the archive more than once")
    if stat.S_ISLNK(entries[0].external_attr >> 16):
        raise Unreadable("a symbolic link, not a file")
    with archive.open(entries[0]) as file:
        return file.read(LARGEST + 1)


def _take(found: Submission, exercises: Sequence[Exercise], names: Sequence[str], read: Callable[[str], bytes]) -> None:
    """Reads the files of exercises; says which others there are."""
    by_file = {exercise.file: exercise for exercise in exercises}
    for name in names:
        if exercise := by_file.get(name):
            try:
                found.texts[exercise.id] = _text(read(name))
            except Unreadable as error:
                found.refused[exercise.id] = f"{exercise.file}: {error}"
        elif name.endswith((".py", ".c")):
            found.note(f"not asked for: {plain(name)[:80]}")


def _text(data: bytes) -> str:
    """UTF-8, as `check` reads it."""
    if len(data) > LARGEST:
        raise Unreadable(f"more than {LARGEST:,} bytes")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise Unreadable(f"line {data[: error.start].count(10) + 1} is not UTF-8 text") from None
