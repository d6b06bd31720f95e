"""Loads the compiled module; pointers, workspace, threads and instruction set for the kernels beside this file."""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import os
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..errors import NoKernelsWarning

ISAS = ("avx512", "avx2", "neon", "base")  # best first
LINE, LARGE = 64, 1 << 16  # bytes of a cache line; of an array worth placing on one
F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
REASON = ""


def _compiled() -> Any:
    """The compiled module: the installed one, or the file that MINIVISION_KERNELS names (a test build)."""
    path = os.environ.get("MINIVISION_KERNELS")
    if not path:
        return importlib.import_module("minivision._kernels")
    loader = importlib.machinery.ExtensionFileLoader("minivision._kernels", path)
    spec = importlib.util.spec_from_file_location(loader.name, path, loader=loader)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    loader.exec_module(module)
    return module


try:
    _kernels = _compiled()
    lib, ffi = _kernels.lib, _kernels.ffi
except ImportError as error:
    lib = ffi = None
    REASON = str(error)
    warnings.warn(
        "minivision's C kernels are not built on this machine: everything works and gives the same numbers in NumPy, but many "
        "times slower. Install a C compiler and install minivision again; `minivision doctor` says more.",
        NoKernelsWarning,
        stacklevel=2,
    )
AVAILABLE = lib is not None
_state: dict[str, Any] = {"isa": "numpy", "threads": 1}
_local = threading.local()


class Kernel(NamedTuple):
    """The compiled form of an operation: `forward` and `vjp` with the contracts of op.py, or NotImplemented from either."""

    forward: Callable[..., Any]
    vjp: Callable[..., Any] | None = None


def isas() -> list[str]:
    """The instruction sets that the compiled module can use on this processor, best first."""
    current = isa()
    found = [name for name in ISAS if lib is not None and lib.mv_select_isa(name.encode())]
    if lib is not None and current in ISAS:
        lib.mv_select_isa(current.encode())
    return found


def isa() -> str:
    """The instruction set in use ("numpy" where there are no kernels)."""
    return _state["isa"]


def use_isa(name: str) -> None:
    """Chooses the instruction set ("avx512", "avx2", "neon", "base"); only what the processor has can be chosen."""
    if lib is None or not lib.mv_select_isa(name.encode()):
        raise ValueError(f"instruction set {name!r} is not available here; available: {', '.join(isas()) or 'none'}")
    _state["isa"] = name


def set_num_threads(count: int) -> None:
    """How many threads the kernels use. The numbers are the same bits for any count."""
    if count < 1:
        raise ValueError(f"the number of threads must be at least 1, got {count}")
    _state["threads"] = int(count) if has_openmp() else 1


def get_num_threads() -> int:
    """How many threads the kernels use."""
    return _state["threads"]


def has_openmp() -> bool:
    """Whether the kernels were built with OpenMP."""
    return lib is not None and bool(lib.mv_has_openmp())


@functools.cache
def function(name: str, dtype: np.dtype) -> Any:
    """The compiled function `name` for an element type."""
    return getattr(lib, f"mv_{name}_{'f32' if dtype == F32 else 'f64'}")


def takes(*arrays: Any) -> bool:
    """Whether all arrays (None counts) are float32 or all float64, and stand on whole elements, as the kernels want."""
    dtype = None
    for a in arrays:
        if a is not None:
            if (a.dtype != F32 and a.dtype != F64) or not a.flags.aligned or (dtype or a.dtype) != a.dtype:
                return False
            dtype = a.dtype
    return dtype is not None


def pointer(a: np.ndarray | None) -> Any:
    """The address of a's first element; NULL for None. The caller keeps the array alive."""
    if a is None:
        return ffi.NULL
    if a.flags.c_contiguous:
        return ffi.from_buffer(_ARRAY[a.dtype], a)
    return ffi.cast(_POINTER[a.dtype], a.__array_interface__["data"][0])


def strides(a: np.ndarray) -> list[int]:
    """Strides in elements."""
    return [s // a.itemsize for s in a.strides]


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """np.empty, but a large array begins on a cache line: a vector of AVX-512 is one, and elsewhere each load takes two.

    MemoryError with the size where no machine has so much.
    """
    size = dtype.itemsize
    for n in shape:
        size *= n  # Python's integers do not overflow
    if size < LARGE:
        return np.empty(shape, dtype)
    if size > sys.maxsize - LINE:
        raise MemoryError(f"an array of shape {shape} takes {size} bytes")
    memory = np.empty(size + LINE, np.uint8)
    start = -memory.__array_interface__["data"][0] % LINE
    return np.ndarray(shape, dtype, memory, start)


def workspace(elements: int, dtype: np.dtype) -> np.ndarray:
    """Scratch memory of this thread, reused from call to call."""
    spaces: dict[Any, np.ndarray] = _local.__dict__
    held = spaces.get(dtype)
    if held is None or held.size < elements:
        held = spaces[dtype] = empty((elements,), dtype)
    return held


def _start() -> None:
    """The best instruction set, or the lower one that MINIVISION_ISA names; as many threads as this process may use.

    MINIVISION_KEEP_MEMORY=0 leaves the C library's memory settings alone (see mv_keep_memory in dispatch.c).
    """
    global _ARRAY, _POINTER
    if lib is None:
        return
    _ARRAY = {F32: ffi.typeof("float[]"), F64: ffi.typeof("double[]"), np.dtype(np.int64): ffi.typeof("int64_t[]")}
    _POINTER = {F32: ffi.typeof("float *"), F64: ffi.typeof("double *"), np.dtype(np.int64): ffi.typeof("int64_t *")}
    use_isa(os.environ.get("MINIVISION_ISA") or isas()[0])
    if os.environ.get("MINIVISION_KEEP_MEMORY") != "0":
        lib.mv_keep_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or cores))
    if hasattr(os, "register_at_fork"):  # GNU OpenMP's threads do not survive a fork: a child works on one
        os.register_at_fork(after_in_child=lambda: set_num_threads(1))


_ARRAY: dict[np.dtype, Any] = {}
_POINTER: dict[np.dtype, Any] = {}
_start()
