"""The command line: exit codes, one-screen messages, and tables that fit into 80 columns."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import minivision as mv
from minivision import models
from minivision.cli import gradcheck, main
from minivision.cli.screen import brief
from minivision.proof import report

ENVIRONMENT = {**os.environ, "COLUMNS": "80", "PYTHONUNBUFFERED": "1"}


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert err == ""
    assert max(map(len, out.splitlines())) <= 80
    assert "\x1b" not in out
    return out.splitlines()


# ---------------------------------------------------------------------------------------------------------- the parser


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert lines(capsys) == [f"minivision {mv.__version__}"]


@pytest.mark.parametrize("command", ["", "train", "pretrain", "probe", "few-shot", "models", "summary", "gradcheck", "doctor"])
def test_help_fits_a_screen(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"] if command else ["--help"])
    assert end.value.code == 0
    found = lines(capsys)
    assert len(found) <= 60
    assert found[0].startswith(f"usage: minivision {command}".rstrip())


def test_help_tells_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    for default in ("default: digits", f"default: {mv.get_backend()}", "default: runs/MODEL", "default: all processors"):
        assert default in told


def test_without_a_command_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: minivision" in capsys.readouterr().err


def test_parsing_imports_neither_pictures_nor_tables() -> None:
    code = "import sys; from minivision.cli import make_parser; make_parser(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"rich", "matplotlib", "sklearn", "PIL"} & set(loaded)
    assert "minivision.cli.parser" in loaded


# ----------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "vot"], r"there is no model 'vot'.*did you mean vit"),
        (["train", "vit", "--data", "digit"], r"no data is called 'digit'(.|\n)*did you mean digits"),
        (["train", "vit", "--data", "mnist:nowhere"], r"nowhere does not exist"),
        (["train", "vit", "--epochs", "0"], "epochs must be at least 1"),
        (["train", "vit", "--lr", "nan"], "lr must be"),
        (["train", "vit", "--threads", "0"], "threads must be at least 1"),
        (["train", "vit", "--resume"], "holds no run to resume"),
        (["train", "vit_tiny_patch16_224"], "vit_tiny_patch16_224 does not fit digits"),
        (["summary", "vit_tiny"], "did you mean vit_tiny_patch16_224"),
        (["summary", "vit", "--img-size", "9"], "img_size 9 must be a positive multiple"),
        (["models", "deit_tiny"], "did you mean deit_tiny_patch16_224"),
        (["gradcheck", "sofmax"], "did you mean softmax"),
    ],
)
def test_bad_input_is_one_message_and_two(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert re.search(message, err)
    assert err.startswith(f"minivision {arguments[0]}: ")
    assert out == ""
    assert len(err.splitlines()) < 24
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["fly"], ["train"], ["train", "vit", "--epochs", "many"], ["summary", "vit", "--no-such"]])
def test_wrong_usage_is_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: minivision" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(["train", "vit", "--out", str(tmp_path / "file")]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_reader_that_has_seen_enough() -> None:
    command = f"{shlex.quote(sys.executable)} -m minivision gradcheck 's*' | head -1"
    quiet = {**ENVIRONMENT, "PYTHONWARNINGS": "ignore"}  # where there are no kernels, importing warns
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, env=quiet)
    assert (done.returncode, done.stderr) == (0, "")


# -------------------------------------------------------------------------------------------------------------- tables


def test_models_are_listed_by_paper(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    told = capsys.readouterr().out
    assert all(re.search(rf"^{name} ", told, re.M) for name in models.list_models())
    assert "An Image is Worth 16x16 Words" in told
    assert "arXiv 2010.11929" in told
    assert re.search(r"vit_base_patch16_224 +3 x 224 x 224 +86\.6 M +17\.6 G", told)


def test_models_by_pattern(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "deit_*"]) == 0
    told = capsys.readouterr().out
    assert "deit_small_patch16_224" in told
    assert "vit_base" not in told.replace("deit", "")


@pytest.mark.parametrize("name", models.list_models())
def test_summary_agrees_with_what_was_published(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", name]) == 0
    found, entry = lines(capsys), models.entry(name)
    if entry.params is not None:
        assert any(re.match(rf"published, equal +{entry.params:,} +{entry.macs:,} ", line) for line in found)
    assert any(line.startswith("counted") for line in found)


def test_summary_shows_equal_blocks_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", "vit_tiny_patch16_224"]) == 0
    assert any(re.match(r"  0-11  \(Block, each\)", line) for line in lines(capsys))


def test_summary_of_another_size_says_what_the_published_figures_are_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", "vit_tiny_patch16_224", "--img-size", "384", "--num-classes", "10", "--depth", "1"]) == 0
    found = lines(capsys)
    assert found[0] == "vit_tiny_patch16_224, input 3 x 384 x 384"
    assert any(line.startswith("published, at 3 x 224 x 224") for line in found)
    assert not any(line.startswith("  ") for line in found)
    head = next(line.split() for line in found if line.startswith("head  "))
    assert head[-3:] == ["1,930", "1,920", "10"]


def test_counts_in_brief() -> None:
    assert [brief(n) for n in (7, 1_000, 202_186, 4_598_882_304, 304_326_632)] == ["7", "1.00 k", "202 k", "4.60 G", "304 M"]


def test_gradcheck_proves(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gradcheck", "softmax"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"✓ softmax +\d\.\de-\d\d c +\d\.\de-\d\d +\d\.\de-\d\d +3/3", out)
    assert report.formula(mv.op.OPS["softmax"]) in out
    assert out.splitlines()[-1] == "1 operations proven, 3 mutants rejected"


def test_gradcheck_fails_loudly(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = replace(report.row(mv.op.OPS["relu"]), passed=False)
    monkeypatch.setattr(gradcheck, "rows", lambda pattern: iter([wrong]))
    assert main(["gradcheck", "relu"]) == 1
    out = capsys.readouterr().out
    assert "✗ relu" in out
    assert out.splitlines()[-1] == "1 of 1 operations NOT proven: relu"


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    told = "\n".join(lines(capsys))
    for name in (
        "minivision",
        "Python",
        "NumPy",
        "cffi",
        "compiler",
        "C kernels",
        "instruction set",
        "OpenMP",
        "threads",
        "GFLOP/s",
    ):
        assert name in told
