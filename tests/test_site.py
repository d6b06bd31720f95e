"""The site: its tables are whole, it builds without a warning, its links lead somewhere, every picture has a text."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import pytest

import minivision as mv
from minivision import cli, functional, nn, optim, schedule, tensors
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


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site of a copy of tutorials/, its lessons not run; warnings are errors."""
    home = tmp_path_factory.mktemp("clone")
    shutil.copytree(TUTORIALS, home / "tutorials", ignore=shutil.ignore_patterns("_build", "lessons", "__pycache__"))
    for name in ("minivision", "csrc"):
        (home / name).symlink_to(ROOT / name, target_is_directory=True)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-D", "plot_gallery=0", ".", "../html"]
    told = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=home / "tutorials", env=told, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return home / "html"


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
            assert exercise in text, f"{exercise} is not listed"


def mv_exercises(lesson: str) -> list[str]:
    """The ids of a lesson's exercises."""
    from minivision.classroom.manifest import exercises

    return [each.id for each in exercises().values() if each.lesson == lesson]


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


def test_claims_name_papers_that_there_are(tables):
    assert {paper for claim in tables.claims().values() for paper in claim["papers"]} <= tables.papers().keys()
    assert {kind for claim in tables.claims().values() for kind in claim["kind"]} == {"exact", "scaled", "quoted"}
    numbers = [claim["number"] for group in tables.load("claims.toml")["group"] for claim in group["claim"]]
    assert len(numbers) == len(set(numbers))
    counts = {letter: [int(n[1:]) for n in numbers if n[0] == letter] for letter in "VASMCLD"}
    assert all(found == list(range(1, len(found) + 1)) for found in counts.values()), "no number is left out"
    assert [len(found) for found in counts.values()] == [13, 4, 8, 5, 15, 8, 4]


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


def test_boxes_of_the_map_do_not_overlap(site, tables):
    text = (site / "papers.html").read_text(encoding="utf-8")
    boxes = [tuple(map(float, found)) for found in re.findall(r'<rect x="(\d+)" y="(\d+)" width="(\d+)" height="20"', text)]
    assert len(boxes) == len(tables.papers())
    rows = sorted((y, x, width) for x, y, width in boxes)
    assert all(y0 != y1 or x0 + w0 <= x1 for (y0, x0, w0), (y1, x1, _) in pairwise(rows))


def test_docs_opens_what_is_built_or_says_how(tmp_path, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(docs.webbrowser, "open", opened.append)
    assert cli.main(["docs", "--site", str(tmp_path)]) == cli.BAD_INPUT
    assert "make docs" in capsys.readouterr().err
    (tmp_path / "index.html").write_text("here")
    assert cli.main(["docs", "--site", str(tmp_path)]) == cli.OK
    assert opened == [(tmp_path / "index.html").as_uri()]
