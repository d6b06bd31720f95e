"""Builds of the kernels with any compiler and flags, for the checks in this folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "csrc"
sys.path.insert(0, str(CSRC))
import build_kernels  # noqa: E402  (csrc is no package: its folder had to be named first)


def run(command: list[str], check: bool = True, **options: object) -> subprocess.CompletedProcess[str]:
    """A command with its output; where it fails and may not, the program ends with what it said."""
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if check and done.returncode:
        sys.exit(f"{' '.join(command)}\nended with status {done.returncode}\n{done.stdout}")
    return done


def has_openmp(compiler: str) -> bool:
    """Whether this compiler finds the header of OpenMP."""
    command = [compiler, "-fopenmp", "-fsyntax-only", "-x", "c", "-"]
    return subprocess.run(command, input="#include <omp.h>\n", text=True, capture_output=True).returncode == 0


def at_once(calls: list) -> list:
    """The results of calls without arguments, as many at a time as there are processors."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def objects(compiler: str, flags: list[str], folder: Path, names: list[str]) -> list[Path]:
    """Compiles these files of csrc, each with the flags of its instruction set."""
    build_kernels.write_headers(folder)
    include = [f"-I{folder}", f"-I{CSRC}"]

    def compile_one(name: str) -> Path:
        own = [*build_kernels.COMMON_FLAGS, *build_kernels.ISA_FLAGS.get(name, []), *flags]
        run([compiler, "-c", "-fPIC", *own, *include, str(CSRC / f"{name}.c"), "-o", str(folder / f"{name}.o")])
        return folder / f"{name}.o"

    return at_once([lambda name=name: compile_one(name) for name in names])


def module(compiler: str, flags: list[str], folder: Path, more: tuple[Path, ...] = ()) -> Path:
    """The Python module of the base kernels, for MINIVISION_KERNELS; `more`: further objects to link."""
    made = objects(compiler, [*flags, "-DMV_BASE_ONLY"], folder, build_kernels.sources(base_only=True))
    build_kernels.make_ffi(folder, base_only=True).emit_c_code(str(folder / "binding.c"))
    headers = [f"-I{folder}", f"-I{sysconfig.get_path('include')}", "-DPy_LIMITED_API=0x030A0000"]
    run([compiler, "-c", "-fPIC", "-O1", *headers, str(folder / "binding.c"), "-o", str(folder / "binding.o")])
    library, linked = folder / "_kernels.abi3.so", [flag for flag in flags if flag.startswith("-f")]
    if more:  # a stand-in for OpenMP: its library is not wanted
        linked.remove("-fopenmp")
    run([compiler, "-shared", *linked, *map(str, [*made, folder / "binding.o", *more]), "-lm", "-o", str(library)])
    return library
