"""Every exercise is proven: its check rejects the hole and each wrong answer, and passes the library's own source."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from minivision.classroom import check, target
from minivision.classroom.manifest import FOLDER, Exercise, exercises
from minivision.classroom.proxy import Worker

EVERY = list(exercises().values())
NO_ANSWER = {"syntax", "missing", "compiler", "slow", "unwritten"}  # what an edit that was made badly comes to
SEEDS = (0, 1, 2, 3, 20261126, 2**64 - 1)  # 0 is what `check` asks with; grading draws from 64 bits
each_exercise = pytest.mark.parametrize("exercise", EVERY, ids=lambda exercise: exercise.id)


@pytest.fixture
def worker(exercise: Exercise) -> Iterator[Worker]:
    if exercise.is_c and not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("no C compiler here")
    with Worker(exercise) as started:
        yield started


@each_exercise
def test_an_exercise_is_proven(exercise: Exercise, worker: Worker):
    hole = check.judge(worker, target.stub(exercise))
    assert hole.kind == "unwritten", f"the hole itself should be told as such, but: {hole.kind}, {hole.failure}"
    for wrong in exercise.wrong:
        found = check.judge(worker, target.answer(exercise, wrong.old, wrong.new))
        assert not found.passed, f"the check lets pass: {wrong.why}"
        print(f"\n{exercise.id}, {wrong.why}:\n{found.failure}", *getattr(found.failure, "lines", ()), sep="\n")
        assert found.kind not in NO_ANSWER, f"{wrong.why} is no plausible answer: {found.failure}"
        assert "NameError" not in getattr(found.failure, "kinds", ()), f"{wrong.why} is no plausible answer: {found.failure}"
    for seed in SEEDS:  # grading draws its own: no numbers may be unlucky ones
        right = check.judge(worker, target.answer(exercise), seed)
        told = f"{right.failure} {getattr(right.failure, 'lines', '')}"
        assert right.passed, f"the library's own function is rejected, with seed {seed}: {told}"
        assert not right.warnings, "the library's own function compiles without a warning"


@each_exercise
def test_an_exercise_is_well_described(exercise: Exercise):
    assert exercise.id == exercise.id.lower().replace("_", "-")
    assert target.formula(exercise), "a formula, or a docstring whose first line is one"
    assert len(exercise.wrong) >= 2, "at least two wrong answers"
    assert len({wrong.why for wrong in exercise.wrong}) == len(exercise.wrong)
    assert exercise.hints
    assert check.find(exercise).__doc__, "a check says in one line what it holds"


def test_manifests_are_named_as_lessons():
    lessons = {path.stem for path in (FOLDER.parents[2] / "tutorials").glob("[0-9]*.py")}
    if lessons:  # an installed package has none
        assert {exercise.lesson for exercise in EVERY} <= lessons | {"03_matmul", "06_normalisation"}
