"""The roofline shows every workload, with words that overlap nothing; README's table changes nothing around it."""

from __future__ import annotations

import importlib.util
import io
import json
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread
from matplotlib.text import Text

from minivision import bench
from minivision.bench import Machine, Result, report
from minivision.plot.roofline import RATES, ROOFS, chart, roofline

ROOT = Path(__file__).parents[1]
MACHINE = Machine({"float32": 200e9, "float64": 100e9}, 20e9, 2, "avx2", "A processor")


def measured(pattern: str = "", torch: bool = True) -> list[Result]:
    """Every workload between half and all of the limit, PyTorch at up to twice or half the speed."""
    rng = np.random.default_rng(0)
    results = []
    for work in bench.workloads():
        seconds = {"minivision": MACHINE.attainable(work) / rng.uniform(0.5, 1.0)}
        seconds |= {"torch": seconds["minivision"] * 2.0 ** rng.uniform(-1.0, 1.0)} if torch else {}
        results += [Result(work, {name: [each] for name, each in seconds.items()}, {})] if work.group.startswith(pattern) else []
    return results


# ------------------------------------------------------------------------------------------------------------- roofline


def test_every_group_has_a_panel() -> None:
    groups = [name for panel in ROOFS.values() for name in panel] + list(RATES.values())
    assert sorted(groups) == sorted({w.group for w in bench.workloads()})


@pytest.mark.parametrize("pattern", ["", "conv", "memory"])
def test_the_picture_opens_and_is_as_wide_as_a_page(pattern: str) -> None:
    results = measured(pattern)
    height, width, _ = imread(io.BytesIO(roofline(results, MACHINE)), format="png").shape
    assert width == 1600
    assert (height > 2000) == (pattern == "")


def lines(axes: Any) -> list[np.ndarray]:
    """(x, y) of each line and of each set of dots."""
    return [np.asarray(line.get_xydata()) for line in axes.lines]


def points(figure: Any) -> list[list[float]]:
    """The dots of minivision: those that are filled."""
    dots = [line for axes in figure.axes for line in axes.lines if line.get_marker() == "o"]
    return [point for line in dots if line.get_markerfacecolor() != "white" for point in line.get_xydata().tolist()]


def test_each_dot_is_where_its_workload_is() -> None:
    results = measured("attention")
    expected = sorted([r.workload.flops / r.workload.bytes, r.workload.flops / r.seconds["minivision"] / 1e9] for r in results)
    assert np.allclose(sorted(points(chart(results, MACHINE))), expected)
    moved = measured("optimiser")
    speeds = [r.workload.bytes / r.seconds["minivision"] / 1e9 for r in moved]
    assert np.allclose(points(chart(moved, MACHINE)), list(zip(speeds, range(4), strict=True)))


def test_the_roof_is_the_peak_and_the_slope_the_bandwidth() -> None:
    (axes,) = chart(measured("attention"), MACHINE).axes
    x, y = max(lines(axes), key=len).T
    assert np.allclose(y, np.minimum(200.0, 20.0 * x))
    assert x[0] < 10.0 < x[-1], "the ridge, at peak / bandwidth, is in the picture"


def test_the_best_and_the_worst_are_named() -> None:
    results = [r for r in measured("conv") if r.workload.group == "conv"]
    words = {text.get_text() for text in chart(results, MACHINE).axes[0].texts}
    for extreme in (min, max):
        found = extreme(results, key=lambda r: report.share(r, MACHINE))
        assert f"{found.workload.name}: {report.share(found, MACHINE):.0%}" in words


def test_no_words_overlap() -> None:
    figure = chart(measured(), MACHINE)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    for axes in figure.axes:
        boxes = [(t.get_text(), Text.get_window_extent(t, renderer)) for t in axes.texts if t.get_rotation() == 0.0]
        overlaps = [(a, b) for (a, one), (b, two) in combinations(boxes, 2) if one.overlaps(two)]
        assert overlaps == []
        assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for _, box in boxes)


def test_without_kernels_or_torch_there_are_dots_and_no_limits() -> None:
    results = measured("attention", torch=False)
    (axes,) = chart(results, None).axes
    assert len(points(chart(results, None))) == len(results) == 8
    assert not axes.texts
    assert sum(np.isfinite(line[:, 1]).sum() for line in lines(axes)) == 8


# --------------------------------------------------------------------------------------------------------------- README


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme_table", ROOT / "tests" / "bench" / "readme_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def written(folder: Path, results: list[Result], machine: Machine | None = MACHINE, **versions: str) -> Path:
    path = folder / "bench.json"
    path.write_text(json.dumps(report.as_json(results, machine, {"minivision": "1", "NumPy": "2", **versions})))
    return path


def test_only_what_stands_between_the_markers_changes(tool: ModuleType, tmp_path: Path) -> None:
    page, before = tmp_path / "README.md", (ROOT / "README.md").read_text()
    page.write_text(before)
    options = ["--json", str(written(tmp_path, measured(), PyTorch="3")), "--readme", str(page)]
    tool.main(options)
    once = page.read_text()
    tool.main(options)
    assert page.read_text() == once, "a second run changes nothing"
    (head, _, tail), (head_now, _, tail_now) = (text.partition(tool.BEGIN) for text in (before, once))
    assert head_now == head
    assert tail_now.partition(tool.END)[2] == tail.partition(tool.END)[2]
    assert tail_now.partition(tool.END)[0] == f"\n{tool.section(json.loads((tmp_path / 'bench.json').read_text()))}\n"


def test_the_table_says_what_was_measured(tool: ModuleType) -> None:
    work = {f"{w.group} {w.name}": w for w in bench.workloads(["gemm", "optimiser"])}
    product, update = work["gemm 2048x2048x2048 ab"], work["optimiser adamw 25M"]
    exact = MACHINE.attainable(product)
    results = [
        Result(product, {"minivision": [2 * exact], "numpy": [3 * exact], "torch": [5 * exact]}, {}),
        Result(work["gemm 2048x2048x2048 abT"], {"minivision": [2 * exact], "numpy": [12 * exact]}, {}),
        Result(update, {"minivision": [4 * MACHINE.attainable(update)]}, {}),
    ]
    assert tool.table(results, MACHINE)[2:] == ["| gemm | 2 | 3.00 | 1.50 | 50% |", "| optimiser | 1 |  |  | 25% |"]
    assert tool.table(results, None)[2] == "| gemm | 2 | 3.00 | 1.50 |  |"
    said = tool.section(report.as_json(results, MACHINE, {"minivision": "1", "NumPy": "2.4", "PyTorch": "3"})).splitlines()[0]
    assert said.startswith(
        "A processor, avx2, 2 threads (200 GFLOP/s in float32, 20.0 GB/s); minivision 1, NumPy 2.4, PyTorch 3."
    )
    assert "the faster of NumPy and PyTorch" in said


@pytest.mark.parametrize("page", ["", "{BEGIN}", "{END} {BEGIN}", "{BEGIN} {END} {BEGIN} {END}", "{BEGIN} {END} {END}"])
def test_a_page_without_its_markers_is_refused(tool: ModuleType, page: str) -> None:
    with pytest.raises(SystemExit, match="once each"):
        tool.insert(page.format(BEGIN=tool.BEGIN, END=tool.END), "text")


def test_options_of_a_measurement_do_not_go_with_a_file(tool: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        tool.main(["--json", str(written(tmp_path, [])), "--rounds", "1"])
