"""Every instruction set without a warning from gcc or clang, and without a finding of clang's static analyzer.

    python tests/hard/analyze.py

All warnings are errors here, also those that are off in users' builds. What the optimisers find depends on their flags, so
each file is compiled as it is built, and the base once more with small blocks. (gcc's -fanalyzer follows every path through
the unrolled loops: it does not end within minutes on one of these files, and knows nothing of arrays that come from outside.)
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

import builds

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Wstrict-prototypes", "-Werror"]
# Without OpenMP, whose regions the analyzer would leave out; then some numbers of threads are set and not used.
ANALYZER = ["--analyze", "--analyzer-output", "text", "-Xclang", "-analyzer-disable-checker", "-Xclang", "deadcode.DeadStores",
            "-Werror", "-Wno-unknown-pragmas", "-DMV_SMALL_BLOCKS"]  # fmt: skip
# An instruction set's compiler need not run on it.
FOREIGN = {"aarch64-linux-gnu-gcc": "isa_neon"}


def compile_all(compiler: str, files: list[str], what: str, flags: list[str]) -> None:
    """Compiles the files with these flags; the program ends at the first warning."""
    if not shutil.which(compiler):
        print(f"   {compiler}, {what}: skipped, it is not on this machine")
        return
    if not builds.has_openmp(compiler):
        print(f"   {compiler}, {what}: skipped, it has no omp.h (Debian: libomp-dev)")
        return
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        builds.objects(compiler, [*WARNINGS, "-fopenmp", *flags], Path(folder), files)
    print(f"   {compiler}, {', '.join(files)}, {what}: nothing found ({time.monotonic() - begun:.0f} s)", flush=True)


def analyze(source: Path, include: list[str]) -> str:
    """What clang's analyzer says of a file."""
    flags = [flag for flag in builds.build_kernels.COMMON_FLAGS if flag != "-O3"]
    return builds.run(["clang", *ANALYZER, *flags, *include, str(source), "-o", os.devnull], check=False).stdout


def analyze_all() -> None:
    """The analyzer on every kernel; a mistake must be found first, or silence would say nothing."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "planted.c").write_text("int f(int n); int f(int n) { int a[2]; if (n > 0) a[0] = n; return a[0]; }\n")
        if "warning" not in analyze(folder / "planted.c", []):
            sys.exit("clang's analyzer does not report an element that nobody wrote")
        builds.build_kernels.write_headers(folder)
        said = analyze(builds.CSRC / "isa_base.c", [f"-I{folder}", f"-I{builds.CSRC}"])
    if "warning" in said or "error" in said:
        sys.exit(said)
    print(f"   clang's analyzer: nothing found ({time.monotonic() - begun:.0f} s)", flush=True)


if __name__ == "__main__":
    print("== warnings of every instruction set", flush=True)
    for compiler in ("gcc", "clang"):
        compile_all(compiler, builds.build_kernels.sources(), "as built", [])
        compile_all(compiler, ["isa_base"], "small blocks", ["-DMV_SMALL_BLOCKS"])
    for compiler, file in FOREIGN.items():
        if platform.machine() != "aarch64":
            compile_all(compiler, [file], "as built", [])
    if shutil.which("clang"):
        analyze_all()
