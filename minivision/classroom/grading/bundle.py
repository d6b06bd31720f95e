"""`minivision exercise bundle`: autograder.zip, which Gradescope takes, and handout.zip for the students."""

from __future__ import annotations

import importlib.metadata
import zipfile
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

from .. import target
from ..cut_c import csrc
from ..manifest import Exercise
from .grade import chosen_exercises
from .places import ROOT

DATE = (1980, 1, 1, 0, 0, 0)  # the same files make the same archive
TEXT, PROGRAM = 0o100644, 0o100755
NOT_TAKEN = ("__pycache__", "_csrc")
OF_CSRC = ("build_kernels.py", "steps/build_steps.py", "steps/steps.h")

SETUP = """#!/bin/sh
# Run once, as root, when the image is made: an interpreter with what minivision needs, and a C compiler.
set -e
apt-get update
apt-get install -y --no-install-recommends gcc libc6-dev python3 python3-venv
python3 -m venv /opt/minivision
/opt/minivision/bin/pip install --no-cache-dir -r /autograder/source/requirements.txt
chmod -R go-rwx /autograder/source
"""

RUN = """#!/bin/sh
# Run as root for each submission. The submission itself runs as another user, who may enter nothing below /autograder.
set -e
mkdir -p /autograder/results
chmod go-rwx /autograder /autograder/source /autograder/submission /autograder/results
export PYTHONPATH=/autograder/source/library PYTHONDONTWRITEBYTECODE=1
exec /opt/minivision/bin/python -m minivision exercise grade /autograder/submission --one --out /autograder/results --only {ids}
"""

README = """{count} exercises, {points} points
{line}

Each file has a hole where your code goes; its head says what to do. minivision, an interpreter of Python 3.10 or later, and for
the files in C a C compiler are needed. In the folder with these files:

    minivision exercise list                   what there is, and how far you are
    minivision exercise check {first:<17}whether it is right, and where it is not
    minivision exercise watch                  the same at each save
    minivision exercise hint {first:<18}a hint

Hand in the files with their names unchanged, no folder around them. They are graded with other numbers than those
`check` asks about, in a place without network, without the library's own answers and with {seconds:g} seconds for each.

{table}
"""


def run_bundle(told: Namespace) -> int:
    """Writes both archives."""
    out, chosen = Path(told.out or "."), chosen_exercises(told.only or ())
    out.mkdir(parents=True, exist_ok=True)
    for name, files in (("autograder.zip", autograder(chosen)), ("handout.zip", handout(chosen))):
        write_zip(out / name, files)
        print(f"{out / name}: {len(files)} files, {(out / name).stat().st_size:,} bytes")
    return 0


def write_zip(path: Path, files: Mapping[str, str | bytes]) -> None:
    """An archive of these files; those that begin with #! can be run."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = zipfile.ZipInfo(name, DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (PROGRAM if data.startswith(b"#!") else TEXT) << 16
            entry.create_system = 3  # Unix, for the permissions to count
            archive.writestr(entry, data)


def autograder(chosen: Sequence[Exercise]) -> dict[str, str | bytes]:
    """setup.sh, run_autograder, and the library without compiled kernels, which grading does not need."""
    files: dict[str, str | bytes] = {
        "setup.sh": SETUP,
        "run_autograder": RUN.format(ids=" ".join(each.id for each in chosen)),
        "requirements.txt": "".join(f"{line}\n" for line in requirements()),
    }
    for path in sorted((ROOT / "minivision").rglob("*")):
        name = path.relative_to(ROOT)
        if path.is_file() and path.suffix in (".py", ".toml", ".typed") and not set(NOT_TAKEN) & set(name.parts):
            files[f"library/{name.as_posix()}"] = path.read_bytes()
    steps = [path for path in sorted((csrc() / "steps").iterdir()) if path.suffix in (".c", ".h")]
    for path in [*(csrc() / name for name in OF_CSRC), *steps]:
        files[f"library/csrc/{path.relative_to(csrc()).as_posix()}"] = path.read_bytes()
    return files


def requirements() -> list[str]:
    """What the installed package needs at run time, as its metadata says."""
    return [line for line in importlib.metadata.requires("minivision") or [] if "extra ==" not in line]


def handout(chosen: Sequence[Exercise], seconds: float = 10.0) -> dict[str, str | bytes]:
    """The files with holes, and how to go about them."""
    files: dict[str, str | bytes] = {each.file: target.stub(each) for each in chosen}
    head = f"{len(chosen)} exercises, {sum(each.points for each in chosen)} points"
    wide = max(len(each.file) for each in chosen)
    table = "\n".join(f"{each.file:<{wide}}  {each.level:<6}  {each.points}  {each.title}" for each in chosen)
    readme = README.format(
        count=len(chosen),
        points=sum(each.points for each in chosen),
        line="=" * len(head),
        first=chosen[0].id,
        seconds=seconds,
        table=table,
    )
    return {"README.txt": readme, **files}
