"""The same elements in another memory layout must give the same results, and stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..backend import backend
from ..op import Op
from .backends import arguments_in
from .case import Case
from .jacobian import differentiable

FILLER = {"f": np.nan, "i": 10**6, "b": True}  # between the elements of an array with gaps: poison for whoever reads it


def fortran(a: np.ndarray) -> np.ndarray:
    """Columns first."""
    return np.array(a, order="F")


def backwards(a: np.ndarray) -> np.ndarray:
    """Negative strides along every axis."""
    turn = (slice(None, None, -1),) * a.ndim
    return np.ascontiguousarray(a[turn])[turn]


def gaps(a: np.ndarray) -> np.ndarray:
    """Every second element of a larger array along every axis."""
    large = np.full(tuple(2 * n + 1 for n in a.shape), FILLER[a.dtype.kind], a.dtype)
    view = large[(slice(1, None, 2),) * a.ndim]
    view[...] = a
    return view


def transposed(a: np.ndarray) -> np.ndarray:
    """The transpose, over the last two axes, of a contiguous array."""
    return np.ascontiguousarray(a.swapaxes(-1, -2)).swapaxes(-1, -2)


def read_only(a: np.ndarray) -> np.ndarray:
    """Not to be written."""
    a = a.copy()
    a.flags.writeable = False
    return a


def in_records(a: np.ndarray) -> np.ndarray:
    """A field of packed records: strides that are no multiple of the element, addresses that are not aligned."""
    field: np.ndarray = np.zeros(a.shape, [("tag", np.int8), ("value", a.dtype)])["value"]
    field[...] = a
    return field


def repeated(axis: int) -> Callable[[np.ndarray], np.ndarray]:
    """Stride 0 along an axis: its first element there, again and again."""
    return lambda a: np.broadcast_to(a.take([0], axis), a.shape)


# name -> (the layout, the least number of axes that it takes)
LAYOUTS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], int]] = {
    "Fortran": (fortran, 2),
    "negative strides": (backwards, 1),
    "gaps": (gaps, 1),
    "transposed": (transposed, 2),
    "read-only": (read_only, 0),
    "packed records": (in_records, 0),
    "stride 0, first axis": (repeated(0), 1),
    "stride 0, last axis": (repeated(-1), 1),
}


def variants(arrays: Sequence[Any]) -> Iterator[tuple[str, list[Any]]]:
    """Each array in turn, in each layout, beside the others as they are."""
    for i, a in enumerate(arrays):
        for name, (layout, least) in LAYOUTS.items():
            if isinstance(a, np.ndarray) and a.ndim >= least and (a.size or "stride 0" not in name):
                yield f"argument {i}, {name}", [*arrays[:i], layout(a), *arrays[i + 1 :]]


def run(op: Op, arrays: Sequence[Any], case: Case) -> tuple[np.ndarray, tuple[Any, ...]]:
    """The result and the cotangents; the last array is dy."""
    *args, dy = arrays
    y, kept = op.forward(tuple(args), dict(case.attrs))
    return y, op.pull(dy, kept, tuple(map(differentiable, args)), dict(case.attrs))


def outcome(op: Op, arrays: Sequence[Any], case: Case) -> Any:
    """What `run` gives, or LAPACK's complaint: matrices whose columns a layout makes equal are singular."""
    try:
        return run(op, arrays, case)
    except np.linalg.LinAlgError as error:
        return str(error)


def complaints(op: Op, case: Case, dtype: Any, name: str) -> list[str]:
    """What is wrong with an operation in some layout, by the backend of that name; nothing if all is right."""
    args, dy = arguments_in(op, case, dtype)
    arrays, wrong = [*args, dy], []
    with backend(name):
        for label, changed in [("as they are", arrays), *variants(arrays)]:
            expected = outcome(op, [np.array(a, order="C") if isinstance(a, np.ndarray) else a for a in changed], case)
            before = [_memory(a) for a in changed]
            came = outcome(op, changed, case)
            if isinstance(expected, str) or isinstance(came, str):
                wrong += [f"{label}: {came!r} for {expected!r}"] * (str(came) != str(expected))
                continue
            wrong += [f"{label}: {fault}" for fault in _faults(op, changed, expected, came)]
            wrong += [f"{label}: the arguments changed"] * ([_memory(a) for a in changed] != before)
    return wrong


def _memory(a: Any) -> bytes:
    """All bytes of the memory that an array looks at, those between its elements too."""
    while isinstance(getattr(a, "base", None), np.ndarray):
        a = a.base
    return a.tobytes() if isinstance(a, np.ndarray) else b""


def _faults(op: Op, arrays: Sequence[Any], expected: Any, came: Any) -> Iterator[str]:
    y, cotangents = came
    size = sum(a.size for a in arrays if isinstance(a, np.ndarray))
    if not _close(y, expected[0], size):
        yield "another result"
    if not op.view and any(np.shares_memory(y, a) for a in arrays if isinstance(a, np.ndarray)):
        yield "the result is the argument's memory"
    for i, (a, dx, right) in enumerate(zip(arrays, cotangents, expected[1], strict=False)):
        if not differentiable(a):
            if dx is not None and isinstance(a, np.ndarray):
                yield f"cotangent {i} of integers"
        elif dx is None or dx.shape != a.shape or dx.dtype != a.dtype:
            yield f"cotangent {i} is {'absent' if dx is None else f'{dx.shape} {dx.dtype}'}, the argument {a.shape} {a.dtype}"
        elif not _close(dx, right, size):
            yield f"another cotangent {i}"


def _close(came: np.ndarray, expected: np.ndarray, size: int) -> bool:
    """Whether two orders of summation can explain the difference.

    Adding n terms of order one in another order changes the sum by at most 2 gamma_n n; a wrong element is off by
    about one. n is the number of all elements that went in.
    """
    if came.shape != expected.shape or came.dtype != expected.dtype:
        return False
    tolerance = float(np.finfo(expected.dtype).eps) * size * size if expected.dtype.kind == "f" else 0.0
    return bool(np.allclose(came, expected, rtol=tolerance, atol=tolerance, equal_nan=True))
