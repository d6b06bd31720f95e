"""Compiles one step with the kernels' flags for the instruction set in use, and calls it on NumPy arrays.

Used by tests/test_steps.py, tests/bench/steps.py and the C exercises (minivision/classroom).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cffi import FFI

from minivision import kernels

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
try:
    from build_kernels import COMMON_FLAGS, ISA_FLAGS
finally:
    sys.path.remove(str(HERE.parent))
WARNINGS = ["-Wall", "-Wextra", "-Wconversion"]
PROTOTYPES = (HERE / "steps.h").read_text().split("#include <string.h>")[1].split("#define")[0]
BLOCKS = ("MR", "NR", "KC", "NC")  # of steps.h
GUARD = 64  # floats before and after what a step may write
GUARDS = {"before": slice(GUARD), "after": slice(-GUARD, None)}


def names(family: str = "*") -> list[str]:
    """The steps, family by family, in order: gemm_1_naive, ..."""
    return sorted(path.stem for path in HERE.glob(f"{family}_[0-9]_*.c"))


def compiler() -> str | None:
    """The C compiler of this machine."""
    return next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)


def flags() -> list[str]:
    """As the kernels in use were compiled."""
    return [*COMMON_FLAGS, *ISA_FLAGS.get(f"isa_{kernels.isa()}", []), *(["-fopenmp"] if kernels.has_openmp() else [])]


def command(source: Path, library: Path, *extra: str, include: Path = HERE) -> list[str]:
    """The compiler's call that makes a shared library of one C file."""
    unused = ["-Wno-unused-function", "-Wno-unknown-pragmas"]  # of a step that another one includes; of OpenMP where it is not
    call = [compiler() or "cc", *flags(), *WARNINGS, *unused, *extra, "-shared", "-fPIC", f"-I{include}", str(source)]
    return [*call, "-o", str(library), "-lm"]


def load(source: Path, folder: Path, *extra: str) -> Step:
    """The step of one C file; its library is written to `folder`. A warning of the compiler is an error."""
    library = folder / f"{source.stem}.so"
    done = subprocess.run(command(source, library, *extra), capture_output=True, text=True)
    if done.returncode or done.stderr:
        raise RuntimeError(f"{source.name} does not compile without a warning\n{done.stderr}")
    return opened(library)


def opened(library: Path) -> Step:
    """The step in a shared library."""
    ffi = FFI()
    ffi.cdef(f"{PROTOTYPES}\nextern const int64_t blocks[{len(BLOCKS)}];")
    return Step(ffi, ffi.dlopen(str(library)))


def blocks(folder: Path) -> dict[str, int]:
    """The sizes of tiles and blocks for the instruction set in use, by their names in steps.h."""
    source = folder / "blocks.c"
    source.write_text(f'#include "steps.h"\nconst int64_t blocks[] = {{{", ".join(BLOCKS)}}};\n')
    return dict(zip(BLOCKS, list(load(source, folder).lib.blocks), strict=True))


def guarded(*shape: int) -> np.ndarray:
    """A new array of NaN with more NaN around it."""
    size = int(np.prod(shape, dtype=np.int64))
    return np.full(size + 2 * GUARD, np.nan, np.float32)[GUARD : GUARD + size].reshape(shape)


@dataclass(frozen=True)
class Call:
    """A step with its arguments: run() sets the result."""

    run: Callable[[], None]
    result: np.ndarray
    space: np.ndarray

    def outside(self) -> list[str]:
        """Where something was written around the result and around the workspace."""
        arrays = {"its result": _whole(self.result), "its workspace": _whole(self.space)}
        edges = {f"{side} {name}": x[part] for name, x in arrays.items() for side, part in GUARDS.items()}
        return [place for place, edge in edges.items() if not np.isnan(edge).all()]

    def stayed_inside(self) -> bool:
        """Nothing was written around the result and around the workspace."""
        return not self.outside()


def _whole(x: np.ndarray) -> np.ndarray:
    while isinstance(x.base, np.ndarray):
        x = x.base
    return x


@dataclass(frozen=True)
class Step:
    """A compiled step. Arrays are float32, row after row."""

    ffi: FFI
    lib: Any

    def has(self, family: str) -> bool:
        """Whether the library has the function of a family."""
        return hasattr(self.lib, family)

    def _space(self, family: str, *sizes: Any) -> np.ndarray:
        ask = getattr(self.lib, f"{family}_space", None)
        return guarded(ask(*sizes) if ask else 0)

    def _pointers(self, *arrays: np.ndarray) -> list[Any]:
        assert all(x.dtype == np.float32 and x.flags.c_contiguous for x in arrays)
        return [self.ffi.from_buffer("float[]", x) for x in arrays]

    def gemm(self, a: np.ndarray, b: np.ndarray, threads: int = 1) -> Call:
        """a (m, k), b (k, n) -> (m, n)"""
        (m, k), n = a.shape, b.shape[1]
        c, space = guarded(m, n), self._space("gemm", threads)
        pointers = self._pointers(a, b, c, space)
        return Call(lambda: self.lib.gemm(m, n, k, *pointers, threads), c, space)

    def conv(self, x: np.ndarray, filters: np.ndarray, stride: int, pad: int) -> Call:
        """x (n, h, w, i), filters (r, s, i, o) with r = s -> (n, p, q, o)"""
        (images, height, width, inner), (taps, _, _, outer) = x.shape, filters.shape
        rows, columns = ((side + 2 * pad - taps) // stride + 1 for side in (height, width))
        z = self.ffi.new("struct conv_sizes *", (images, height, width, inner, outer, taps, stride, pad, rows, columns))
        y, space = guarded(images, rows, columns, outer), self._space("conv", z)
        pointers = self._pointers(x, filters, y, space)
        return Call(lambda: self.lib.conv(z, *pointers), y, space)

    def attention(self, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> Call:
        """q (h, m, d), k and v (h, n, d) -> (h, m, d)"""
        (heads, m, d), n = q.shape, k.shape[1]
        y, space = guarded(heads, m, d), self._space("attention", heads, m, n, d)
        pointers = self._pointers(q, k, v, y, space)
        return Call(lambda: self.lib.attention(heads, m, n, d, *pointers), y, space)
