"""The site: its tables are whole, it builds without a warning, its links lead somewhere, every picture has a text."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import notebooks
import pytest

import minivision as mv
from minivision import cli, functional, nn, optim, schedule, tensors
from minivision.classroom.manifest import Exercise, exercises
from minivision.cli import docs

pytest.importorskip("sphinx_gallery")
pytest.importorskip("pydata_sphinx_theme")
pytest.importorskip("latex2mathml")

ROOT = Path(__file__).parents[1]
TUTORIALS = ROOT / "tutorials"


@pytest.fixture(scope="module")
def tables():
    """The extension that reads the tables."""
    sys.path.insert(0, str(TUTORIALS / "_ext"))
    try:
        import tables

        yield tables
    finally:
        sys.path.remove(str(TUTORIALS / "_ext"))


def clone(home: Path, *left_out: str) -> Path:
    """A copy of tutorials/ beside links to what it reads; returns its folder."""
    ignored = shutil.ignore_patterns("_build", "lessons", "__pycache__", *left_out)
    shutil.copytree(TUTORIALS, home / "tutorials", ignore=ignored)
    for name in ("minivision", "csrc"):
        (home / name).symlink_to(ROOT / name, target_is_directory=True)
    return home / "tutorials"


def build(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Builds the site of that folder into html/ beside it; warnings are errors."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", *options, ".", "../html"]
    told = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=told, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site of a copy of tutorials/, its lessons not run."""
    folder = clone(tmp_path_factory.mktemp("clone"))
    done = build(folder, "-D", "plot_gallery=0")
    assert done.returncode == 0, done.stderr[-4000:]
    return folder.parent / "html"


class Page(HTMLParser):
    """What a page points at, what can be pointed at in it, and its pictures."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.silent: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        """Collects links, anchors and pictures without a text."""
        given = dict(attrs)
        self.anchors |= {given[key] for key in ("id", "name") if given.get(key)}
        self.targets += [given[key] for key in ("href", "src") if given.get(key)]
        if tag == "img" and not (given.get("alt") or "").strip():
            self.silent.append(given["src"])


@pytest.fixture(scope="module")
def pages(site):
    """Every page by its path."""
    return {path: Page(path) for path in site.rglob("*.html") if path.relative_to(site).parts[0] != "_static"}


def test_links_lead_to_pages_and_anchors_that_are_there(site, pages):
    lost, followed = [], 0
    for path, page in pages.items():
        for target in page.targets:
            address, anchor = urldefrag(target)
            if urlparse(target).scheme:
                continue
            followed += 1
            there = (path.parent / unquote(urlparse(address).path)).resolve() if address else path
            if not there.exists() or (anchor and there in pages and unquote(anchor) not in pages[there].anchors):
                lost.append(f"{path.relative_to(site)}: {target}")
    assert not lost
    assert followed > 1000


def test_nothing_is_loaded_from_elsewhere(site):
    loads = re.compile(r"<(?:script|img|iframe|source)[^>]* src=\"(https?:|//)|<link[^>]*stylesheet[^>]* href=\"(https?:|//)")
    assert not [path.name for path in site.rglob("*.html") if loads.search(path.read_text(encoding="utf-8"))]


def test_every_picture_has_a_text(site, pages):
    assert not [(path.name, page.silent) for path, page in pages.items() if page.silent]


def test_formulas_are_mathml(site):
    text = "".join(path.read_text(encoding="utf-8") for path in (site / "lessons").glob("*.html"))
    assert text.count("<math ") > 200
    inside = " ".join(re.sub(r"<[^>]*>", " ", each) for each in re.findall(r"<math .*?</math>", text, re.DOTALL))
    assert not re.findall(r"\\[A-Za-z]+", inside), "commands that were not understood"


def test_each_lesson_says_what_it_needs_and_offers_its_notebook(site, tables):
    for script in tables.lessons():
        text = (site / f"lessons/{script.stem}.html").read_text(encoding="utf-8")
        assert "Prerequisites" in text
        assert f"{script.stem}.ipynb" in text
        for exercise in mv_exercises(script.stem):
            assert exercise.id in text, f"{exercise.id} is not listed"


def test_notebooks_to_download_are_those_that_the_tests_of_lessons_run(site, tables):
    offered = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in site.rglob("*.ipynb")}
    assert offered == {script.stem: notebooks.made(script) for script in tables.lessons()}


def test_each_lesson_includes_the_source_of_what_its_exercises_ask_for(site, tables):
    from minivision.classroom import target

    for script in tables.lessons():
        text = (site / f"lessons/{script.stem}.html").read_text(encoding="utf-8")
        folded = html.unescape(re.sub(r"<[^>]*>", "", text.partition('<details class="answers">')[2].partition("</details>")[0]))
        for exercise in mv_exercises(script.stem):
            found = target.piece(exercise)
            body = found.text[slice(*found.span)] if exercise.is_c else found.function
            missing = {line.strip() for line in body.splitlines()} - {line.strip() for line in folded.splitlines()}
            assert not missing, f"{exercise.target} is not whole"


def mv_exercises(lesson: str) -> list[Exercise]:
    """A lesson's exercises."""
    return [each for each in exercises().values() if each.lesson == lesson]


def test_every_public_name_has_its_place_in_the_api(site, pages):
    anchors = set().union(*(page.anchors for path, page in pages.items() if path.parent.name == "api"))
    wanted = {f"minivision.functional.{name}" for file in submodules(functional) for name in file.__all__}
    wanted |= {f"minivision.nn.{name}" for name, value in vars(nn).items() if isinstance(value, type)}
    wanted |= {f"minivision.{name}" for name in tensors.__all__ if name != "linalg"}
    wanted |= {f"minivision.linalg.{name}" for name in tensors.linalg.__all__}
    engine = {
        n: v for n, v in vars(mv).items() if not n.startswith("_") and getattr(v, "__module__", "").startswith("minivision.")
    }
    wanted |= {f"minivision.{name}" for name, value in engine.items() if value.__module__ != "minivision.errors"}
    wanted |= {f"minivision.errors.{name}" for name, value in engine.items() if value.__module__ == "minivision.errors"}
    for module in (optim, schedule):
        names = [n for n, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
        wanted |= {f"{module.__name__}.{name}" for name in names if not name.startswith("_")}
    assert len(wanted) > 300
    assert not sorted(wanted - anchors)


def submodules(package):
    """A package's files that export something."""
    return [value for value in vars(package).values() if hasattr(value, "__all__") and hasattr(value, "__file__")]


def test_all_that_a_lesson_records_of_a_claim_is_told(tables, tmp_path, monkeypatch):
    import claims

    monkeypatch.setattr(tables, "BUILT", tmp_path)
    name = tables.lessons()[0].stem
    lines = [("V2", "first", "holds"), ("V2", "second", "does not hold here"), ("V3", "other", "holds")]
    lines = [json.dumps(dict(zip(("number", "measured", "verdict"), each, strict=True))) for each in lines]
    (tmp_path / f"{name}.claims.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    claim = tables.claims()["V2"]
    assert f"first. second (:doc:`/lessons/{name}`)" in claims.measured(claim)
    assert claims.verdict(claim) == "**holds**, **does not hold here**"


def test_claims_name_papers_that_there_are(tables):
    assert {paper for claim in tables.claims().values() for paper in claim["papers"]} <= tables.papers().keys()
    assert {kind for claim in tables.claims().values() for kind in claim["kind"]} == {"exact", "scaled", "quoted"}
    numbers = [claim["number"] for group in tables.load("claims.toml")["group"] for claim in group["claim"]]
    assert len(numbers) == len(set(numbers))
    counts = {letter: [int(n[1:]) for n in numbers if n[0] == letter] for letter in "VASMCLD"}
    assert all(found == list(range(1, len(found) + 1)) for found in counts.values()), "no number is left out"
    assert [len(found) for found in counts.values()] == [13, 4, 8, 5, 15, 8, 4]


LESSON = """'''
A lesson
========

Which?

:Prerequisites: none
'''

from pathlib import Path

from minivision import lesson

with Path({log!r}).open("a") as file:
    file.write({name!r} + "\\n")
lesson.claim({number!r}, {measured!r})
{last}
"""


@pytest.fixture
def pair(tmp_path):
    """A site of two lessons, `write(name, number, measured, last line)` one, and `ran()`: which have run so far."""
    folder, log = clone(tmp_path, "[0-9][0-9]_*.py", "api", "teachers.rst"), tmp_path / "log"
    (folder / "index.rst").write_text("Front\n=====\n\n.. toctree::\n\n   lessons/index\n   claims\n   papers\n")
    (folder / "GALLERY_HEADER.rst").write_text("Lessons\n=======\n")

    def write(name, number, measured, last=""):
        script = LESSON.format(log=str(log), name=name, number=number, measured=measured, last=last)
        (folder / f"{name}.py").write_text(script)

    write("01_one", "V1", "one was measured")
    write("02_two", "V2", "two was measured")
    return folder, write, lambda: log.read_text().split()


def claimed(folder: Path) -> list[str]:
    """What the page of claims says was measured."""
    return re.findall(r"(?:one|two|three) was \w+", (folder.parent / "html/claims.html").read_text(encoding="utf-8"))


def test_the_page_of_claims_has_each_lessons_newest_run_and_nothing_older(pair):
    folder, write, ran = pair
    assert build(folder).returncode == 0
    assert claimed(folder) == ["one was measured", "two was measured"]
    write("02_two", "V4", "two was wrong", last="raise ValueError('half way')")
    assert "half way" in build(folder).stderr
    write("02_two", "V2", "two was measured")  # as before: nothing of the failed run may stay, though its checksum is known
    assert build(folder).returncode == 0
    assert claimed(folder) == ["one was measured", "two was measured"]
    (folder / "02_two.py").unlink()
    write("03_three", "V3", "three was measured")
    done = build(folder)
    assert done.returncode == 0, done.stderr
    assert claimed(folder) == ["one was measured", "three was measured"]
    assert ran() == ["01_one", "02_two", "02_two", "02_two", "03_three"], "unchanged lessons are not run again"


def test_papers_grow_from_older_ones(tables):
    papers = tables.papers()
    for paper in papers.values():
        for parent in paper["parents"]:
            assert papers[parent]["month"] <= paper["month"], f"{paper['name']} is older than {papers[parent]['name']}"
        if "arxiv" in paper:
            assert re.fullmatch(r"\d{4}\.\d{4,5}", paper["arxiv"])
            assert paper["arxiv"][:4] == paper["month"][2:4] + paper["month"][5:]
    numbers = [paper["arxiv"] for paper in papers.values() if "arxiv" in paper]
    assert len(numbers) == len(set(numbers))


def test_boxes_of_the_maps_do_not_overlap_and_stand_within(site, tables):
    drawings = re.findall(r'<svg class="(?:wide|narrow)".*?</svg>', (site / "papers.html").read_text(encoding="utf-8"))
    assert len(drawings) == 2
    for drawing in drawings:
        wide, high = map(int, re.search(r'viewBox="0 0 (\d+) (\d+)"', drawing).groups())
        boxes = [tuple(map(int, box)) for box in re.findall(r'<rect x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"', drawing)]
        assert len(boxes) == len(tables.papers())
        assert all(x >= 0 and x + w <= wide and y >= 0 and y + h <= high for x, y, w, h in boxes)
        apart = [
            x0 + w0 <= x1 or x1 + w1 <= x0 or y0 + h0 <= y1 or y1 + h1 <= y0
            for (x0, y0, w0, h0), (x1, y1, w1, h1) in combinations(boxes, 2)
        ]
        assert all(apart)


def test_the_maps_lead_to_the_lessons(site, tables):
    from papers import written

    text = (site / "papers.html").read_text(encoding="utf-8")
    for key, paper in tables.papers().items():
        lessons = [f"lessons/{name}.html" for name in written(paper)]
        found = re.findall(rf'<a href="([^"]*)" class="paper at-{key}( taught)?"', text)
        assert found == 2 * [(lessons[0], " taught") if lessons else (f"#paper-{key}", "")]


def test_docs_opens_what_is_built_or_says_how(tmp_path, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(docs.webbrowser, "open", opened.append)
    assert cli.main(["docs", "--site", str(tmp_path)]) == cli.BAD_INPUT
    assert "make docs" in capsys.readouterr().err
    (tmp_path / "index.html").write_text("here")
    assert cli.main(["docs", "--site", str(tmp_path)]) == cli.OK
    assert opened == [(tmp_path / "index.html").as_uri()]
