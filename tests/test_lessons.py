"""Every lesson runs in quick mode, fits its page, and records claims that there are; its notebook is whole."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

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


@each_lesson
def test_it_runs_in_quick_mode_and_records_nothing(script, tmp_path):
    records = tmp_path / "claims.jsonl"
    told = {"MPLBACKEND": "Agg", "MINIVISION_QUICK": "1", "MINIVISION_CLAIMS": str(records), "OMP_NUM_THREADS": "1"}
    without_kernels = "ignore:minivision's C kernels are not built"  # a lesson runs there too
    command = [sys.executable, "-W", "error", "-W", without_kernels, str(script)]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, **told}, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert not records.exists(), "numbers of the quick mode mean nothing"
    assert not list(tmp_path.iterdir()), "a lesson leaves nothing behind in the folder where it runs"


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
    pytest.importorskip("sphinx_gallery")
    from sphinx_gallery import gen_gallery, notebook, py_source_parser

    settings = {**gen_gallery.DEFAULT_GALLERY_CONF, "src_dir": str(TUTORIALS)}
    _, blocks = py_source_parser.split_code_and_text_blocks(str(script))
    made = json.loads(json.dumps(notebook.jupyter_notebook(blocks, settings, str(script.parent))))
    assert made["nbformat"] == 4
    code = ["".join(cell["source"]) for cell in made["cells"] if cell["cell_type"] == "code"]
    assert "import minivision as mv" in "\n".join(code)
    wanted = [ast.unparse(statement) for statement in ast.parse(script.read_text(encoding="utf-8")).body[1:]]
    assert [ast.unparse(statement) for cell in code for statement in ast.parse(cell).body] == wanted, "code got lost or moved"
