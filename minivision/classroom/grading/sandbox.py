"""Where a submission runs: the strongest confinement that this machine grants, tried out before it is relied upon.

sandbox = Sandbox(Limits(seconds=10))
with Confined(exercise, sandbox, library) as worker:
    verdict = check.judge(worker, text)
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import SettingError
from ..manifest import Exercise
from ..proxy import ONE_THREAD, START, Worker
from .places import SECRETS, extra_paths, hidden, readable

LAUNCHER, PROBE = (Path(__file__).with_name(name) for name in ("launcher.py", "probe.py"))
ON_LINUX = sys.platform == "linux"
USERS = range(61184, 65520)  # what systemd gives to services for a while, and no system to people
PATIENCE = 5.0  # seconds for the launcher to end everything


@dataclass(frozen=True)
class Limits:
    """What one exercise of one submission may take."""

    seconds: float = 10.0  # for all answers together
    compiling: float = 20.0  # seconds more for a C file
    memory: int = 1 << 30  # bytes, of each process and of all together
    file: int = 16 << 20  # bytes of a file
    disk: int = 64 << 20  # bytes of all its files, where it has a disk of its own
    processes: int = 24
    files: int = 128  # open at a time, in a process

    def table(self, others: int) -> dict[str, int]:
        """As setrlimit has them; others: processes of the same user that are not the submission's."""
        common = {"CPU": int(START + self.seconds) + 2, "FSIZE": self.file, "NOFILE": self.files, "CORE": 0}
        linux = {"AS": self.memory, "NPROC": self.processes + others, "MSGQUEUE": 0, "MEMLOCK": 0}
        return common | (linux if ON_LINUX else {})  # macOS knows no such limits


class Mode(NamedTuple):
    """A way to confine: namespaces of its own, a user of its own, a list of what it may open."""

    namespaces: bool
    user: bool
    landlock: bool


def modes() -> list[Mode]:
    """Those to try, strongest first. Root without another user is none: no limit on processes would bind it."""
    root = os.geteuid() == 0
    linux = [Mode(True, root, False), Mode(False, root, True)] if ON_LINUX else []
    return [*linux, Mode(False, root, False)]


class Protection(NamedTuple):
    """What was tried from inside, and whether it is prevented."""

    active: bool
    name: str
    note: str


@dataclass
class Sandbox:
    """A mode that works here, with what a probe found in it. private: folders that a submission must not see."""

    limits: Limits = field(default_factory=Limits)
    private: Sequence[str] = ()
    tried: Sequence[Mode] = field(default_factory=modes)
    mode: Mode = field(init=False)
    found: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        reasons = []
        for mode in self.tried:
            self.mode = mode
            try:
                self.found = self._probed()
                return
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                reasons.append(f"{_words(mode)}: {str(error).strip()}")
        hint = "the interpreter and its packages must be where every user may read, such as /opt or /usr/local"
        told = "\n  ".join(reasons)
        raise SettingError(f"no program can be confined here, so nothing is graded\n  {told}\n  hint: {hint}")

    def user(self) -> int | None:
        """A user id that no process and no person has; None where it cannot be changed."""
        if not self.mode.user:
            return None
        taken = {entry.pw_uid for entry in pwd.getpwall()} | set(_owners())
        return secrets.choice([number for number in USERS if number not in taken])

    def settings(self, user: int | None, library: Path | None, arguments: Sequence[str]) -> dict[str, Any]:
        """What launcher.py is told. library: the only copy of minivision that is to be seen."""
        seen = [*readable(), *([str(library)] if library else [])]
        covered = [path for path in hidden(self.private) if any(Path(path).is_relative_to(each) for each in seen)]
        others = 0 if user or not ON_LINUX else _tasks(os.getuid())
        return {
            **self.mode._asdict(),
            "uid": user,
            "limits": self.limits.table(others),
            "memory": self.limits.memory,
            "disk": self.limits.disk,
            "readable": seen,
            "hidden": covered,
            "python": sys.executable,
            "arguments": list(arguments),
            "paths": extra_paths(),
            "environment": {**ONE_THREAD, "PYTHONIOENCODING": "utf-8:replace"},
        }

    def command(self, user: int | None, library: Path) -> list[str]:
        """What starts a worker of that copy of the library."""
        worker = library / "minivision" / "classroom" / "worker.py"
        return _launcher(self.settings(user, library, [str(worker)]))

    def _probed(self) -> dict[str, Any]:
        """What probe.py says; OSError or SubprocessError where the mode cannot be had, ValueError where it says nothing."""
        with _opened_doors() as (told, folder):
            settings = self.settings(self.user(), None, ["-c", PROBE.read_text(encoding="utf-8"), json.dumps(told)])
            done = subprocess.run(
                [*_launcher(settings), "-"], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
            )
        if done.returncode:
            raise OSError((done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
        return json.loads(done.stdout)

    def protections(self) -> Iterator[Protection]:
        """What a submission cannot do here, and what it can."""
        found, limits = self.found, self.limits
        memory = f"{limits.memory >> 20} MB of memory, {limits.processes} processes, " if ON_LINUX else ""
        note = f"{limits.seconds:g} seconds, {memory}{limits.file >> 20} MB a file, {limits.files} open files"
        yield Protection(True, "limits", note)
        yield Protection(bool(self.mode.namespaces or self.mode.user), "ends with all it started", "no process outlives it")
        yield Protection(found["user"] != os.geteuid(), "another user", "it runs with nobody's rights")
        yield Protection(
            not found["reads"], "answers hidden", "it cannot read the checks, the library's answers, other submissions"
        )
        yield Protection(not found["writes"], "files safe", "it writes nowhere but in a folder of its own")
        yield Protection(not found["signals"], "grader safe", "it cannot send signals to the process that grades")
        yield Protection(not found["connects"], "no network", "it reaches no machine, nor this one's services")


class Confined(Worker):
    """A worker in a sandbox."""

    def __init__(self, exercise: Exercise, sandbox: Sandbox, library: Path) -> None:
        self._sandbox, self._user = sandbox, sandbox.user()
        self.compiling = sandbox.limits.compiling
        super().__init__(exercise, sandbox.limits.seconds, sandbox.command(self._user, library))

    def _status(self) -> int:
        """How the program ended; one that only closed its pipes is ended, with all that it started."""
        try:
            return self.process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._end()
            return -signal.SIGKILL

    def _end(self) -> None:
        """The launcher ends everything when it is asked to."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.terminate()
            self.process.wait(PATIENCE)

    def close(self) -> None:
        """Ends the process and all that it started, and removes what it wrote."""
        self._end()
        if self._user and not self._sandbox.mode.namespaces:
            subprocess.run(_launcher({"sweep": self._user}), check=True, timeout=60)
        subprocess.run(["rm", "-rf", self._folder.name], check=False, timeout=60)  # also folders deeper than Python goes
        super().close()


def _launcher(settings: dict[str, Any]) -> list[str]:
    return [sys.executable, "-I", "-B", str(LAUNCHER), json.dumps(settings)]


def _words(mode: Mode) -> str:
    chosen = [name for name, has in zip(("namespaces", "another user", "Landlock"), mode, strict=True) if has]
    return "with " + " and ".join(chosen) if chosen else "with limits alone"


@contextlib.contextmanager
def _opened_doors() -> Iterator[tuple[dict[str, Any], str]]:
    """Something to read, to write, to connect to and to send a signal to; and a folder to be in."""
    with tempfile.TemporaryDirectory(prefix="minivision-") as folder, socket.create_server(("127.0.0.1", 0)) as server:
        inside, outside = Path(folder, "inside"), Path(folder, "outside")
        os.chmod(folder, 0o755)
        for each in (inside, outside):
            each.mkdir()
        outside.chmod(0o777)
        port = server.getsockname()[1]
        yield {"secrets": SECRETS, "open": str(outside), "grader": os.getpid(), "port": port}, str(inside)


def _owners() -> Iterator[int]:
    """The user ids of all processes, as far as /proc tells."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield folder.stat().st_uid


def _tasks(user: int) -> int:
    """How many threads a user has now: the limit on processes counts them."""
    count = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            count += len(os.listdir(folder / "task")) if folder.stat().st_uid == user else 0
    return count
