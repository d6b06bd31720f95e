"""Hostile submissions (tests/hostile): none hangs, gets out, leaves something behind, or scores."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from minivision.classroom import check, target
from minivision.classroom.cut import ROOT
from minivision.classroom.grading.grade import Grader, grader
from minivision.classroom.grading.sandbox import Limits, Sandbox
from minivision.classroom.grading.submissions import Submission
from minivision.classroom.manifest import find

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox needs Linux: without it none of these may run")
FOLDER = Path(__file__).with_name("hostile")
FILES = sorted(path for path in FOLDER.iterdir() if path.suffix in (".py", ".c"))
PYTHON, C = find("softmax-gradient"), find("matmul-loop-order")
LIMITS = Limits(seconds=1.5, compiling=3.0, memory=512 << 20, processes=16)
LONGEST = LIMITS.seconds + LIMITS.compiling + 6.0  # seconds; the import, the waiting for an end, and a busy machine
MARK = f"left-behind-{os.getpid()}"


@dataclass
class Bait:
    """What the submissions attack: a grader, a file that anyone may write, a port where somebody listens."""

    grader: Grader
    canary: Path
    server: socket.socket
    datagrams: socket.socket

    def prepared(self, text: str) -> str:
        """A submission's text, told where all that is."""
        places = {
            "LIBRARY": ROOT,
            "CANARY": self.canary,
            "GRADER": os.getpid(),
            "PORT": self.server.getsockname()[1],
            "MARK": MARK,
            "NULL": "\0",  # as a byte in the file itself it would keep tools from reading it
        }
        return re.sub(r"@([A-Z]+)@", lambda found: str(places[found[1]]), text)

    def connected(self) -> bool:
        """Whether somebody came to the port, or sent something there."""
        for come in (self.server.accept, lambda: self.datagrams.recv(1)):
            with contextlib.suppress(BlockingIOError):
                return bool(come())
        return False


@pytest.fixture(scope="module")
def bait(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bait]:
    sandbox = Sandbox(LIMITS)
    if not (sandbox.mode.namespaces or sandbox.mode.user):
        pytest.skip("neither namespaces nor other users here: hostile programs run only where all can be ended for certain")
    canary = tmp_path_factory.mktemp("open") / "canary"
    canary.write_text("alive")
    canary.parent.chmod(0o777)
    canary.chmod(0o666)
    with (
        grader([PYTHON, C], sandbox) as ours,
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        datagrams.bind(server.getsockname())
        for each in (server, datagrams):
            each.setblocking(False)
        yield Bait(ours, canary, server, datagrams)


def attacked() -> list[tuple[str, int]]:
    """Contents and permissions of the library's files that submissions try to change."""
    paths = [ROOT / "minivision" / name for name in ("ops/softmax.py", "classroom/check.py", "__init__.py")]
    return [(path.read_text(), path.stat().st_mode) for path in [*paths, Path(np.__file__), Path(os.__file__)]]


def processes(*words: str) -> list[str]:
    """The command lines that have one of these words in them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        found += [line] if any(word in line for word in words) and int(folder.name) != os.getpid() else []
    return found


def must(text: str) -> set[str]:
    found = re.search(r"must: ([a-z ]+)", text)
    assert found, "a hostile submission says which verdicts are right for it"
    return set(found[1].split())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_does_not_hang_fool_or_get_out(path: Path, bait: Bait):
    if path.suffix == ".c" and not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("no C compiler here")
    exercise = C if path.suffix == ".c" else PYTHON
    text, before = path.read_text(), attacked()
    start = time.monotonic()
    graded = bait.grader.graded(Submission("hostile", {exercise.id: bait.prepared(text)}))
    taken = time.monotonic() - start
    result = next(each for each in graded.results if each.exercise is exercise)
    assert graded.score == 0
    assert result.kind in must(text), f"{result.kind}: {result.text}"
    assert taken < LONGEST
    assert bait.canary.read_text() == "alive"
    assert os.listdir(bait.canary.parent) == [bait.canary.name]
    assert attacked() == before
    assert not bait.connected()
    assert not processes(MARK, str(bait.grader.libraries[exercise.id]))
    assert "\x1b" not in result.text, "it would write over the teacher's screen"
    assert len(result.text) < 5000


def test_after_all_that_a_right_answer_scores(bait: Bait):
    graded = bait.grader.graded(Submission("right", {each.id: target.answer(each) for each in (PYTHON, C)}))
    assert [each.kind for each in graded.results] == ["passed", "passed"], [each.text for each in graded.results]


@pytest.mark.parametrize("name", ["reads_answer.py", "looks_everywhere.py", "includes_answer.c"])
def test_thieves_would_succeed_without_the_sandbox(name: str, bait: Bait):
    if name.endswith(".c") and not (ROOT / "csrc").is_dir():
        pytest.skip("the library is installed: what this one includes stands in its source tree")
    text = bait.prepared((FOLDER / name).read_text())
    verdict = check.run(C if name.endswith(".c") else PYTHON, text, seconds=20.0)
    assert verdict.passed, f"it proves nothing: {verdict.failure} {verdict.output}"
