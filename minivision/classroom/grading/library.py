"""The copy of the library that a submission sees: without the exercise's answer, without checks, without compiled kernels."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ..cut_c import csrc
from ..manifest import Exercise
from ..target import piece
from .places import ROOT

LEFT_OUT = ("*.so", "*.pyd", "__pycache__", "_csrc")
OF_CLASSROOM = ("checks", "exercises", "grading")
OF_CSRC = ("build_kernels.py", "steps/build_steps.py", "steps/steps.h")  # what compiles a C file
WARM_UP = "import minivision, minivision.classroom.worker, minivision.classroom.wire, minivision.classroom.drivers"


class Libraries:
    """Copies of the library in a temporary folder, one for each exercise that is asked for; removed on leaving."""

    def __enter__(self) -> Libraries:
        self._folder = tempfile.TemporaryDirectory(prefix="minivision-", ignore_cleanup_errors=True)
        os.chmod(self._folder.name, 0o711)  # a submission that knows a name in it may go there, and no further than its own
        self.root = Path(self._folder.name).resolve()
        whole = self.root / "whole"
        whole.mkdir(mode=0o700)
        self._base = _copied(whole)
        return self

    def __exit__(self, *exception: object) -> None:
        self._folder.cleanup()

    def without(self, exercise: Exercise) -> Path:
        """The folder of the copy that lacks the exercise's answer."""
        place = self.root / exercise.id
        if not place.exists():
            shutil.copytree(self._base, place, copy_function=os.link)
            if not exercise.is_c:
                path = place / exercise.path
                path.unlink()  # a link: writing through it would change the others
                path.write_text(piece(exercise).holed(), encoding="utf-8")
                for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
                    compiled.unlink()
        return place


def _copied(folder: Path) -> Path:
    """The whole library, but for what no submission is to see, with its modules compiled to bytecode."""
    place = folder / "library"
    package = place / "minivision"
    shutil.copytree(ROOT / "minivision", package, ignore=_ignored)
    for name in OF_CSRC:
        (place / "csrc" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(csrc() / name, place / "csrc" / name)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-W", "ignore", "-c", WARM_UP]
    subprocess.run(command, cwd=place, env=environment, check=True, capture_output=True, timeout=120)
    _let_read(place)
    return place


def _ignored(folder: str, names: list[str]) -> set[str]:
    """What is not copied from a folder."""
    found = set(shutil.ignore_patterns(*LEFT_OUT)(folder, names))
    return found | set(OF_CLASSROOM) if Path(folder) == ROOT / "minivision" / "classroom" else found


def _let_read(folder: Path) -> None:
    """Any user may read it, whatever the mask of the one who grades."""
    for base, _, names in os.walk(folder):
        os.chmod(base, 0o755)
        for name in names:
            os.chmod(os.path.join(base, name), 0o644)
