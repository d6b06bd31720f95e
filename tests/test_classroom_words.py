"""What a check says of an answer, and how that is told: on a screen, at the element that differs."""

from __future__ import annotations

import numpy as np
import pytest

import minivision as mv
from minivision.classroom import check, manifest, report, show, target
from minivision.classroom.expect import Mismatch, expect, expect_error, expect_parts, expect_that
from minivision.classroom.failure import Died, Failure, Raised

X = np.arange(12.0).reshape(3, 4)
SAME = [
    (1, 1), (1.0, 1), (True, True), ("a", "a"), (None, None), (slice(1, 2), slice(1, 2)), (X, X.copy()), (X + 1e-13, X),
    (np.array([np.nan, np.inf]), np.array([np.nan, np.inf])), ((1, [X]), [1, (X,)]), ({"a": X}, {"a": X}), (np.float64(2), 2.0),
    (mv.tensor(2.0), 2.0), (np.array(2.0), 2.0), (np.zeros((0, 3)), np.zeros((0, 3))), (3, np.array(3)), (np.int64(3), 3),
]  # fmt: skip
OTHER = [
    (1, 2, "is not right"), (1, True, "is not right"), (True, 1, "is not right"), ("a", "b", "is not right"),
    (None, X, "returned None"), (X, None, "is not right"), (X, 1, "is not right"), (X[0], X, "wrong shape"),
    (X.astype("f4"), X, "wrong element type"), (mv.tensor(X), X, "another kind"), (X.tolist(), X, "another kind"),
    (X + 1e-6, X, "is not right"), (-X, X, "is not right"),
    (np.array([0.0, np.inf]), np.array([np.nan, np.inf]), "is not right"),
    (np.array([np.nan]), np.array([1.0]), "is not right"), ((X,), (X, X), "another form"), (X, (X, X), "another form"),
    ((X, X + 1), (X, X), "part 1 is not right"), ("1", 1.0, "a number"), ({"a": 1}, {"b": 1}, "another form"),
    (1, {"b": 1}, "another form"), ({"b": 2}, {"b": 1}, "b is not right"), (1.0, 1.1, "is not right"),
    (np.array([1, 2]), np.array([1, 3]), "is not right"), (X, [1, 2, 3], "another form"),
    (np.array([1, 1]), 1, "is not right"),
]  # fmt: skip


@pytest.mark.parametrize(("got", "expected"), SAME)
def test_equal_answers_pass(got, expected):
    expect(got, expected, "y")


@pytest.mark.parametrize(("got", "expected", "words"), OTHER)
def test_other_answers_are_told(got, expected, words):
    with pytest.raises(Mismatch, match=words) as told:
        expect(got, expected, "y")
    assert told.value.headline.startswith("y")
    assert dict(told.value.lines).keys() >= {"expected", "got"}


def test_the_first_element_that_differs_is_shown_with_both_values():
    got = X.copy()
    got[1, 2], got[2, 3] = 6.5, 0
    with pytest.raises(Mismatch) as told:
        expect(got, X, "y")
    failure = told.value
    assert failure.at == (1, 2)
    assert failure.count == "2 of 12 elements differ"
    assert dict(failure.lines) == {"expected": "6", "got": "6.5", "difference": "0.5, allowed 4e-10"}
    assert failure.row[0] == ("around", "[1, 0:4]")
    assert [row.split() for _, row in failure.row[1:]] == [["4", "5", ">6<", "7"], ["4", "5", ">6.5<", "7"]]


def test_a_tolerance_is_a_share_of_the_largest_expected_element():
    expected = np.array([1e-3, 1e3])
    expect(expected + 0.9, expected, "y", tolerance=1e-3)
    with pytest.raises(Mismatch):
        expect(expected + 1.1, expected, "y", tolerance=1e-3)
    with pytest.raises(Mismatch):
        expect(np.nextafter(expected, 0), expected, "y", tolerance=0)


def test_parts_errors_and_conditions():
    assert expect_parts((1, 2), "a b") == (1, 2)
    with pytest.raises(Mismatch, match="another form"):
        expect_parts((1, 2), "a b c")
    with pytest.raises(Mismatch, match="holds"):
        expect_that(False, "what holds", "more", 1.0)
    expect_that(True, "what holds", "more", 1.0)
    raised = Raised({"kinds": ["ShapeError", "ValueError"], "message": "too long", "frames": [], "inside": True, "column": None})

    def call():
        raise raised

    expect_error(call, ValueError, "a long x", match="long")
    with pytest.raises(Mismatch, match="an error is expected"):
        expect_error(call, TypeError, "a long x")
    with pytest.raises(Mismatch, match="an error is expected"):
        expect_error(lambda: 3, ValueError, "a long x")


@pytest.mark.parametrize("value", [X, mv.tensor(X), "x" * 500, list(range(500)), 1 / 3, np.float32(1) / 3, None, "\x1b[2J"])
def test_any_value_is_shown_in_a_short_line_that_moves_no_cursor(value):
    text = show.brief(value)
    assert 0 < len(text) <= show.WIDTH
    assert text.isprintable()


# ------------------------------------------------------------------------------------------------------------ in words


def screen(failure: Failure, source: str = "", output: str = "", warnings: str = "") -> list[str]:
    exercise = manifest.find("layer-norm-gradient")
    found = [line.text for line in report.lines(check.Verdict(exercise, source, failure, output, warnings))]
    assert len(found) <= 22
    assert max(map(len, found)) <= 80
    assert all(line.isprintable() for line in found)
    assert found[-1].startswith("  next        minivision exercise hint layer-norm-gradient")
    assert target.formula(exercise)[:40] in "\n".join(found)
    return found


def raised(kind: str, message: str, *frames: list, inside: bool = True, column: int | None = None) -> Raised:
    return Raised({"kinds": [kind, "Exception"], "message": message, "frames": frames, "inside": inside, "column": column})


def test_the_longest_messages_fit_a_screen():
    source = "\n".join(f"    line {n} {'x' * 200}" for n in range(1, 100))
    frames = [[n, "f"] for n in (10, 20, 30, 40)]
    screen(raised("ValueError", "y" * 600, *frames), source, "printed\x1b[2J\n" * 500, "warning\n" * 50)
    screen(
        Failure("z " * 300, [("expected", "a " * 300), ("got", "b " * 300)], (1, 2, 3), [("row", "c" * 100)] * 3, "d"),
        "",
        "p\n" * 99,
    )
    screen(Failure("refused", [("", "e" * 200)] * 12), "", "p\n" * 99)


def test_an_exception_is_shown_by_the_students_own_line():
    source = "import x\n\n\ndef f(y):\n    a = 1\n    return g(y)\n\n\ndef g(y):\n    return y[7]\n"
    found = screen(raised("IndexError", "index 7 is out of bounds", [6, "f"], [10, "g"]), source)
    assert "  IndexError: index 7 is out of bounds" in found
    assert "  >   10      return y[7]" in found
    assert any("return g(y)" in line and "on the way" in line for line in found)


def test_a_syntax_error_points_at_its_column():
    found = screen(raised("SyntaxError", "'(' was never closed", [2, ""], column=8), "x = 1\ny = f(g(3\n")
    at = next(i for i, line in enumerate(found) if line.startswith("  >    2"))
    assert found[at][found[at + 1].index("^")] == "("


def test_what_is_printed_gets_the_room_that_is_left():
    found = screen(Failure("wrong"), output="\n".join(f"line {n}" for n in range(100)))
    assert "    line 0" in found
    assert "  it printed: (the first of 100 lines)" in found
    assert "  it printed:" in screen(Failure("wrong"), output="one line")


def test_signals_have_names_and_meanings():
    assert "segmentation fault (SIGSEGV)" in str(Died(-11))
    assert "SIGKILL" in str(Died(-9))
    assert "exit status 3" in str(Died(3))
    assert "signal 99" in str(Died(-99))
