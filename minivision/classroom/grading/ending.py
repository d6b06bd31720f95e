"""Looks after the processes of one submission, and ends them all. No imports but the standard library's."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ON_LINUX = sys.platform == "linux"
PATIENCE = 3.0  # seconds for a sweep
SHARED = ("/tmp", "/var/tmp", "/dev/shm", "/run/lock")  # where anyone may write, if nothing else forbids it


def become(user: int) -> None:
    """Gives up root for a user id and the group of the same number, for good."""
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def _processes() -> list[int]:
    """All but this one."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
    except OSError:
        return []


def _others(told: dict[str, Any]) -> list[int]:
    """The processes of the program, itself among them, as far as /proc shows them."""
    every = _processes()
    if told["namespaces"]:
        return every
    if told["uid"]:
        return [pid for pid in every if _owner(pid) == told["uid"]]
    found = [os.getpid()]
    parents = {pid: int(_field(pid, "PPid")) for pid in every}
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def _owner(pid: int) -> int:
    return _owner_of(f"/proc/{pid}")


def _owner_of(path: str) -> int:
    """A user id; -1 where the path is not there any more."""
    try:
        return os.lstat(path).st_uid
    except OSError:
        return -1


def _field(pid: int, name: str) -> str:
    """A number of /proc/PID/status; "0" where there is none."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except OSError:
        return "0"
    return next((line.split()[1] for line in lines if line.startswith(f"{name}:")), "0")


def memory(told: dict[str, Any]) -> int:
    """Bytes of memory that all its processes hold together, without the files that are mapped."""
    return sum(int(_field(pid, name)) * 1024 for pid in _others(told) for name in ("RssAnon", "RssShmem"))


def end(told: dict[str, Any]) -> None:
    """Ends what is still there. (Where there are namespaces, init's end was everyone's.)"""
    if told["uid"] and not told["namespaces"]:
        return sweep(told["uid"])
    until = time.monotonic() + PATIENCE
    while ON_LINUX and not told["namespaces"] and (left := _others(told)) and time.monotonic() < until:
        for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first: what is stopped cannot fork
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, number)
        _reap()


def _reap() -> None:
    """Takes notice of children that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _killed(user: int) -> bool:
    """Kills all processes of a user id at once, which only that user can; whether there were any."""
    child = os.fork()
    if child == 0:
        try:
            become(user)
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            os._exit(1)
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def sweep(user: int) -> None:
    """Ends every process of a user id that belongs to one submission alone, and removes its files where all may write."""
    until = time.monotonic() + PATIENCE
    while _killed(user) and time.monotonic() < until:
        _reap()
        if ON_LINUX and not any(_owner(pid) == user and _field(pid, "State") not in "0Z" for pid in _processes()):
            break  # what is left has ended, and waits for whoever started it
    for path in [entry.path for folder in filter(os.path.isdir, SHARED) for entry in os.scandir(folder)]:
        if _owner_of(path) == user:
            subprocess.run(["rm", "-rf", path], check=False)  # also folders in folders, deeper than Python goes
