"""Starts a program confined, and ends it with all that it started: `python -I launcher.py SETTINGS IGNORED ARGUMENTS...`.

SETTINGS is JSON, made by sandbox.py. Three processes where there are namespaces, two where there are none:

    launcher      asked from outside (SIGTERM) to end everything
    init          the first of the new process ids: when it ends, the kernel ends all the others
    the program   under another user id and under limits, which are looked at again before it begins

Runs without the package around it: what it needs is in this file, ending.py and linux.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent))
import linux
from ending import ON_LINUX, become, end, memory, sweep

GLANCE, REFUSED = 0.05, 97  # seconds between two looks; exit status
HOME = "/home/student"  # in the new root
NULL = os.open(os.devnull, os.O_RDWR)  # opened before there is a new root, in which init may be first


def main() -> None:
    """Starts what SETTINGS ask for, waits, and ends as the program ended."""
    told = json.loads(sys.argv[1])
    if "sweep" in told:
        return sweep(told["sweep"])
    if ON_LINUX:
        linux.prctl(linux.DEATH_SIGNAL, signal.SIGTERM)
        linux.prctl(linux.SUBREAPER, 1)
    signal.signal(signal.SIGTERM, _stopped)
    status = 0
    try:
        status = _through_init(told) if told["namespaces"] else watched(told)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end(told)
    _exit_as(status)


def _stopped(*_: Any) -> NoReturn:
    raise SystemExit(0)


def _exit_as(status: int) -> None:
    """Ends as a child did: by the same signal, or with the same status."""
    number = status - 128
    if 0 < number < signal.NSIG:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    sys.exit(status)


def _code(status: int) -> int:
    """As a shell has it: 128 + signal."""
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _close_pipes() -> None:
    """Leaves the pipes to the program alone, so that its end is their end."""
    for pipe in (0, 1, 2, *map(int, sys.argv[3:])):
        os.dup2(NULL, pipe)


# -------------------------------------------------------------------------------------------------------- namespaces


def _through_init(told: dict[str, Any]) -> int:
    """The status of init, which is the program's; init dies with this process."""
    user, group = os.getuid(), os.getgid()
    linux.unshare((linux.NEW_USER if user else 0) | linux.NEW_NS | linux.NEW_PID | linux.NEW_NET | linux.NEW_IPC | linux.NEW_UTS)
    if user:  # the same number inside, where it may mount
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    init = os.fork()
    if init == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        linux.prctl(linux.DEATH_SIGNAL, signal.SIGKILL)
        linux.prctl(linux.DUMPABLE, 0)
        enter(told)
        os._exit(watched(told))
    _close_pipes()
    try:
        return _code(os.waitpid(init, 0)[1])
    except SystemExit:
        os.kill(init, signal.SIGKILL)
        os.waitpid(init, 0)  # returns when every process inside is gone
        raise


def enter(told: dict[str, Any]) -> None:
    """A root of its own, of what may be read, with what is hidden covered; a small home in memory; only its own processes."""
    linux.mount("none", "/", flags=linux.RECURSIVE | linux.PRIVATE)
    top = os.getcwd()
    linux.mount("tmpfs", top, "tmpfs", linux.NO_SUID | linux.NO_DEV, "size=1m,mode=755")
    root = f"{top}/inner"
    os.mkdir(root)
    for path in told["readable"]:
        _show(path, root)
    for path in told["hidden"]:
        if os.path.isdir(root + path):
            linux.mount("tmpfs", root + path, "tmpfs", linux.READ_ONLY, "size=4k,mode=000")
    os.makedirs(root + HOME)
    owner = f",uid={told['uid']}" if told["uid"] else ""
    home = f"size={told['disk']},nr_inodes=4096,mode=700{owner}"
    linux.mount("tmpfs", root + HOME, "tmpfs", linux.NO_SUID | linux.NO_DEV, home)
    for name in ("tmp", "var/tmp"):
        os.makedirs(os.path.dirname(f"{root}/{name}"), exist_ok=True)
        if not os.path.lexists(f"{root}/{name}"):
            os.symlink(HOME, f"{root}/{name}")
    os.mkdir(root + "/proc")
    with contextlib.suppress(OSError):  # some containers forbid it; the memory of several processes is not added up then
        linux.mount("proc", root + "/proc", "proc", linux.NO_SUID | linux.NO_DEV)
    linux.mount("none", top, flags=linux.REMOUNT | linux.BIND | linux.READ_ONLY | linux.NO_SUID | linux.NO_DEV)
    linux.become_root_of(top, "inner")
    os.chdir(HOME)


def _show(path: str, root: str) -> None:
    """Makes a path of the old root readable in the new one; a symbolic link stays one."""
    place = root + path
    if not os.path.lexists(path) or os.path.lexists(place):
        return
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if os.path.islink(path) and path.count("/") == 1:  # such as /lib -> usr/lib
        return os.symlink(os.readlink(path), place)
    if os.path.isdir(path):
        os.mkdir(place)
    else:
        os.close(os.open(place, os.O_CREAT, 0o644))
    return linux.bind(path, place)


# -------------------------------------------------------------------------------------------------------- the program


def watched(told: dict[str, Any]) -> int:
    """Starts the program and waits for it; ends it where all its processes together take too much memory."""
    program = os.fork()
    if program == 0:
        _run(told)
    _close_pipes()
    while True:
        done, status = os.waitpid(-1, os.WNOHANG)  # also what the program left behind
        if done == program:
            return _code(status)
        if done == 0:
            if ON_LINUX and memory(told) > told["memory"]:
                return 128 + signal.SIGKILL
            time.sleep(GLANCE)


def _run(told: dict[str, Any]) -> NoReturn:
    """Becomes the program, if everything that should bind it does."""
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if ON_LINUX:
            linux.prctl(linux.NO_NEW_PRIVILEGES, 1)
        if told["landlock"]:
            linux.landlock(without(told["readable"], told["hidden"]), [os.getcwd(), "/dev/null"])
        for name, most in told["limits"].items():
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
        if told["uid"]:
            os.chown(os.getcwd(), told["uid"], told["uid"])
            become(told["uid"])
        if ON_LINUX:
            linux.prctl(linux.DEATH_SIGNAL, signal.SIGKILL)  # after the change of user, which takes it away
        _verify(told)
        if ON_LINUX:
            with contextlib.suppress(OSError):  # a second line of defence, which not every processor and kernel has
                linux.refuse_calls()
        os.execve(told["python"], [told["python"], "-s", "-B", *told["arguments"], *sys.argv[3:]], _environment(told))
    except BaseException as error:
        print(f"not confined, so not started: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    os._exit(REFUSED)


def without(paths: list[str], covered: list[str]) -> list[str]:
    """The paths, those that have something covered in them replaced by what else they have in them."""
    left = []
    for path in paths:
        if path not in covered and any(Path(each).is_relative_to(path) for each in covered):
            left += without([entry.path for entry in os.scandir(path)], covered)
        elif path not in covered:
            left.append(path)
    return left


def _verify(told: dict[str, Any]) -> None:
    """PermissionError unless the limits and the user id are in force."""
    for name, most in told["limits"].items():
        if resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) != (most, most):
            raise PermissionError(f"the limit {name} is not in force")
    if told["uid"] and {os.getuid(), os.geteuid()} != {told["uid"]}:
        raise PermissionError("the user id was not changed")
    with contextlib.suppress(OSError):  # not permitted; or, in a user namespace, not a user
        os.setuid(0)
    if 0 in (os.getuid(), os.geteuid()):
        raise PermissionError("it would have the rights of root")


def _environment(told: dict[str, Any]) -> dict[str, str]:
    """Nothing of the teacher's."""
    home = os.getcwd()
    places = {"HOME": home, "TMPDIR": home, "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
    return {**places, **told["environment"], "PYTHONPATH": os.pathsep.join(told["paths"])}


if __name__ == "__main__":
    main()
