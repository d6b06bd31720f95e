"""What Linux has to confine a process: prctl, namespaces, mounts, Landlock. No imports but the standard library's.

Every call raises OSError where the kernel refuses it. launcher.py runs this file without the package around it.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

# include/uapi/linux: prctl.h, sched.h, mount.h, landlock.h
DEATH_SIGNAL, DUMPABLE, SUBREAPER, NO_NEW_PRIVILEGES = 1, 4, 36, 38
NEW_NS, NEW_UTS, NEW_IPC, NEW_USER, NEW_PID, NEW_NET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
READ_ONLY, NO_SUID, NO_DEV, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
DETACH, AT_RECURSIVE = 2, 0x8000
MOUNT_SETATTR, LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 442, 444, 445, 446  # system calls, alike on all processors


def _called(name: str, *arguments: Any) -> int:
    """A function of the C library; OSError where it fails."""
    library = ctypes.CDLL(None, use_errno=True)
    result = getattr(library, name)(*arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def prctl(option: int, value: int) -> None:
    """Sets one attribute of this process."""
    _called("prctl", option, *map(ctypes.c_ulong, (value, 0, 0, 0)))


def unshare(flags: int) -> None:
    """New namespaces for this process, or (of process ids) for its children."""
    _called("unshare", flags)


def mount(source: str, place: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    _called("mount", source.encode(), os.fsencode(place), kind.encode(), ctypes.c_ulong(flags), options.encode())


def bind(source: str, place: str) -> None:
    """Shows a folder or a file at another place, with all that is mounted in it, to be read only."""
    _called("mount", os.fsencode(source), os.fsencode(place), None, ctypes.c_ulong(BIND | RECURSIVE), None)
    attributes = (ctypes.c_uint64 * 4)(READ_ONLY | NO_SUID, 0, 0, 0)  # struct mount_attr: set, clear, propagation, user namespace
    _called("syscall", MOUNT_SETATTR, -100, os.fsencode(place), AT_RECURSIVE, attributes, ctypes.c_size_t(32))


def become_root_of(folder: str) -> None:
    """Makes a mounted folder this process's root, and lets go of the one before."""
    os.chdir(folder)
    _called("pivot_root", b".", b".")  # the old root is now mounted over the new one
    _called("umount2", b".", DETACH)
    os.chdir("/")


class Ruleset(ctypes.Structure):
    """struct landlock_ruleset_attr: what is forbidden unless a rule allows it."""

    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64)]


class Beneath(ctypes.Structure):
    """struct landlock_path_beneath_attr: what is allowed in a folder."""

    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32)]


EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE = 1, 2, 4, 8, 1 << 14
READING = EXECUTE | READ_FILE | READ_DIR


def landlock(readable: list[str], writable: list[str]) -> None:
    """Leaves this process the named files and folders alone, no TCP, and no signals to processes outside (where it can)."""
    version = _called("syscall", LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    every = (1 << 13) - 1 | (1 << 13 if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0)
    rules = Ruleset(every, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    handle = _called("syscall", LANDLOCK_CREATE, ctypes.byref(rules), ctypes.c_size_t(size), 0)
    for paths, allowed in ((readable, READING), (writable, every)):
        for path in filter(os.path.exists, paths):
            folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
            of_files = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
            rule = Beneath(allowed & every & (-1 if os.path.isdir(path) else of_files), folder)
            _called("syscall", LANDLOCK_ADD, handle, 1, ctypes.byref(rule), 0)
            os.close(folder)
    _called("syscall", LANDLOCK_RESTRICT, handle, 0)
    os.close(handle)
