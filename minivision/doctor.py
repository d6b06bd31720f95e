"""What this machine gives minivision: versions, compiler, kernels, instruction sets, threads, and the speed that comes of it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from . import __version__, kernels
from .ops.matmul import matmul

COMPILERS = ("cc", "gcc", "clang")
INSTALL = {
    "Linux": "apt-get install gcc (Debian, Ubuntu) or dnf install gcc (Fedora)",
    "Darwin": "xcode-select --install",
}


def facts() -> dict[str, str]:
    """What is installed and in use, by name."""
    return {
        "minivision": f"{__version__}, in {os.path.dirname(os.path.abspath(__file__))}",
        "Python": f"{platform.python_version()} ({platform.python_implementation()}, {platform.system()} {platform.machine()})",
        "NumPy": f"{np.__version__}, matrix products by {blas()}",
        "cffi": _version("cffi"),
        "compiler": compiler() or "none found",
        "C kernels": "built" if kernels.AVAILABLE else f"NOT BUILT ({kernels.REASON})",
        "instruction set": f"{kernels.isa()}, of {', '.join(kernels.isas()) or 'none'}",
        "OpenMP": "yes" if kernels.has_openmp() else "no: the kernels use one thread",
        "threads": f"{kernels.get_num_threads()}, of {cores()} that this process may use",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def cores() -> int:
    """The processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def blas() -> str:
    """The library behind NumPy's matrix product."""
    built = np.show_config(mode="dicts") or {}
    found = built.get("Build Dependencies", {}).get("blas", {})
    return f"{found.get('name', 'an unknown library')} {found.get('version', '')}".strip()


def compiler() -> str:
    """The C compiler that an installation would use, and its version; empty where there is none."""
    for name in filter(None, (os.environ.get("CC", "").split(" ")[0], *COMPILERS)):
        if path := shutil.which(name):
            told = subprocess.run([path, "--version"], capture_output=True, text=True).stdout.strip()
            return f"{path}: {told.splitlines()[0]}" if told else path
    return ""


def advice() -> str:
    """What to do where the kernels are not built; empty where all is well."""
    if kernels.AVAILABLE:
        return ""
    first = "" if compiler() else f"1. Install a C compiler: {INSTALL.get(platform.system(), 'gcc or clang')}.\n"
    again = f"{sys.executable} -m pip install --force-reinstall --no-deps minivision"
    return (
        "Everything works and gives the same numbers in NumPy, but training is many times slower.\n"
        f"{first}{'2. Install' if first else 'Install'} minivision again: {again} (in a checkout: pip install .), "
        "and read what it prints about the kernels."
    )


@dataclass(frozen=True)
class Speed:
    """Billions of floating-point operations a second: of one float32 matrix product, minivision's and NumPy's, and the peak."""

    size: int
    ours: float
    numpy: float
    peak: float | None  # None where there are no kernels to measure it with


def measure(size: int = 1024, seconds: float = 0.5) -> Speed:
    """The best of as many size x size products as fit into `seconds`, for each of the two in turn, and the peak."""
    a, b = np.random.default_rng(0).standard_normal((2, size, size), np.float32)
    flops = 2.0 * size**3
    ours, theirs = _best(lambda: matmul(a, b), seconds), _best(lambda: np.matmul(a, b), seconds)
    peak = kernels.peak(np.float32, seconds)
    return Speed(size, flops / ours / 1e9, flops / theirs / 1e9, peak and peak / 1e9)


def _best(work: Callable[[], object], seconds: float) -> float:
    work()  # wakes the threads, touches the memory
    best, end = np.inf, time.perf_counter() + seconds
    while best == np.inf or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return float(best)
