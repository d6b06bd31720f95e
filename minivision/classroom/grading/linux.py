"""What Linux has to confine a process: prctl, namespaces, mounts, seccomp, Landlock. No imports but the standard library's.

Every call raises OSError where the kernel refuses it. launcher.py runs this file without the package around it.
"""

from __future__ import annotations

import ctypes
import os
import struct
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


def become_root_of(folder: str, inner: str) -> None:
    """Lets go of the root for a mounted folder, and makes `inner` of that the root.

    In such a root the kernel gives no user namespace, in which a program could mount what it likes.
    """
    os.chdir(folder)
    _called("pivot_root", b".", b".")  # the old root is now mounted over the new one
    _called("umount2", b".", DETACH)
    os.chroot(f"/{inner}")
    os.chdir("/")


# System calls that no exercise needs: memory that is no process's, other processes, sockets, keys, the kernel's inner parts.
REFUSED = {
    "x86_64": {
        "memfd_create": 319, "memfd_secret": 447, "shmget": 29, "unshare": 272, "mount": 165, "fsopen": 430, "ptrace": 101,
        "process_vm_readv": 310, "process_vm_writev": 311, "add_key": 248, "request_key": 249, "keyctl": 250, "bpf": 321,
        "perf_event_open": 298, "socket": 41, "userfaultfd": 323, "io_uring_setup": 425,
    },
    "aarch64": {
        "memfd_create": 279, "memfd_secret": 447, "shmget": 194, "unshare": 97, "mount": 40, "fsopen": 430, "ptrace": 117,
        "process_vm_readv": 270, "process_vm_writev": 271, "add_key": 217, "request_key": 218, "keyctl": 219, "bpf": 280,
        "perf_event_open": 241, "socket": 198, "userfaultfd": 282, "io_uring_setup": 425,
    },
}  # fmt: skip
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_*
LOAD, JUMP_EQUAL, JUMP_ABOVE, RETURN = 0x20, 0x15, 0x25, 0x06
ALLOW, NOT_PERMITTED, KILL = 0x7FFF0000, 0x00050001, 0x80000000
SECCOMP, FILTER = 22, 2


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def refuse_calls() -> None:
    """Refuses those system calls to this process and all that it starts; OSError for a processor that is not known here."""
    machine = os.uname().machine
    if machine not in REFUSED:
        raise OSError(f"no list of system calls for {machine}")
    numbers = sorted(REFUSED[machine].values())
    last = len(numbers) + 1  # the instruction that refuses, counted from the first comparison
    steps = [(LOAD, 0, 0, 4), (JUMP_EQUAL, 1, 0, MACHINES[machine]), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]
    steps += [(JUMP_ABOVE, last, 0, 0x3FFFFFFF)]  # the x32 calls have other numbers
    steps += [(JUMP_EQUAL, last - 1 - i, 0, number) for i, number in enumerate(numbers)]
    steps += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, NOT_PERMITTED)]
    program = Program(len(steps), b"".join(struct.pack("=HBBI", *step) for step in steps))
    _called("prctl", SECCOMP, ctypes.c_ulong(FILTER), ctypes.byref(program), ctypes.c_ulong(0), ctypes.c_ulong(0))


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
