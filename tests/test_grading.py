"""What students hand in is read safely, graded, and reported; the files of an assignment are made."""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from compilers import needs_compiler

import minivision
from minivision.classroom import check, cut, cut_c, target
from minivision.classroom.expect import expect
from minivision.classroom.grading import bundle, reports, submissions
from minivision.classroom.grading.grade import Grader, chosen_exercises, grader
from minivision.classroom.grading.launcher import without
from minivision.classroom.grading.reports import Graded, Result
from minivision.classroom.grading.sandbox import Limits, Sandbox, modes
from minivision.classroom.grading.submissions import Submission
from minivision.classroom.manifest import Exercise, exercises, find
from minivision.classroom.workspace import LARGEST
from minivision.cli import main
from minivision.errors import SettingError

EXERCISE, C = find("softmax-gradient"), find("matmul-loop-order")
EVERY = [each for each in exercises().values() if not each.is_c or any(map(shutil.which, ("cc", "gcc", "clang")))]
ANSWER = target.answer(EXERCISE)


def read(folder: Path, chosen: Sequence[Exercise] = (EXERCISE,)) -> Submission:
    return submissions.of_folder(folder, chosen, folder.name)


def zipped(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Submission:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return submissions.of_zip(path, [EXERCISE], path.stem)


# ---------------------------------------------------------------------------------------------------- reading


def test_files_are_read_as_check_reads_them(tmp_path: Path):
    (tmp_path / EXERCISE.file).write_bytes(b"\xef\xbb\xbf" + ANSWER.replace("\n", "\r\n").encode())
    (tmp_path / "other.py").write_text("pass")
    found = read(tmp_path)
    assert found.texts == {EXERCISE.id: ANSWER}
    assert found.notes == ["not asked for: other.py"]


def test_a_folder_around_the_files_is_taken_away(tmp_path: Path):
    inner = tmp_path / "my homework"
    inner.mkdir()
    (inner / EXERCISE.file).write_text(ANSWER)
    assert read(tmp_path).texts == {EXERCISE.id: ANSWER}


def make_link(path: Path):
    path.symlink_to(check.__file__)


def make_device(path: Path):
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except OSError:
        pytest.skip("only root makes devices")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_link, "a symbolic link, not a file"),
        (lambda path: path.symlink_to("/dev/zero"), "a symbolic link, not a file"),
        (lambda path: path.symlink_to(path.name), "a symbolic link, not a file"),
        (lambda path: os.mkfifo(path), "a pipe, not a file"),
        (make_device, "a device, not a file"),
        (lambda path: path.mkdir(), "a folder, not a file"),
        (lambda path: path.write_bytes(b"#" * (LARGEST + 1)), f"more than {LARGEST:,} bytes"),
        (lambda path: path.write_bytes(b"ok\n\xff\xfe"), "line 2 is not UTF-8 text"),
    ],
    ids=["link", "link to a device", "link to itself", "pipe", "device", "folder", "huge", "not text"],
)
def test_what_is_no_text_is_refused_and_says_why(make, reason: str, tmp_path: Path):
    make(tmp_path / EXERCISE.file)
    found = read(tmp_path)
    assert not found.texts
    assert found.refused == {EXERCISE.id: f"{EXERCISE.file}: {reason}"}


def test_a_socket_is_refused(tmp_path: Path):
    import socket

    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(os.path.relpath(tmp_path / EXERCISE.file))
        assert read(tmp_path).refused == {EXERCISE.id: f"{EXERCISE.file}: a socket, not a file"}


def test_a_sparse_file_of_a_terabyte_is_not_read_whole(tmp_path: Path):
    with (tmp_path / EXERCISE.file).open("wb") as file:
        file.truncate(1 << 40)
    assert "more than" in read(tmp_path).refused[EXERCISE.id]


def test_a_folder_that_is_a_link_is_not_followed(tmp_path: Path):
    other = tmp_path / "ann"
    other.mkdir()
    (other / EXERCISE.file).write_text(ANSWER)
    (tmp_path / "bob").symlink_to(other)
    (ann, bob), single = submissions.find(tmp_path, [EXERCISE])
    assert not single
    assert ann.texts
    assert not bob.texts
    assert bob.notes == ["not a folder that can be read: links are not followed"]


def test_names_are_shown_in_plain_characters(tmp_path: Path):
    evil = os.fsencode(tmp_path) + b"/\xff\x1b[2J\n=1+1"
    os.mkdir(evil)
    (found,), _ = submissions.find(tmp_path, [EXERCISE])
    assert found.student == r"\xff\x1b[2J\x0a=1+1"


def test_many_files_are_not_all_looked_at(tmp_path: Path):
    for number in range(submissions.MOST_ENTRIES + 5):
        (tmp_path / f"{number}.py").touch()
    assert len(read(tmp_path).notes) <= submissions.MOST_NOTES


def test_zip_files_are_read_without_unpacking(tmp_path: Path):
    assert zipped(tmp_path / "a.zip", (EXERCISE.file, ANSWER.encode())).texts == {EXERCISE.id: ANSWER}
    around = zipped(tmp_path / "b.zip", (f"homework/{EXERCISE.file}", ANSWER.encode()), ("__MACOSX/._x", b""))
    assert around.texts == {EXERCISE.id: ANSWER}


@pytest.mark.parametrize(
    "name", [f"../{EXERCISE.file}", f"/tmp/{EXERCISE.file}", f"a/../../{EXERCISE.file}", f"..\\{EXERCISE.file}"]
)
def test_names_that_point_out_of_a_zip_are_left(name: str, tmp_path: Path):
    found = zipped(tmp_path / "a.zip", (name, ANSWER.encode()))
    assert not found.texts
    assert "points out of the archive" in found.notes[0]


def test_zip_tricks_are_refused(tmp_path: Path):
    link = zipfile.ZipInfo(EXERCISE.file)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert "symbolic link" in zipped(tmp_path / "link.zip", (link, check.__file__.encode())).refused[EXERCISE.id]
    bomb = zipped(tmp_path / "bomb.zip", (EXERCISE.file, bytes(64 << 20)))
    assert "more than" in bomb.refused[EXERCISE.id]
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = zipped(tmp_path / "twice.zip", (EXERCISE.file, b"pass"), (EXERCISE.file, ANSWER.encode()))
    assert "more than once" in twice.refused[EXERCISE.id]
    (tmp_path / "broken.zip").write_bytes((tmp_path / "bomb.zip").read_bytes()[:-30])
    assert "not a zip file" in submissions.of_zip(tmp_path / "broken.zip", [EXERCISE], "x").notes[0]


def test_a_broken_entry_is_refused(tmp_path: Path):
    zipped(tmp_path / "a.zip", (EXERCISE.file, os.urandom(4096)))
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[200:260] = bytes(60)
    (tmp_path / "a.zip").write_bytes(data)
    found = submissions.of_zip(tmp_path / "a.zip", [EXERCISE], "a")
    assert not found.texts
    assert found.notes or found.refused


def test_a_missing_folder_is_told():
    with pytest.raises(SettingError, match="a folder of submissions is expected"):
        submissions.find(Path("no such folder"), [EXERCISE])


# ---------------------------------------------------------------------------------------------------- reports


def graded(student: str = "ann", kinds: Sequence[str] = ("passed", "mismatch")) -> Graded:
    texts = {"passed": "passed", "mismatch": "dx is not right\n\x1b[2J\x00 ]]> <&"}
    results = [Result(each, kind, texts.get(kind, kind), 0.5) for each, kind in zip((C, EXERCISE), kinds, strict=True)]
    return Graded(student, results, ["not asked for: x.py"])


def test_gradescope_gets_what_it_documents():
    told = json.loads(reports.results_json(graded()))
    assert told["score"] == C.points == sum(test["score"] for test in told["tests"])
    assert told["stdout_visibility"] == "hidden", "what is printed tells the seed"
    assert [(test["score"], test["max_score"], test["status"]) for test in told["tests"]] == [
        (C.points, C.points, "passed"),
        (0, EXERCISE.points, "failed"),
    ]
    assert all({"name", "output", "visibility"} <= test.keys() for test in told["tests"])


def test_junit_is_well_formed_whatever_was_printed():
    suite = ElementTree.fromstring(reports.junit_xml([graded("a\x00<b>", ("ungraded", "mismatch"))])).find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "1")
    error, failure = suite.find("testcase/error"), suite.find("testcase/failure")
    assert error is not None
    assert failure is not None
    assert failure.get("message") == "dx is not right"


def test_the_table_has_a_row_for_each_student_and_no_formulas():
    every = [graded("ann"), graded("=HYPERLINK(1)", ("ungraded", "passed"))]
    rows = list(csv.reader(io.StringIO(reports.table_csv(every, [C, EXERCISE]))))
    assert rows[0] == ["student", C.id, EXERCISE.id, "total"]
    assert rows[1] == ["ann", "1", "0", "1"]
    assert rows[2] == ["'=HYPERLINK(1)", "", "1", "1"], "what could not be graded is no zero"


def test_a_link_is_replaced_and_not_followed(tmp_path: Path):
    other, path = tmp_path / "other", tmp_path / "results.json"
    other.write_text("mine")
    path.symlink_to(other)
    reports.write(path, "{}")
    assert other.read_text() == "mine"
    assert path.read_text() == "{}"
    assert not path.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["other", "results.json"]


# ---------------------------------------------------------------------------------------------------- the sandbox


def test_a_mode_that_cannot_be_had_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(SettingError, match="nothing is graded"):
        Sandbox(tried=modes()[:1])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="the limit on processes binds everyone but root")
def test_nothing_is_started_with_the_rights_of_root():
    with pytest.raises(SettingError, match="it would have the rights of root"):
        Sandbox(tried=[modes()[-1]._replace(user=False)])


def test_folders_that_hide_something_are_opened_to_their_other_parts(tmp_path: Path):
    for name in ("a/secret", "a/b/c", "d"):
        (tmp_path / name).mkdir(parents=True)
    found = without([str(tmp_path / "a"), str(tmp_path / "d")], [str(tmp_path / "a" / "secret"), str(tmp_path / "d")])
    assert found == [str(tmp_path / "a" / "b")]


def test_what_is_printed_of_protections_is_what_was_found():
    sandbox = Sandbox()
    found = {each.name: each.active for each in sandbox.protections()}
    assert found["answers hidden"] is not bool(sandbox.found["reads"])
    sandbox.found = {
        **sandbox.found,
        "reads": ["/answers"],
        "writes": True,
        "connects": True,
        "signals": True,
        "user": os.geteuid(),
    }
    named = {each.name for each in sandbox.protections() if not each.active}
    assert named >= {"answers hidden", "files safe", "grader safe", "no network", "another user"}


# ---------------------------------------------------------------------------------------------------- grading


@pytest.fixture(scope="module")
def ours() -> Iterator[Grader]:
    with grader(EVERY, Sandbox(), seed=20) as started:
        yield started


@pytest.mark.parametrize("lesson", dict.fromkeys(each.lesson for each in EVERY))
def test_the_handout_scores_nothing_and_the_library_everything(lesson: str, ours: Grader):
    chosen = [each for each in EVERY if each.lesson == lesson]
    of_lesson = Grader(ours.libraries, chosen, ours.sandbox, ours.seed)
    hole = of_lesson.graded(Submission("handout", {each.id: target.stub(each) for each in chosen}))
    full = of_lesson.graded(Submission("library", {each.id: target.answer(each) for each in chosen}))
    assert [(each.exercise.id, each.kind) for each in hole.results] == [(each.id, "unwritten") for each in chosen]
    assert [(each.exercise.id, each.kind) for each in full.results] == [(each.id, "passed") for each in chosen]
    assert hole.score == 0
    assert full.score == full.most == sum(each.points for each in chosen)


def test_answers_known_from_check_are_of_no_use(monkeypatch: pytest.MonkeyPatch):
    """All that `check` asks, answered from a list: right there, wrong where the numbers are others."""
    answers: list[np.ndarray] = []
    right = {}
    exec(ANSWER, right)

    def noted(*args, **kwargs):
        answers.append(right["_softmax_vjp"](*args, **kwargs))
        return answers[-1]

    check.find(EXERCISE)(noted, np.random.default_rng([0, check.zlib.crc32(EXERCISE.id.encode())]))
    known = [(answer.dtype.str, answer.shape, answer.tobytes()) for answer in answers]
    text = f"import numpy as np\nknown = iter({known!r})\n\n\ndef _softmax_vjp(dy, kept, *, axis=-1):\n"
    text += "    dtype, shape, data = next(known)\n    return np.frombuffer(data, dtype).reshape(shape)\n"
    assert check.run(EXERCISE, text).passed
    with grader([EXERCISE], Sandbox()) as ours:
        assert ours.graded(Submission("ann", {EXERCISE.id: text})).results[0].kind == "mismatch"


def test_what_fails_on_this_side_is_no_zero(monkeypatch: pytest.MonkeyPatch):
    if not (Path(minivision.__file__).parents[1] / "csrc").is_dir():
        pytest.skip("the library is installed: without its copy the process finds that one, and starts")
    sandbox = Sandbox()
    with grader([EXERCISE], sandbox) as ours:
        shutil.rmtree(ours.libraries[EXERCISE.id])
        (result,) = ours.graded(Submission("ann", {EXERCISE.id: ANSWER})).results
    assert result.kind == "ungraded"
    assert "cannot be started here" in result.text


def test_a_check_that_rejects_the_right_answer_costs_no_points(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(check, "find", lambda exercise: lambda student, rng: expect(1.0, 2.0, "anything"))
    with grader([EXERCISE], Sandbox()) as ours:
        (result,) = ours.graded(Submission("ann", {EXERCISE.id: ANSWER})).results
    assert result.kind == "ungraded"
    assert str(ours.seed) in result.text


def test_memory_of_several_processes_is_added_up():
    text = (Path(__file__).with_name("hostile") / "memory_of_many.py").read_text()
    sandbox = Sandbox(Limits(seconds=30.0, memory=512 << 20, processes=16))
    if not sandbox.mode.namespaces and not sandbox.mode.user:
        pytest.skip("neither namespaces nor other users here")
    with grader([EXERCISE], sandbox) as ours:
        assert ours.graded(Submission("eve", {EXERCISE.id: text})).results[0].kind == "died"


def test_a_class_is_graded_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "class"
    for student, text in {"ann": ANSWER, "bob": "import os\nos._exit(0)\n", "eve": ""}.items():
        (folder / student).mkdir(parents=True)
        (folder / student / EXERCISE.file).write_text(text)
        (folder / student / "sigmoid-gradient.py").write_text(target.answer(find("sigmoid-gradient")))
    (folder / "eve" / EXERCISE.file).unlink()
    chosen = ["--only", EXERCISE.id, "sigmoid-gradient"]
    assert main(["exercise", "grade", str(folder), "--jobs", "2", *chosen]) == 0
    said, out = capsys.readouterr().out, tmp_path / "class-grades"
    assert re.search(r"yes +limits", said)
    rows = list(csv.DictReader(io.StringIO((out / "grades.csv").read_text())))
    assert [(row["student"], row[EXERCISE.id], row["sigmoid-gradient"], row["total"]) for row in rows] == [
        ("ann", "1", "1", "2"),
        ("bob", "0", "1", "1"),
        ("eve", "0", "1", "1"),
    ], "one crash costs one exercise"
    assert {path.name for path in (out / "results").iterdir()} == {"ann.json", "bob.json", "eve.json"}
    assert len(ElementTree.parse(out / "junit.xml").findall("testsuite")) == 3
    assert sorted(os.listdir(folder)) == ["ann", "bob", "eve"], "nothing is written among the submissions"


@pytest.mark.parametrize("wrong", [["--seconds", "0"], ["--jobs", "0"], ["--only", "softmax-gradeint"]])
def test_bad_settings_are_told(wrong: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["exercise", "grade", str(tmp_path), *wrong]) == 2
    assert capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------- bundles


def test_exercises_are_chosen_by_id_and_by_lesson():
    lesson = [each for each in exercises().values() if each.lesson == EXERCISE.lesson]
    assert chosen_exercises([EXERCISE.lesson]) == lesson
    assert chosen_exercises([C.id, EXERCISE.id]) == [each for each in exercises().values() if each in (C, EXERCISE)]
    assert chosen_exercises([]) == [*exercises().values()]


def test_the_handout_has_the_holes_and_no_answer(tmp_path: Path):
    files = bundle.handout([EXERCISE, C])
    assert files[EXERCISE.file] == target.stub(EXERCISE)
    assert files[C.file] == target.stub(C)
    assert EXERCISE.title in str(files["README.txt"])
    assert max(map(len, str(files["README.txt"]).splitlines())) < 130


def statements(text: str, exercise: Exercise) -> list[str]:
    """The statements of the exercise's function, as text, without a docstring."""
    function = cut.Piece(Path(exercise.file), "exercise", exercise.name.rpartition(".")[2], text).node
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return [ast.unparse(each) for each in body]


@pytest.mark.parametrize("exercise", exercises().values(), ids=lambda each: each.id)
def test_a_handout_has_nothing_of_the_answer(exercise: Exercise):
    text = str(bundle.handout([exercise])[exercise.file])
    if exercise.is_c:
        assert not cut_c.written(text, exercise.name)
        assert cut_c.written(target.answer(exercise), exercise.name)
        return
    assert statements(text, exercise) == ["raise NotImplementedError"]
    for statement in statements(target.answer(exercise), exercise):
        assert statement not in ast.unparse(ast.parse(text))


def test_the_same_files_make_the_same_archive(tmp_path: Path):
    for name in ("a.zip", "b.zip"):
        bundle.write_zip(tmp_path / name, bundle.autograder([EXERCISE]))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


@needs_compiler
def test_gradescopes_zip_gives_the_handout_nothing_and_the_library_everything(tmp_path: Path):
    """Unpacked where Gradescope unpacks it, its library grades by the command that run_autograder has."""
    assert main(["exercise", "bundle", "--out", str(tmp_path), "--only", EXERCISE.id, C.id]) == 0
    source, holes = tmp_path / "autograder" / "source", tmp_path / "handout"
    with zipfile.ZipFile(tmp_path / "autograder.zip") as archive:
        archive.extractall(source)
        executable = {entry.filename for entry in archive.infolist() if entry.external_attr >> 16 & 0o111}
    with zipfile.ZipFile(tmp_path / "handout.zip") as archive:
        archive.extractall(holes)
    assert executable == {"setup.sh", "run_autograder"}
    for name in executable:
        assert subprocess.run(["sh", "-n", str(source / name)]).returncode == 0
    assert set(os.listdir(holes)) == {"README.txt", EXERCISE.file, C.file}
    told = as_gradescope_does(tmp_path / "autograder", {each.file: (holes / each.file).read_text() for each in (EXERCISE, C)})
    assert (told["score"], [test["status"] for test in told["tests"]]) == (0, ["failed", "failed"])
    assert all("nothing is written yet" in test["output"] for test in told["tests"])
    told = as_gradescope_does(tmp_path / "autograder", {f"homework/{each.file}": target.answer(each) for each in (EXERCISE, C)})
    assert (told["score"], [test["status"] for test in told["tests"]]) == (EXERCISE.points + C.points, ["passed", "passed"])
    assert sum(test["max_score"] for test in told["tests"]) == told["score"]


def as_gradescope_does(root: Path, files: dict[str, str]) -> dict[str, Any]:
    """Puts files into root/submission, runs root/source/run_autograder there instead of in /autograder, reads results.json."""
    shutil.rmtree(root / "submission", ignore_errors=True)
    for name, text in files.items():
        (root / "submission" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "submission" / name).write_text(text)
    script = (root / "source" / "run_autograder").read_text()
    script = script.replace("/autograder", str(root)).replace("/opt/minivision/bin/python", sys.executable)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, cwd="/", timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads((root / "results" / "results.json").read_text())
