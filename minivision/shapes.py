"""Shapes that a machine checks: reads the `shapes:` line of an operation's docstring and holds arguments against it.

    shapes: x(*, I), weight(O, I), bias(O) -> y(*, O)

A name stands for one size, the same wherever it appears; a number for itself; `*` for any leading axes, the same
wherever it appears; `...` for leading axes that broadcast. An argument without brackets may have any shape.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from .errors import DtypeError, ShapeError

Shape = tuple[int, ...]
NUMPY_1 = np.lib.NumpyVersion(np.__version__) < "2.0.0"  # there a 0-d float32 array and a number make float64: cast back


class Signature:
    """The parsed `shapes:` line of one operation; without one, arguments are held to NumPy's broadcasting alone."""

    def __init__(self, operation: str, definition: Callable[..., Any]) -> None:
        line = re.search(r"shapes:\s*(.*?)\s*->", definition.__doc__ or "", re.S)
        names = [p.name for p in inspect.signature(definition).parameters.values() if p.kind is not p.KEYWORD_ONLY]
        dims = dict(re.findall(r"(\w+)\(([^)]*)\)", line.group(1))) if line else {}
        self.operation, self.names = operation, names
        self.dims = {name: [token.strip() for token in inner.split(",") if token.strip()] for name, inner in dims.items()}
        self._passed: dict[tuple[Any, ...], np.dtype | None] = {}  # what was checked before

    def describe(self, arguments: tuple[Any, ...]) -> str:
        """`x (2, 3) float32, weight (4, 5) float32`."""
        return ", ".join(
            f"{self.name(i)} {tuple(a.shape)} {a.dtype}" if hasattr(a, "shape") else f"{self.name(i)} {a!r}"
            for i, a in enumerate(arguments)
        )

    def name(self, position: int) -> str:
        """The name of the argument at a position; *arrays share the last one."""
        return self.names[min(position, len(self.names) - 1)]

    def check(self, arguments: tuple[Any, ...]) -> np.dtype | None:
        """The floating element type that the arguments share; DtypeError or ShapeError where they do not fit together."""
        key = tuple([(a.shape, a.dtype) if isinstance(a, np.ndarray) else None for a in arguments])
        if key not in self._passed:
            if len(self._passed) >= 4096:
                self._passed.clear()
            self._passed[key] = self._check(arguments)
        return self._passed[key]

    def _check(self, arguments: tuple[Any, ...]) -> np.dtype | None:
        dtypes = {a.dtype for a in arguments if isinstance(a, np.ndarray) and a.dtype.kind in "fc"}
        if len(dtypes) > 1:
            hint = "convert one side with .to(dtype), .float() or .double()"
            raise DtypeError(f"{self.operation}: element types must agree, got {self.describe(arguments)}\n  hint: {hint}")
        if self.dims:
            self._check_shapes(arguments)
        return next(iter(dtypes), None)

    def result(self, y: np.ndarray, dtype: np.dtype | None, arguments: tuple[Any, ...]) -> np.ndarray:
        """y, which has the floating element type of the arguments; DtypeError where integers beside them changed it."""
        if dtype is None or y.dtype == dtype or y.dtype.kind not in "fc":
            return y
        if NUMPY_1 and not any(isinstance(a, np.ndarray) and a.dtype.kind in "iu" for a in arguments):
            return y.astype(dtype)
        hint = "convert the integers with .to(dtype), .float() or .double() first"
        raise DtypeError(f"{self.operation}: {dtype} became {y.dtype}, given {self.describe(arguments)}\n  hint: {hint}")

    def _check_shapes(self, arguments: tuple[Any, ...]) -> None:
        sizes: dict[str, tuple[int, str]] = {}
        leading: dict[str, tuple[Shape, str]] = {}
        for name, a in zip(self.names, arguments, strict=False):
            if name in self.dims and hasattr(a, "shape"):
                self._check_one(name, tuple(a.shape), arguments, sizes, leading)

    def _check_one(self, name: str, shape: Shape, arguments: Any, sizes: Any, leading: Any) -> None:
        dims = self.dims[name]
        star = dims[0] if dims and dims[0] in ("*", "...") else None
        fixed = dims[1:] if star else dims
        if len(shape) < len(fixed) or (star is None and len(shape) != len(fixed)):
            want = f"{'at least ' if star else ''}{len(fixed)} axes ({', '.join(dims)})"
            self._fail(f"{name} should have {want}, got {len(shape)}: {shape}", arguments)
        if star:
            front = shape[: len(shape) - len(fixed)]
            other, who = leading.setdefault(star, (front, name))
            fits = other == front if star == "*" else broadcasts(other, front)
            if not fits:
                self._fail(f"{name} has leading axes {front}, but {who} has {other}", arguments)
            if star == "..." and len(front) > len(other):
                leading[star] = (front, name)
        for axis, dim in zip(range(-len(fixed), 0), fixed, strict=True):
            size, who = (
                (int(dim), "the operation") if dim.isdigit() else sizes.setdefault(dim, (shape[axis], f"{name} axis {axis}"))
            )
            if shape[axis] != size:
                self._fail(f"{name} has {shape[axis]} at axis {axis} ({dim}), but {who} has {size}", arguments, dim)

    def _fail(self, problem: str, arguments: Any, dim: str = "") -> None:
        hint = "sizes called " + dim + " must agree; " if dim else ""
        spec = ", ".join(f"{name}({', '.join(dims)})" for name, dims in self.dims.items())
        swapped = [
            n
            for n, a in zip(self.names, arguments, strict=False)
            if dim and len(getattr(a, "shape", ())) == 2 and dim in self.dims.get(n, [])
        ]
        hint += f"expected {spec}" + (f"; is {' or '.join(swapped)} transposed?" if swapped else "")
        raise ShapeError(self.operation, problem, self.describe(arguments), hint)

    def explain(self, error: Exception, arguments: tuple[Any, ...]) -> ShapeError:
        """NumPy's complaint about shapes as a ShapeError that names the arguments and the first axis that disagrees."""
        problem, hint = str(error), "see the operation's docstring for the shapes it takes"
        shapes = [tuple(a.shape) for a in arguments if hasattr(a, "shape")] if "broadcast" in problem else []
        for first, second in itertools.combinations(shapes, 2):
            for axis in range(-1, -1 - min(len(first), len(second)), -1):
                if first[axis] != second[axis] and 1 not in (first[axis], second[axis]):
                    problem = f"{first} and {second} do not broadcast: axis {axis} has {first[axis]} and {second[axis]}"
                    hint = "sizes must be equal or 1, counted from the last axis; reshape or unsqueeze one of them"
        return ShapeError(self.operation, problem, self.describe(arguments), hint)


def broadcasts(first: Shape, second: Shape) -> bool:
    """Whether two shapes broadcast together by NumPy's rule."""
    return all(m == n or 1 in (m, n) for m, n in zip(reversed(first), reversed(second), strict=False))
