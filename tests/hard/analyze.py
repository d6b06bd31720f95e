"""Every instruction set without a warning from gcc or clang, and without a finding of gcc's analyzer.

    python tests/hard/analyze.py

All warnings are errors here, also those that are off in users' builds. What the optimisers find depends on their flags, so
each file is compiled as it is built, and with small blocks.
"""

from __future__ import annotations

import itertools
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

import builds

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Wstrict-prototypes", "-Werror"]
# Without inlining the analyzer would see only calls; with the optimisers' whole work it would not end.
ANALYZER = ["-fanalyzer", "-O1", "-DMV_SMALL_BLOCKS"]
# An instruction set's compiler need not run on it.
FOREIGN = {"aarch64-linux-gnu-gcc": "isa_neon"}


def compile_all(compiler: str, files: list[str], variants: dict[str, list[str]]) -> None:
    """Compiles the files with each list of flags; the program ends at the first warning."""
    if not shutil.which(compiler):
        print(f"== {compiler}: skipped, it is not on this machine")
        return
    for file, (what, flags) in itertools.product(files, variants.items()):
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            builds.objects(compiler, [*WARNINGS, "-fopenmp", *flags], Path(folder), [file])
        print(f"   {compiler}, {file}, {what}: nothing found ({time.monotonic() - begun:.0f} s)", flush=True)


def must_report() -> None:
    """A mistake of each kind must be found, or the silence of the rest says nothing."""
    program = "int *f(int n); int *f(int n) { int *p = __builtin_malloc(4); *p = n; return p; }\n"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "planted.c"
        for flag, text in {"-fanalyzer": program, "-Wconversion": "int f(long n); int f(long n) { return n; }\n"}.items():
            source.write_text(text)
            if not builds.run(["gcc", "-c", flag, "-Werror", str(source), "-o", "/dev/null"], check=False).returncode:
                sys.exit(f"gcc {flag} does not report the mistake in: {text}")


if __name__ == "__main__":
    variants = {"as built": [], "small blocks": ["-DMV_SMALL_BLOCKS"]}
    if shutil.which("gcc"):
        must_report()
    for compiler in ("gcc", "clang"):
        compile_all(compiler, [*builds.build_kernels.sources()], variants)
    for compiler, file in FOREIGN.items():
        if platform.machine() != "aarch64":
            compile_all(compiler, [file], variants)
    compile_all("gcc", builds.build_kernels.sources(base_only=True), {"analyzer": ANALYZER})
