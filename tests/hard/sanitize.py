"""The kernels under AddressSanitizer with UndefinedBehaviorSanitizer, and under ThreadSanitizer.

    python tests/hard/sanitize.py [address] [threads]

Both build the kernels with small blocks, so that small arrays have every kind of edge, and sweep them with tests/probes.py;
arrays and workspace end where they were asked to end (exact.py). The first goes on with tests of the suite. Each begins with
mistakes that it must report (faults.py): a blind check would be silent, too.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

import builds

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent
FOUND = 66  # the status of a program in which a sanitizer found something
COMMON = ["-O1", "-g1", "-fopenmp", "-DMV_SMALL_BLOCKS"]
ADDRESS = [*COMMON, "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
THREADS = [*COMMON, "-fsanitize=thread"]
PROBES = ["gemm", "attention", "layer_norm", "linear", "conv2d", "winograd", "depthwise", "pointwise", "softmax",
          "cross_entropy", "pool", "permutations", "windows", "tables"]  # fmt: skip
ON_THREADS = ["threads", *(name for name in PROBES if name not in ("gemm", "attention", "permutations"))]  # those take minutes
# What the suite does on kernels and the sweep does not: every layout, every oracle, sizes without memory.
SUITE = ["test_layouts.py", "test_oracles.py", "test_huge_sizes.py", "test_optim.py"]


def runtime(compiler: str, name: str) -> str:
    """The path of a sanitizer's library, which has to be in the process before Python; "" where the compiler has none."""
    path = builds.run([compiler, f"-print-file-name={name}"]).stdout.strip()
    return path if os.path.isabs(path) else ""


def environment(library: Path, preload: str, threads: int) -> dict[str, str]:
    """For a Python whose kernels are this build. Python's own memory lives until the end: leaks are not looked for."""
    options = f"exitcode={FOUND}:detect_leaks=0:halt_on_error=1:abort_on_error=0:allocator_may_return_null=1"
    return {
        **os.environ, "MINIVISION_KERNELS": str(library), "LD_PRELOAD": preload, "OMP_NUM_THREADS": str(threads),
        "ASAN_OPTIONS": options, "UBSAN_OPTIONS": f"{options}:print_stacktrace=1", "TSAN_OPTIONS": options,
        "PYTHONPATH": f"{builds.ROOT}{os.pathsep}{HERE}", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip


def python(surroundings: dict[str, str], *arguments: str) -> tuple[int, str]:
    """The status of a Python on these kernels, and what a sanitizer reported, or else the end of its output."""
    done = builds.run([*steady(), sys.executable, *arguments], check=False, env=surroundings, cwd=TESTS)
    lines = done.stdout.splitlines()
    report = next((i for i, line in enumerate(lines) if re.search("ERROR: |WARNING: Thread|runtime error: ", line)), -25)
    return done.returncode, "\n".join(lines[report:][:25])


def exact(surroundings: dict[str, str], program: Path, *arguments: str) -> tuple[int, str]:
    """The same for a program whose arrays end where they were asked to end."""
    return python(surroundings, str(HERE / "exact.py"), str(program), *arguments)


def steady() -> list[str]:
    """ThreadSanitizer's memory map has no room for every place where a process may be put: without chance, if that can be had."""
    return (
        ["setarch", "-R"]
        if shutil.which("setarch") and builds.run(["setarch", "-R", "true"], check=False).returncode == 0
        else []
    )


def must_report(surroundings: dict[str, str], *faults: str) -> None:
    """Ends the program where a planted mistake is not reported."""
    for fault in faults:
        status, report = exact(surroundings, HERE / "faults.py", fault)
        if status != FOUND:
            sys.exit(f"the planted fault {fault!r} was not reported (status {status})\n{report}")
        print(f"   planted {fault}: {report.splitlines()[0].strip('= ')}", flush=True)


def must_pass(what: str, begun: float, status: int, report: str) -> None:
    """Ends the program with the report where something was found."""
    if status:
        sys.exit(f"{what} ended with status {status}\n{report}")
    print(f"   {what}: nothing found ({time.monotonic() - begun:.0f} s)", flush=True)


def address(folder: Path, preload: str) -> None:
    """Reads and writes outside of arrays, overflows, shifts, wild pointers."""
    here = environment(builds.module("gcc", ADDRESS, folder), preload, 1)
    must_report(here, "overrun", "short_workspace", "overflow")
    for name in PROBES:
        must_pass(f"sweep of {name}", time.monotonic(), *exact(here, TESTS / "probes.py", name))
    tests = [name for name in SUITE if (TESTS / name).exists()]
    options = ["-n", "0", "-q", "-x", "-p", "exact", "-p", "no:cacheprovider", "--capture=sys"]
    must_pass(" ".join(tests), time.monotonic(), *python(here, "-m", "pytest", *options, *tests))


def threads(folder: Path, preload: str) -> None:
    """Two threads at one place, of which one writes, without an order between them."""
    builds.run(
        ["gcc", "-c", "-fPIC", "-O1", "-g1", "-fsanitize=thread", str(HERE / "threads.c"), "-o", str(folder / "threads.o")]
    )
    library = builds.module("gcc", THREADS, folder, (folder / "threads.o",))
    here = environment(library, preload, 3)
    must_report(here, "race")
    for name in ON_THREADS:
        must_pass(f"sweep of {name}", time.monotonic(), *exact(here, TESTS / "probes.py", name))


if __name__ == "__main__":
    for check, name in ((address, "libasan.so"), (threads, "libtsan.so")):
        if sys.argv[1:] and check.__name__ not in sys.argv[1:]:
            continue
        preload = runtime("gcc", name) if shutil.which("gcc") else ""
        if not preload:
            print(f"== {check.__name__}: skipped, as this machine has no gcc with {name}")
            continue
        print(f"== {check.__name__}: {check.__doc__}", flush=True)
        with tempfile.TemporaryDirectory() as made:
            check(Path(made), preload)
