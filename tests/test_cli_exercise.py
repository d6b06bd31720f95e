"""`minivision exercise` as a student meets it, in an empty folder: every screen is read, and every way to stumble is gone."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from compilers import needs_compiler

from minivision.classroom import target
from minivision.classroom.manifest import exercises, find
from minivision.classroom.workspace import PROGRESS
from minivision.cli import main

PYTHON, IN_C = find("sigmoid-gradient"), find("conv-window")
EVERY = list(exercises().values())
ROWS, COLUMNS = 24, 80
Say = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    return tmp_path


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs `minivision exercise ...`; what it exits with, and what it says: on one stream only, within 80 columns."""

    def run(*words: str) -> tuple[int, str]:
        code = main(["exercise", *words])
        out, err = capsys.readouterr()
        assert not (out and err) or words[0] == "check"
        lines = [line for line in f"{out}{err}".splitlines() if not line.startswith("  in /")]  # a path is as long as it is
        assert max(map(len, lines), default=0) <= COLUMNS, f"{out}{err}"
        assert "Traceback" not in out + err
        assert "\x1b" not in out + err
        return code, out + err

    return run


def progress() -> dict:
    return json.loads(Path(PROGRESS).read_text())


def write_right(exercise=PYTHON) -> None:
    Path(exercise.file).write_text(target.answer(exercise))


def edit(old: str, new: str, name: str = PYTHON.file) -> None:
    text = Path(name).read_text()
    assert text.count(old) == 1
    Path(name).write_text(text.replace(old, new))


# ---------------------------------------------------------------------------------------------------------- the list


def test_the_list_in_an_empty_folder(say: Say, folder: Path):
    code, told = say("list")
    assert code == 0
    assert say() == (code, told), "it is what comes without an action"
    lines = told.splitlines()
    for each in EVERY:
        (row,) = [line for line in lines if line.startswith(f"  {each.id} ")]
        assert re.match(rf"  {each.id} +{each.level} +{re.escape(each.title[:20])}", row)
    assert {line for line in lines if re.fullmatch(r"\d\d_\w+", line)} == {each.lesson for each in EVERY}
    assert f"{'╌' * 30}  0 of {sum(each.points for each in EVERY)} points, 0 of {len(EVERY)} exercises" in told
    assert lines[-1] == f"next  minivision exercise start {EVERY[0].id}"
    assert not list(folder.iterdir()), "looking changes nothing"


def test_the_list_tells_what_is_begun_and_what_has_passed(say: Say):
    say("start", PYTHON.id)
    assert re.search(rf"^> {PYTHON.id} ", say("list")[1], re.M)
    assert say("list")[1].splitlines()[-1] == f"next  minivision exercise check {PYTHON.id}"
    write_right()
    assert say("check")[0] == 0
    told = say("list")[1]
    assert re.search(rf"^✓ {PYTHON.id} ", told, re.M)
    assert re.search(rf"^━╌{{29}}  {PYTHON.points} of \d+ points, 1 of {len(EVERY)} exercises$", told, re.M)
    after = EVERY[EVERY.index(PYTHON) + 1]
    assert told.splitlines()[-1] == f"next  minivision exercise start {after.id}"


def test_the_list_when_all_is_done(say: Say):
    Path(PROGRESS).write_text(json.dumps({"exercises": {each.id: {"passed": True} for each in EVERY}}))
    told, points = say("list")[1], sum(each.points for each in EVERY)
    assert f"{'━' * 30}  {points} of {points} points, {len(EVERY)} of {len(EVERY)} exercises" in told
    assert told.splitlines()[-1] == "Every exercise has passed."


# ---------------------------------------------------------------------------------------------------------- start


@pytest.mark.parametrize("exercise", EVERY, ids=lambda each: each.id)
def test_start_writes_the_hole_and_says_what_to_do(exercise, say: Say):
    code, told = say("start", exercise.id)
    assert code == 0
    assert Path(exercise.file).read_text() == target.stub(exercise)
    assert told.startswith(f"{exercise.file} is written")
    assert exercise.name.rpartition(".")[2] in told
    assert f"minivision exercise check {exercise.id} " in told
    assert progress()["current"] == exercise.id
    if exercise.is_c:
        where = Path(re.findall("^  in (/.*)$", told, re.M)[0])
        assert all((where / name).is_file() for name in target.piece(exercise).includes())


def test_a_file_that_is_there_is_never_written_over(say: Say):
    Path(PYTHON.file).write_text("mine")
    code, told = say("start", PYTHON.id)
    assert code == 2
    assert "is there already, and stays as it is" in told
    assert f"minivision exercise reset {PYTHON.id}" in told
    assert Path(PYTHON.file).read_text() == "mine"


@pytest.mark.parametrize("action", ["start", "check", "hint", "reset", "solution", "watch"])
def test_an_unknown_name_is_answered_with_the_closest(action: str, say: Say, folder: Path):
    code, told = say(action, "sigmoid-gradeint")
    assert code == 2
    assert "no exercise is called 'sigmoid-gradeint'" in told
    assert "did you mean sigmoid-gradient" in told
    assert not list(folder.iterdir())


def test_a_name_like_no_other_is_sent_to_the_list(say: Say):
    assert "`minivision exercise list` shows them all" in say("start", "zzzz")[1]


# ---------------------------------------------------------------------------------------------------------- check


@pytest.mark.parametrize("exercise", [PYTHON, pytest.param(IN_C, marks=needs_compiler)], ids=lambda each: each.id)
def test_the_hole_fails_within_a_screen(exercise, say: Say):
    say("start", exercise.id)
    code, told = say("check", exercise.id)
    assert code == 1
    assert "nothing is written yet" in told
    assert f"minivision exercise hint {exercise.id}" in told
    assert len(told.splitlines()) <= ROWS


@pytest.mark.parametrize("exercise", [PYTHON, pytest.param(IN_C, marks=needs_compiler)], ids=lambda each: each.id)
def test_a_wrong_answer_is_told_by_element_and_formula(exercise, say: Say):
    wrong = exercise.wrong[0]
    Path(exercise.file).write_text(target.answer(exercise, wrong.old, wrong.new))
    code, told = say("check", exercise.id)
    assert code == 1
    assert told.startswith(f"✗ {exercise.id}\n")
    assert re.search(r",\s+at \[\d+(, \d+)*\]", told)
    assert re.search(r"^  expected +\S", told, re.M)
    assert re.search(r"^  got +\S", told, re.M)
    assert target.formula(exercise).partition(",")[0] in told
    assert len(told.splitlines()) <= ROWS


@pytest.mark.parametrize("exercise", [PYTHON, pytest.param(IN_C, marks=needs_compiler)], ids=lambda each: each.id)
def test_the_right_answer_passes_and_stays_passed(exercise, say: Say):
    write_right(exercise)
    code, told = say("check", exercise.id)
    assert code == 0
    assert told.startswith(f"✓ {exercise.id} passed, {exercise.points} point")
    assert f"{exercise.points} of " in told
    assert len(told.splitlines()) <= ROWS
    Path(exercise.file).write_text(target.stub(exercise))
    assert say("check", exercise.id)[0] == 1
    assert progress()["exercises"][exercise.id] == {"checks": 2, "passed": True}


def test_without_a_name_what_was_worked_on_last_is_checked(say: Say):
    say("start", "unbroadcast")
    say("start", PYTHON.id)
    assert say("check")[1].startswith(f"✗ {PYTHON.id}")
    say("check", "unbroadcast")
    assert say("check")[1].startswith("✗ unbroadcast")


def test_without_a_name_what_is_there_is_checked(say: Say):
    """A handout, unpacked: there is no progress yet, and the first exercise of all is not among its files."""
    for name in (PYTHON.id, "softmax-gradient"):
        Path(find(name).file).write_text(target.stub(find(name)))
    assert say("check")[1].startswith(f"✗ {PYTHON.id}")
    write_right()
    assert say("check")[1].splitlines()[-1] == "next  minivision exercise check softmax-gradient"


def test_with_nothing_there_check_says_how_to_begin(say: Say):
    code, told = say("check")
    assert code == 2
    assert f"there is no {EVERY[0].file} here" in told
    assert f"minivision exercise start {EVERY[0].id}" in told


def test_a_deleted_file_is_told(say: Say):
    say("start", PYTHON.id)
    Path(PYTHON.file).unlink()
    code, told = say("check", PYTHON.id)
    assert code == 2
    assert f"there is no {PYTHON.file} here" in told
    assert f"`minivision exercise start {PYTHON.id}` writes it" in told
    assert say("start", PYTHON.id)[0] == 0, "and that works"


def refused(say: Say, body: str) -> str:
    """What `check` says of a body that does not pass."""
    say("start", PYTHON.id)
    edit("    raise NotImplementedError", body)
    code, told = say("check", PYTHON.id)
    assert code == 1
    return told


def test_a_syntax_error_is_shown_at_its_place(say: Say):
    told = refused(say, "    return dy * (kept[0]")
    assert "SyntaxError: '(' was never closed" in told
    number = Path(PYTHON.file).read_text().splitlines().index("    return dy * (kept[0]") + 1
    lines = told.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(f"  > {number:4}"))
    assert lines[at][lines[at + 1].index("^")] == "("


def test_an_error_is_shown_at_the_students_own_line(say: Say):
    told = refused(say, "    y = kept\n    return dy * z * (1 - y)")
    assert "NameError: name 'z' is not defined" in told
    assert re.search(r"^  > +\d+ +return dy \* z \* \(1 - y\)$", told, re.M)


def test_a_file_that_is_no_text_is_told(say: Say):
    Path(PYTHON.file).write_bytes(b"ok\n\xff\xfe")
    assert say("check", PYTHON.id) == (
        2,
        f"minivision exercise: {PYTHON.file}, line 2: not UTF-8 text\n  hint: save it as UTF-8\n",
    )


def test_an_endless_loop_is_ended(say: Say):
    Path(PYTHON.file).write_text("def _sigmoid_vjp(dy, kept):\n    while True:\n        pass\n")
    code, told = say("check", PYTHON.id, "--seconds", "0.5")
    assert code == 1
    assert "no answer within 0.5 s" in told
    assert say("check", PYTHON.id, "--seconds", "0")[0] == 2


# ---------------------------------------------------------------------------------------------------------- hints, reset


def test_hints_come_one_by_one_and_then_all_again(say: Say):
    say("start", PYTHON.id)
    count = len(PYTHON.hints)
    for i in range(count):
        code, told = say("hint", PYTHON.id)
        assert code == 0
        assert told.startswith(f"hint {i + 1} of {count}\n")
        assert " ".join(told.split("\n", 1)[1].split()) == PYTHON.hints[i]
        left = count - i - 1
        advice = say("check", PYTHON.id)[1].splitlines()[-1]
        assert f"{left} of {count} not seen" in advice if left else "every hint is seen" in advice
    told = say("hint")[1]
    assert [line for line in told.splitlines() if line.startswith("hint ")] == [f"hint {i + 1} of {count}" for i in range(count)]
    assert len(told.splitlines()) <= ROWS


def test_reset_keeps_what_was_there_under_another_name(say: Say):
    say("start", PYTHON.id)
    for number, text in enumerate(["first", "second"], 1):
        Path(PYTHON.file).write_text(text)
        code, told = say("reset", PYTHON.id)
        kept = Path(f"{PYTHON.id}.backup-{number}.py")
        assert code == 0
        assert f"what you had is now {kept}" in told
        assert kept.read_text() == text
        assert Path(PYTHON.file).read_text() == target.stub(PYTHON)
    assert Path(f"{PYTHON.id}.backup-1.py").read_text() == "first"


def test_reset_without_a_file_starts(say: Say):
    assert say("reset", PYTHON.id)[0] == 0
    assert Path(PYTHON.file).read_text() == target.stub(PYTHON)


@needs_compiler
@pytest.mark.parametrize("exercise", [PYTHON, IN_C], ids=lambda each: each.id)
def test_the_solution_is_for_who_has_passed(exercise, say: Say, capsys: pytest.CaptureFixture[str]):
    code, told = say("solution", exercise.id)
    assert code == 2
    assert f"{exercise.id} has not passed here yet" in told
    assert f"minivision exercise hint {exercise.id}" in told
    write_right(exercise)
    say("check", exercise.id)
    assert main(["exercise", "solution", exercise.id]) == 0
    assert target.solution(exercise).strip() in capsys.readouterr().out


# ---------------------------------------------------------------------------------------------------------- the folder


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"exercises": 3}', '{"exercises": {"a": 1}}', "[" * 100_000, "\xff"])
@pytest.mark.parametrize("action", ["list", "start", "check", "hint"])
def test_a_broken_progress_file_is_told_and_left(action: str, text: str, say: Say):
    Path(PROGRESS).write_bytes(text.encode("latin-1"))
    code, told = say(action, *([] if action == "list" else [PYTHON.id]))
    assert code == 2
    assert PROGRESS in told
    assert "hint: mend it, or move it away" in told
    assert Path(PROGRESS).read_bytes() == text.encode("latin-1")
    assert not Path(PYTHON.file).exists()


@pytest.mark.parametrize(
    "notes", [{"exercises": {PYTHON.id: {"hints": "x", "checks": [], "passed": 1}}}, {"current": 7, "exercises": {}}]
)
def test_odd_values_in_the_progress_file_do_no_harm(notes: dict, say: Say):
    Path(PROGRESS).write_text(json.dumps(notes | {"later": "kept"}))
    assert say("start", PYTHON.id)[0] == 0
    assert say("hint", PYTHON.id)[1].startswith("hint 1 of")
    assert say("check", PYTHON.id)[0] == 1
    assert "0 of" in say("list")[1]
    assert progress()["later"] == "kept", "what a later version notes stays"


@pytest.fixture
def locked(folder: Path) -> Iterator[Path]:
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    if os.access(folder, os.W_OK):
        pytest.skip("this user, such as root, may write into every folder: run the tests as another one to see this")
    yield folder
    folder.chmod(stat.S_IRWXU)


def test_a_folder_that_cannot_be_written_is_told(locked: Path, say: Say):
    code, told = say("start", PYTHON.id)
    assert code == 2
    assert f"{PYTHON.file} cannot be written" in told
    assert "hint: exercises are written into the current folder" in told


def test_a_verdict_is_told_where_it_cannot_be_noted(folder: Path, say: Say, request: pytest.FixtureRequest):
    write_right()
    request.getfixturevalue("locked")
    code, told = say("check", PYTHON.id)
    assert code == 2
    assert f"✓ {PYTHON.id} passed" in told
    assert f"{PROGRESS} cannot be written" in told


def test_a_disk_that_is_full_is_told(say: Say, monkeypatch: pytest.MonkeyPatch):
    def full(self: Path, *args, **kwargs):
        raise OSError(28, "No space left on device")

    Path(PYTHON.file).write_text(target.stub(PYTHON))
    monkeypatch.setattr(Path, "write_text", full)
    code, told = say("hint", PYTHON.id)
    assert code == 2
    assert f"{PROGRESS} cannot be written" in told
    assert "No space left on device" in told


# ---------------------------------------------------------------------------------------------------------- watch


def test_watch_checks_at_each_save_until_it_passes(folder: Path):
    """A process of its own, as in a second terminal; every wait has an end."""
    Path(PYTHON.file).write_text(target.stub(PYTHON))
    command = [sys.executable, "-W", "ignore", "-m", "minivision", "exercise", "watch", PYTHON.id]
    with (folder / "screen").open("w") as screen:
        watching = subprocess.Popen(command, stdout=screen, stderr=subprocess.STDOUT, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        wait_for("nothing is written yet(.|\n)*watching", folder)
        edit("    raise NotImplementedError", "    return dy * kept[0]")
        wait_for("expected(.|\n)*watching(.|\n)*watching|is not right(.|\n)*watching", folder)
        Path(PYTHON.file).unlink()  # as some editors do
        time.sleep(0.5)
        assert watching.poll() is None
        write_right()
        assert watching.wait(60) == 0
    finally:
        watching.kill()
        watching.wait()
    assert f"✓ {PYTHON.id} passed" in (folder / "screen").read_text()


def wait_for(pattern: str, folder: Path, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not re.search(pattern, (folder / "screen").read_text()):
        assert time.monotonic() < until, (folder / "screen").read_text()
        time.sleep(0.1)


def test_watch_without_a_file_says_how_to_begin(say: Say):
    code, told = say("watch", PYTHON.id)
    assert code == 2
    assert f"minivision exercise start {PYTHON.id}" in told
