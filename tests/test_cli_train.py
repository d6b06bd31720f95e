"""`minivision train`: what it prints and leaves, Ctrl-C in a process of its own, and the moving bar."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from runs import tiny_mnist

from minivision import kernels
from minivision.cli import main
from minivision.train import folder

ENVIRONMENT = {**os.environ, "COLUMNS": "80", "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_mnist(tmp_path_factory.mktemp("mnist"))


def test_train_prints_lines_and_leaves_a_run(spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "runs" / "deep"
    arguments = ["train", "vit", "--data", spec, "--out", str(out), "--epochs", "2", "--batch-size", "8", "--threads", "2"]
    assert main(arguments) == 0
    found = capsys.readouterr().out.splitlines()
    assert found[0].startswith("vit_digits, 202,186 parameters, on ")
    assert re.fullmatch(r"epoch 2/2  loss \d\.\d{4}  train +[\d.]+%  test +[\d.]+%  [\d,]+ images/s", found[2])
    assert str(out / folder.REPORT) in found[-1]
    assert main(arguments) == 0
    assert f"the earlier run was moved to {out / 'earlier-1'}" in capsys.readouterr().out
    assert json.loads((out / folder.METRICS).read_text())["threads"] == (2 if kernels.has_openmp() else 1)
    assert (out / folder.REPORT).read_bytes().startswith(b"\x89PNG")


def test_settings_reach_the_run(spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = "--epochs 1 --batch-size 30 --lr 0.01 --weight-decay 0.5 --seed 3 --backend numpy --no-augment"
    assert main(["train", "vit", "--data", spec, "--out", str(tmp_path), *options.split()]) == 0
    found = json.loads((tmp_path / folder.CONFIG).read_text())
    wanted = {"epochs": 1, "batch_size": 30, "lr": 0.01, "weight_decay": 0.5, "seed": 3, "backend": "numpy", "augment": False}
    assert {name: found[name] for name in wanted} == wanted
    assert json.loads((tmp_path / folder.METRICS).read_text())["isa"] == "numpy"
    assert "NumPy" in capsys.readouterr().out


def test_a_moving_bar_on_a_terminal(spec: str, tmp_path: Path) -> None:
    pty = pytest.importorskip("pty", reason="pseudo-terminals are a thing of Unix")
    screen, child = pty.openpty()
    command = [sys.executable, "-m", "minivision", "train", "vit", "--data", spec, "--out", str(tmp_path), "--epochs", "3"]
    process = subprocess.Popen(command, stdout=child, stderr=child, env={**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "100"})
    os.close(child)
    shown = b""
    while True:
        try:
            piece = os.read(screen, 65536)
        except OSError:  # the other end is closed
            break
        shown += piece
        if not piece:
            break
    os.close(screen)
    assert process.wait(60) == 0
    text = shown.decode()
    assert "\x1b[2K" in text  # the line is drawn over
    assert re.search(r"epoch 3/3  loss \d\.\d{3}  train [\d.]+%  test [\d.]+%  [\d,]+ images/s", text)


def test_ctrl_c_saves_and_the_command_it_prints_ends_with_the_same_bits(spec: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "minivision", "train", "vit", "--data", spec, "--epochs", "30", "--batch-size", "4", "--out"]
    stopped, whole = tmp_path / "stopped here", tmp_path / "whole"
    process = subprocess.Popen(
        [*command, str(stopped)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    assert process.stdout is not None
    next(line for line in process.stdout if line.startswith("epoch"))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    told = re.search(r"^stopped and saved; to go on: minivision (.*)$", err, re.M)
    assert told
    assert (stopped / folder.STATE).exists()
    for arguments in (shlex.split(told.group(1)), [*command[3:], str(whole)]):  # as the first: NumPy's bits vary with its threads
        assert subprocess.run([*command[:3], *arguments], env=ENVIRONMENT, stdout=subprocess.DEVNULL).returncode == 0
    assert (stopped / folder.MODEL).read_bytes() == (whole / folder.MODEL).read_bytes()
    figures = [json.loads((out / folder.METRICS).read_text()) for out in (stopped, whole)]
    assert figures[0]["test_accuracy"] == figures[1]["test_accuracy"]
    assert figures[0]["loss"] == figures[1]["loss"]


def test_nan_is_one_message_and_two(spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "vit", "--data", spec, "--out", str(tmp_path), "--lr", "1e30", "--epochs", "20"]) == 2
    err = capsys.readouterr().err
    assert re.match(r"minivision train: training stopped at step \d+ \(epoch \d+, batch \d+\): the loss is (nan|inf)\n", err)
    assert "first not finite: the output of blocks" in err
    assert len(err.splitlines()) <= 6
    assert (tmp_path / folder.MODEL).exists()
