"""What the doctor says of this machine, and of one without kernels or without a compiler."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

import minivision as mv
from minivision import doctor, kernels
from minivision.cli import main

WITH_KERNELS = pytest.mark.skipif(not kernels.AVAILABLE, reason="the kernels are not built here, so there are none to report on")


def test_facts_are_this_machine() -> None:
    facts = doctor.facts()
    assert facts["minivision"].startswith(mv.__version__)
    assert facts["NumPy"].startswith(np.__version__)
    assert str(mv.get_num_threads()) in facts["threads"]
    assert kernels.isa() in facts["instruction set"]
    assert facts["C kernels"] == "built" or "NOT BUILT" in facts["C kernels"]


def test_speed_is_measured_on_real_products() -> None:
    speed = doctor.measure(size=128, seconds=0.02)
    assert speed.size == 128
    assert 1e-3 < speed.ours < 1e6
    assert 1e-3 < speed.numpy < 1e6


@WITH_KERNELS
def test_no_product_is_faster_than_the_peak() -> None:
    for dtype in (np.float32, np.float64):
        a, b = np.random.default_rng(0).standard_normal((2, 512, 512)).astype(dtype)
        seconds = doctor._best(lambda a=a, b=b: kernels.matmul.forward(a, b), 0.2)
        peak = kernels.peak(dtype, 0.2)
        assert peak is not None
        assert 0.05 * peak < 2.0 * 512**3 / seconds < 1.1 * peak  # a busy machine may slow either


def test_a_slow_product_is_timed_once() -> None:
    calls = []
    best = doctor._best(lambda: calls.append(time.sleep(0.03)), seconds=0.0)
    assert len(calls) == 2  # once to warm up
    assert 0.03 <= best < 1.0


def test_it_takes_under_five_seconds() -> None:
    start = time.perf_counter()
    doctor.facts()
    doctor.measure()
    assert time.perf_counter() - start < 5.0


def test_a_compiler_is_found_by_name_and_by_CC(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.compiler() == ""
    for name in ("gcc", "mine"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho {name} 12.0\necho more\n")
        program.chmod(0o755)
    assert doctor.compiler() == f"{tmp_path / 'gcc'}: gcc 12.0"
    monkeypatch.setenv("CC", "mine -O3")
    assert doctor.compiler() == f"{tmp_path / 'mine'}: mine 12.0"


@WITH_KERNELS
def test_all_is_well_here() -> None:
    assert doctor.advice() == ""
    assert set(kernels.isas()) <= set(doctor.facts()["instruction set"].replace(",", "").split())


def test_without_kernels_a_box_says_what_to_do(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(kernels, "AVAILABLE", False)
    monkeypatch.setattr(kernels, "REASON", "no module named _kernels")
    monkeypatch.setattr(doctor, "compiler", lambda: "")
    monkeypatch.setattr(doctor.platform, "system", lambda: "Linux")
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    told = " ".join(out.replace("┃", " ").split())
    assert "NOT BUILT (no module named _kernels)" in told
    assert "THE C KERNELS ARE NOT BUILT" in told
    assert "1. Install a C compiler: apt-get install gcc" in told
    assert "2. Install minivision again" in told
    assert max(map(len, out.splitlines())) <= 80


def test_without_kernels_but_with_a_compiler_only_the_installation_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "AVAILABLE", False)
    monkeypatch.setattr(doctor, "compiler", lambda: "/usr/bin/cc: cc 12")
    assert "Install a C compiler" not in doctor.advice()
    assert "Install minivision again" in doctor.advice()
