"""What `minivision bench` times is what was published; its processes, figures, table and picture say what was measured."""

from __future__ import annotations

import json
import math
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import minivision as mv
from minivision import bench, models
from minivision.bench import Machine, Result, Workload, report
from minivision.bench.networks import Layer, _mobilenet_v3_large, _resnet50, mobilenet_v3_large, resnet50
from minivision.bench.run import batches, find_torch
from minivision.cli import main
from minivision.cli.bench import choose
from minivision.cli.parser import BENCHMARKS
from minivision.errors import SettingError

WORK = {f"{w.group} {w.name}": w for w in bench.workloads()}
TINY = "gemm 64x64x64 ab"
MACHINE = Machine({"float32": 200e9, "float64": 100e9}, 20e9, 2, "avx2", "A processor")


def result(workload: Workload, **seconds: float) -> Result:
    return Result(workload, {name: [each] for name, each in seconds.items()}, dict.fromkeys(seconds, 0.0))


# --------------------------------------------------------------------------------------------------------- what is timed


def bottlenecks() -> list[tuple[int, ...]]:
    """ResNet-50's convolutions from its widths alone: stage s works on 56 / 2^s pixels a side with 64 * 2^s channels."""
    found: list[tuple[int, ...]] = [(3, 64, 224, 7, 2, 1)]
    for stage, blocks in enumerate((3, 4, 6, 3)):
        w, after = 2 ** (6 + stage), 56 >> stage
        for first in [True] + [False] * (blocks - 1):
            s = 2 if first and stage else 1
            c = 4 * w if not first else 2 * w if stage else 64
            found += [(c, w, after * s, 1, 1, 1), (w, w, after * s, 3, s, 1), (w, 4 * w, after, 1, 1, 1)]
            found += [(c, 4 * w, after * s, 1, s, 1)] if first else []
    return found


def test_resnet50_has_23_distinct_convolutions_in_the_order_of_its_modules() -> None:
    expected = bottlenecks()
    assert [tuple(layer) for layer in _resnet50()] == expected
    assert [tuple(layer) for layer in resnet50()] == [e for i, e in enumerate(expected) if e not in expected[:i]]
    assert (len(expected), len(resnet50())) == (53, 23)


def weights(layers: list[Layer]) -> int:
    """Parameters of the convolutions and of the batch norm after each."""
    return sum(x.outputs * (x.channels // x.groups * x.kernel**2 + 2) for x in layers)


def products(layers: list[Layer]) -> int:
    """Multiply-adds of the convolutions for one image."""
    return sum(x.outputs * (x.channels // x.groups) * x.kernel**2 * (x.side // x.stride) ** 2 for x in layers)


def test_resnet50_has_the_published_parameters_and_multiply_adds() -> None:
    layers, head = list(_resnet50()), 2048 * 1000
    assert weights(layers) + head + 1000 == 25_557_032
    assert f"{(products(layers) + head) / 1e9:.3f}" == "4.089"


def test_mobilenet_v3_large_has_the_published_parameters_and_multiply_adds() -> None:
    layers = list(_mobilenet_v3_large())
    squeezes = [(72, 24), (120, 32), (120, 32), (480, 120), (672, 168), (672, 168), (960, 240), (960, 240)]
    squeeze, head = sum(2 * e * s for e, s in squeezes), 960 * 1280 + 1280 * 1000
    biases = sum(e + s for e, s in squeezes) + 1280 + 1000
    assert weights(layers) + squeeze + head + biases == 5_483_032
    assert f"{(products(layers) + squeeze + head) / 1e9:.3f}" == "0.217"
    assert [x.side for x in layers if x.groups > 1] == [112, 112, *[56] * 2, *[28] * 3, *[14] * 6, 7, 7]
    assert list(Counter(layers)) == mobilenet_v3_large()


def test_every_distinct_layer_is_timed_forward_and_with_gradients() -> None:
    layers = {tuple(layer) for layer in [*_resnet50(), *_mobilenet_v3_large()]}
    timed = Counter(tuple(w.sizes[n] for n in Layer._fields) for w in bench.workloads(["conv"]))
    assert timed == Counter(dict.fromkeys(layers, 2))


def test_flops_and_bytes_by_hand() -> None:
    stem, n = WORK["conv 7x7 3->64 @224 s2"], 8
    assert stem.flops == 2 * n * (112 * 112) * 64 * (3 * 7 * 7)
    assert stem.bytes == 4 * (n * 3 * 224 * 224 + n * 64 * 112 * 112 + 64 * 3 * 7 * 7)
    wide = WORK["depthwise + gradients 5x5 672->672 @14 s2 depthwise"]
    assert wide.flops == 3 * 2 * n * (7 * 7) * 672 * 25
    assert wide.bytes == 3 * 4 * 672 * (n * 14 * 14 + n * 7 * 7 + 25)
    assert (WORK[TINY].flops, WORK[TINY].bytes) == (2 * 64**3, 3 * 64**2 * 4)
    assert WORK["gemm64 64x64x64 abT"].bytes == 3 * 64**2 * 8
    seen = sum(query + 1 for query in range(1024))
    assert WORK["attention causal (4, 12, 1024, 64)"].flops == 2 * (2 * 4 * 12 * seen * 64)
    assert WORK["memory-bound layer_norm 1576x384"].bytes == 4 * 5 * 1576 * 384
    assert WORK["memory-bound max_pool2d 2x2 s2 8x64x56x56"].bytes == 4 * 8 * 64 * (2 * 56 * 56 + 2 * 28 * 28)
    assert WORK["memory-bound embedding 8x1024"].bytes == 4 * 768 * (3 * 8 * 1024 + 50257)


def test_a_vision_transformers_work_is_what_its_profile_counts() -> None:
    published = models.entry("vit_small_patch16_224").macs
    assert published is not None
    assert WORK["training ViT-S/16, batch 8: inference"].flops == pytest.approx(2 * 8 * published, rel=1e-3)
    assert WORK["training ViT-S/16, batch 8: training step"].flops == 3 * WORK["training ViT-S/16, batch 8: inference"].flops


def test_a_language_model_s_work_is_what_its_profile_counts() -> None:
    blocks = models.create_model("gpt2", n_positions=64)
    counted = mv.profile(blocks, (64,)).macs
    assert WORK["language gpt2, 4 x 64 tokens: training step"].flops == pytest.approx(3 * 2 * 4 * counted, rel=1e-9)
    weights = mv.count_parameters(blocks)
    assert WORK["language gpt2: 16 tokens written"].bytes == pytest.approx(4 * 16 * weights, rel=2e-3)


def test_names_are_unique_and_the_command_line_knows_every_group() -> None:
    assert len(WORK) == len(bench.workloads())
    assert tuple(bench.GROUPS) == BENCHMARKS


def test_a_whole_model_has_a_process_of_its_own() -> None:
    sizes = [len(batch) for batch in batches(bench.workloads(["optimiser", "training", "networks", "language"]))]
    assert sizes == [4] + 20 * [1]


# ------------------------------------------------------------------------------------------------------------ processes


def test_a_workload_is_timed_in_processes_of_its_own() -> None:
    (found,) = bench.run([WORK[TINY]], rounds=1, seconds=0.001, threads=1)
    assert found.workload is WORK[TINY]
    assert found.seconds.keys() == found.memory.keys() == {"minivision", "numpy"}
    assert all(1e-7 < seconds < 1.0 for seconds in found.seconds.values())
    assert found.ratio("numpy") == found.seconds["numpy"] / found.seconds["minivision"]
    assert found.ratio("torch") is None


@pytest.fixture
def bare(tmp_path: Path) -> str:
    """This interpreter without what is installed, and so without PyTorch."""
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nunset PYTHONPATH\nexec {shlex.quote(sys.executable)} -S "$@"\n')
    script.chmod(0o755)
    return str(script)


def test_an_interpreter_without_torch_is_refused(bare: str) -> None:
    with pytest.raises(SettingError, match="cannot import torch"):
        find_torch(bare)
    with pytest.raises(SettingError, match=r"torch cannot be timed with .*python: ModuleNotFoundError: No module named 'torch'"):
        list(bench.run([WORK[TINY]], rounds=1, seconds=0.001, threads=1, torch=bare))


def test_an_interpreter_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"--torch .*nowhere: no interpreter can be started there"):
        find_torch(str(tmp_path / "nowhere"))


def test_torch_is_found_with_its_version(bare: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # `python -c` imports from where it stands
    (tmp_path / "torch.py").write_text("__version__ = '9.8'\n")
    found = find_torch(bare)
    assert found == (bare, "9.8")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"rounds": 0}, "rounds must be at least 1, got 0"),
        ({"seconds": 0.0}, "seconds must be positive, got 0"),
        ({"seconds": math.nan}, "seconds must be positive, got nan"),
        ({"threads": 0}, "threads must be at least 1, got 0"),
    ],
)
def test_settings_that_time_nothing(setting: dict[str, float], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        next(bench.run([WORK[TINY]], **setting))


# -------------------------------------------------------------------------------------------------------------- figures


def test_the_ratio_is_that_of_turns_side_by_side() -> None:
    """A machine that was three times slower in one of the turns was so for both."""
    found = Result(WORK[TINY], {"minivision": [1.0, 3.0, 1.1, 5.0], "torch": [2.0, 6.0, 2.2, 10.0]}, {})
    assert found.ratio("torch") == pytest.approx(2.0, rel=1e-15)
    assert found.seconds == {"minivision": pytest.approx(2.05), "torch": pytest.approx(4.1)}


def test_the_limit_is_the_longer_of_arithmetic_and_traffic() -> None:
    computes = Workload("gemm", "a", "gemm", {}, flops=100e9, bytes=1e9)
    moves = Workload("gemm64", "b", "gemm", {}, flops=1e9, bytes=100e9, dtype="float64")
    assert (MACHINE.attainable(computes), MACHINE.attainable(moves)) == (0.5, 5.0)
    assert report.share(result(computes, minivision=1.0), MACHINE) == 0.5
    assert report.row(result(computes, minivision=1.0, torch=1.5), MACHINE) == [
        "a",
        "1000.0 ms",
        "100 GFLOP/s",
        "50%",
        "",
        "1.50",
    ]


def test_the_summary_compares_with_the_fastest_of_the_others() -> None:
    one, two, three = (Workload("gemm", name, "gemm", {}, 1.0, 1.0) for name in "abc")
    results = [result(one, minivision=1.0, numpy=2.0, torch=4.0), result(two, minivision=2.0, numpy=5.0, torch=1.0)]
    mean, least, count = report.summary([*results, result(three, minivision=1.0)])["gemm"]
    assert (mean, least, count) == (pytest.approx(math.sqrt(2.0 * 0.5)), 0.5, 2)
    assert report.summary([result(three, minivision=1.0)]) == {}


def test_geometric_mean() -> None:
    assert report.geometric_mean([0.5, 2.0, 8.0]) == pytest.approx(2.0, rel=1e-15)
    assert report.geometric_mean([3.0]) == pytest.approx(3.0, rel=1e-15)


@pytest.mark.parametrize("machine", [MACHINE, None])
def test_json_comes_back_as_it_was(machine: Machine | None) -> None:
    rng = np.random.default_rng(0)
    results = [Result(w, {"minivision": rng.random(3).tolist()}, {"minivision": 4096.0}) for w in WORK.values()]
    told = json.loads(json.dumps(report.as_json(results, machine, {"NumPy": np.__version__})))
    assert told["versions"] == {"NumPy": np.__version__}
    assert report.from_json(told) == (results, machine)


# ----------------------------------------------------------------------------------------------------- the command line


def test_unknown_groups_and_patterns_are_told_the_choices() -> None:
    with pytest.raises(SettingError, match=r"no group is called convolution; there are gemm, conv, attention"):
        choose(["gemm", "convolution"], "*")
    with pytest.raises(SettingError) as refused:
        choose(["conv"], "gemm *")
    told = str(refused.value).splitlines()
    assert told[0].startswith("--only 'gemm *' fits no workload")
    assert [WORK[line.strip()].group for line in told[1:]] == ["conv", "conv + gradients", "depthwise", "depthwise + gradients"]
    assert choose([], TINY) == [WORK[TINY]]


@pytest.mark.parametrize(
    "options", [["--rounds", "0"], ["--threads", "-1"], ["--seconds", "nan"], ["--torch", "/nowhere"], ["--json", "no/where"]]
)
def test_bad_input_is_two(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--only", TINY, *options]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith("minivision bench: ")


def test_the_command_prints_and_writes_what_it_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(bench, "measure_machine", lambda: MACHINE)  # the real one takes a second and half a gigabyte
    files = ["--json", str(tmp_path / "bench.json"), "--picture", str(tmp_path / "roof.png")]
    assert main(["bench", "gemm", "--only", TINY, "--rounds", "1", "--seconds", "0.001", "--threads", "1", *files]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert max(map(len, out.splitlines())) <= 80
    results, machine = report.from_json(json.loads((tmp_path / "bench.json").read_text()))
    assert (machine, [r.workload for r in results]) == (MACHINE, [WORK[TINY]])
    cells = report.row(results[0], MACHINE)
    assert [line.split() for line in out.splitlines() if line.startswith("64x64x64")] == [" ".join(cells).split()]
    assert (tmp_path / "roof.png").read_bytes().startswith(b"\x89PNG")


def test_help_fits_a_screen() -> None:
    told = subprocess.run([sys.executable, "-W", "ignore", "-m", "minivision", "bench", "--help"], capture_output=True, text=True)
    assert told.returncode == 0
    assert told.stdout.startswith("usage: minivision bench")
