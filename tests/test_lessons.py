"""Every lesson's notebook is whole and runs in quick mode; a lesson fits its page, and records claims that there are."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import notebooks
import pytest

from minivision import lesson

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TUTORIALS = Path(__file__).parents[1] / "tutorials"
LESSONS = sorted(TUTORIALS.glob("[0-9][0-9]_*.py"))
CLAIMS = {
    claim["number"]
    for group in tomllib.loads((TUTORIALS / "claims.toml").read_text(encoding="utf-8"))["group"]
    for claim in group["claim"]
}

each_lesson = pytest.mark.parametrize("script", LESSONS, ids=lambda path: path.stem)


def claim_calls(script: Path) -> list[ast.Call]:
    """The calls of lesson.claim in a lesson's source."""
    calls = [node for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    return [call for call in calls if ast.unparse(call.func) == "lesson.claim"]


def test_there_are_lessons():
    assert LESSONS


def run(script: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a lesson's notebook in quick mode, in an empty folder and a process of its own; without sphinx-gallery the script.

    One run proves both, for test_its_notebook_is_whole holds that their statements are the same.
    """
    told = {"MPLBACKEND": "Agg", "MINIVISION_QUICK": "1", "MINIVISION_CLAIMS": str(folder / "claims"), "OMP_NUM_THREADS": "1"}
    without_kernels = "ignore:minivision's C kernels are not built"  # a lesson runs there too
    what = [str(script)]
    if find_spec("sphinx_gallery"):
        notebook = folder.with_suffix(".ipynb")
        notebook.write_text(json.dumps(notebooks.made(script)), encoding="utf-8")
        what = [notebooks.__file__, str(notebook)]
    folder.mkdir()
    command = [sys.executable, "-W", "error", "-W", without_kernels, *what]
    return subprocess.run(command, cwd=folder, env={**os.environ, **told}, capture_output=True, text=True, timeout=240)


@each_lesson
def test_it_runs_in_quick_mode_and_records_nothing(script, tmp_path):
    done = run(script, tmp_path / "here")
    assert done.returncode == 0, done.stderr[-3000:]
    left = [path.name for path in (tmp_path / "here").iterdir()]
    assert not left, "a lesson leaves nothing behind in the folder where it runs, and numbers of the quick mode mean nothing"


WRONG = {
    "assert 1 + 1 == 3": "AssertionError",
    "import warnings\nwarnings.warn('careful')": "UserWarning: careful",
    "undefined": "NameError",
    "import socket\nsocket.create_connection(('127.0.0.1', 9))": "asked for the network",
}


@pytest.mark.parametrize(("cell", "complaint"), WRONG.items())
def test_a_cell_that_fails_fails_the_run(cell, complaint, tmp_path):
    pytest.importorskip("sphinx_gallery", reason="sphinx-gallery, of the extra docs, makes the notebooks")
    script = tmp_path / "13_wrong.py"
    parts = ['"""\nWrong\n=====\n"""', 'print("begun")', "# %%\n# More.", cell, "# %%\n# An end.", 'print("ended")']
    script.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    done = run(script, tmp_path / "here")
    assert done.returncode
    assert complaint in done.stderr
    assert done.stdout == "begun\n"


@each_lesson
def test_it_fits_a_sitting(script):
    lines = script.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 250
    assert max(map(len, lines)) <= 130


@each_lesson
def test_it_opens_with_a_title_a_question_and_its_prerequisites(script):
    title, underline, gap, *rest = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))).splitlines()
    assert set(underline) == {"="}
    assert len(underline) >= len(title)
    assert not gap
    paragraph = "\n".join(rest).partition("\n\n:Prerequisites: ")
    assert paragraph[1], "the docstring needs the field :Prerequisites:"
    needed = re.findall(r":doc:`(\w+)`", paragraph[2])
    assert needed or paragraph[2].strip() == "none"
    assert all(name < script.stem and (TUTORIALS / f"{name}.py").exists() for name in needed), "earlier lessons only"


@each_lesson
def test_its_claims_are_known_and_their_verdicts_too(script):
    for call in claim_calls(script):
        assert ast.literal_eval(call.args[0]) in CLAIMS
        given = [*call.args[2:], *(word.value for word in call.keywords if word.arg == "verdict")]
        constants = [node.value for value in given for node in ast.walk(value) if isinstance(node, ast.Constant)]
        words = [word for word in constants if isinstance(word, str)]
        assert set(words) <= set(lesson.VERDICTS)


@each_lesson
def test_its_notebook_is_whole(script):
    pytest.importorskip("sphinx_gallery", reason="sphinx-gallery, of the extra docs, makes the notebooks")
    made = notebooks.made(script)
    assert not list(notebooks.faults(made))
    code = notebooks.code(made)
    assert "import minivision as mv" in "\n".join(code)
    wanted = [ast.unparse(statement) for statement in ast.parse(script.read_text(encoding="utf-8")).body[1:]]
    assert [ast.unparse(statement) for cell in code for statement in ast.parse(cell).body] == wanted, "code got lost or moved"
