"""What a check says: `expect(got, expected, label)`, which raises a Mismatch that shows where the first difference is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..tape import Tensor
from .failure import Failure, Raised
from .show import around, brief, number

NOTHING = "None: is `return` missing?"


class Mismatch(Failure):
    """An answer that is not the expected one."""


def expect(got: Any, expected: Any, label: str, tolerance: float | None = None) -> None:
    """Holds an answer against the expected one: its kind, shape, element type and values; collections part by part.

    label: what was asked for, such as "dx for rows of 5". tolerance: by how much an element may differ, as a share of the
    largest expected one; where not given, eps^(2/3) of the element type (4e-11 for float64, 2e-5 for float32), which any
    order of a few thousand operations stays below and a wrong formula does not. Whole numbers and strings must be equal.
    NaN is expected where it is in `expected`.
    """
    if got is None and expected is not None:
        raise Mismatch(f"{label}: the function returned None", [("expected", _kind(expected)), ("got", NOTHING)])
    if isinstance(expected, (list, tuple)):
        _collection(got, expected, label, tolerance)
    elif isinstance(expected, dict):
        _dictionary(got, expected, label, tolerance)
    elif isinstance(expected, (np.ndarray, Tensor)):
        _arrays(got, expected, label, tolerance)
    elif isinstance(expected, (float, np.floating)):
        _numbers(got, expected, label, tolerance)
    elif isinstance(got, bool) is not isinstance(expected, bool) or not _same(got, expected):
        raise Mismatch(f"{label} is not right", [("expected", brief(expected)), ("got", brief(got))])


def expect_parts(got: Any, names: str) -> tuple[Any, ...]:
    """The parts of an answer that should be a tuple or a list of as many as there are names: expect_parts(got, "dx dw db")."""
    several = names.split()
    if not isinstance(got, (tuple, list)) or len(got) != len(several):
        lines = [("expected", f"({', '.join(several)})"), ("got", NOTHING if got is None else _kind(got))]
        raise Mismatch("another form of answer is expected", lines)
    return tuple(got)


def expect_error(call: Callable[[], Any], kind: type[BaseException], label: str, match: str = "") -> None:
    """Holds that a call raises an exception of this kind, whose message contains `match`."""
    try:
        answer = call()
    except Raised as error:
        if kind.__name__ in error.kinds and match in error.message:
            return
        if error.unwritten:
            raise
        what = f"{error.kinds[0]}: {error.message}"
    else:
        what = f"no error, but {brief(answer)}"
    wanted = f"{kind.__name__} that says {match!r}" if match else kind.__name__
    raise Mismatch(f"{label}: an error is expected", [("expected", wanted), ("got", what)])


def expect_that(holds: bool, label: str, expected: str, got: Any) -> None:
    """Holds any other condition, told in words: expect_that(loss < 1, "the loss after 20 steps", "below 1", loss)."""
    if not holds:
        raise Mismatch(f"{label} is not right", [("expected", expected), ("got", got if isinstance(got, str) else brief(got))])


def _same(got: Any, expected: Any) -> bool:
    """Whether two values that are no arrays of many elements are equal."""
    if isinstance(got, np.ndarray) and got.ndim == 0:
        got = got.item()
    plain = got is None or isinstance(got, (bool, int, float, str, slice, np.generic))
    return plain and bool(got == expected)


def _kind(value: Any) -> str:
    """A value's type, and an array's shape."""
    if isinstance(value, (np.ndarray, Tensor)):
        return f"{'a Tensor' if isinstance(value, Tensor) else 'an array'} of shape {value.shape}, {value.dtype}"
    if isinstance(value, (list, tuple, dict)):
        return f"a {type(value).__name__} of {len(value)}"
    return "None" if value is None else f"a {type(value).__name__}"


def _collection(got: Any, expected: Any, label: str, tolerance: float | None) -> None:
    if not isinstance(got, (list, tuple)) or len(got) != len(expected):
        wanted = f"{_kind(expected)}: {', '.join(_kind(each) for each in expected[:4])}{', ...' if len(expected) > 4 else ''}"
        raise Mismatch(f"{label}: another form is expected", [("expected", wanted), ("got", _kind(got))])
    for i, (one, other) in enumerate(zip(got, expected, strict=True)):
        expect(one, other, f"{label}, part {i}", tolerance)


def _dictionary(got: Any, expected: Any, label: str, tolerance: float | None) -> None:
    if not isinstance(got, dict) or got.keys() != expected.keys():
        keys = f"a dict with {', '.join(map(repr, expected))}"
        found = f"a dict with {', '.join(map(repr, got)) or 'nothing'}" if isinstance(got, dict) else _kind(got)
        raise Mismatch(f"{label}: another form is expected", [("expected", keys), ("got", found)])
    for key, value in expected.items():
        expect(got[key], value, f"{label}, {key}", tolerance)


def _numbers(got: Any, expected: Any, label: str, tolerance: float | None) -> None:
    """A plain number: a Tensor or an array of one element will do."""
    value = got.data if isinstance(got, Tensor) else got
    if isinstance(value, np.ndarray) and value.shape == ():
        value = value[()]
    if isinstance(value, (bool, str)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise Mismatch(f"{label}: a number is expected", [("expected", number(expected)), ("got", _kind(got))])
    _values(np.asarray(float(value)), np.asarray(expected), label, tolerance)


def _arrays(got: Any, expected: Any, label: str, tolerance: float | None) -> None:
    if isinstance(got, (int, float, np.generic)) and expected.shape == ():
        got = np.asarray(got, expected.dtype)
    if not isinstance(got, type(expected)):
        raise Mismatch(f"{label}: another kind of value is expected", [("expected", _kind(expected)), ("got", _kind(got))])
    if got.shape != expected.shape:
        raise Mismatch(f"{label} has the wrong shape", [("expected", str(expected.shape)), ("got", str(got.shape))])
    if got.dtype != expected.dtype:
        raise Mismatch(f"{label} has the wrong element type", [("expected", str(expected.dtype)), ("got", str(got.dtype))])
    if isinstance(expected, Tensor):
        got, expected = got.data, expected.data
    _values(got, expected, label, tolerance)


def _values(got: np.ndarray, expected: np.ndarray, label: str, tolerance: float | None) -> None:
    """Element by element."""
    allowed = _allowed(expected, tolerance)
    with np.errstate(all="ignore"):
        difference = np.abs(got - expected) if expected.dtype.kind in "fc" else got != expected
        wrong = ~((difference <= allowed) | (got == expected) | ((got != got) & (expected != expected)))
    if not wrong.any():
        return
    at = tuple(int(i) for i in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
    lines = [("expected", number(expected[at])), ("got", number(got[at]))]
    if expected.dtype.kind in "fc" and np.isfinite(difference[at]):
        lines.append(("difference", f"{number(difference[at])}, allowed {allowed:.1g}"))
    count = f"{int(wrong.sum()):,} of {wrong.size:,} elements differ"
    raise Mismatch(f"{label} is not right", lines, at, around(expected, got, at), count if wrong.size > 1 else "")


def _allowed(expected: np.ndarray, tolerance: float | None) -> float:
    """The largest difference that is let pass."""
    if expected.dtype.kind not in "fc":
        return 0.0
    share = float(np.finfo(expected.dtype).eps) ** (2 / 3) if tolerance is None else tolerance
    finite = np.abs(expected[np.isfinite(expected)])
    return share * (float(finite.max(initial=0)) or 1.0)
