"""The kernels for 64-bit ARM (NEON) against their definitions, on any Linux machine: cross-compiled, and run by QEMU.

    python tests/hard/neon.py

driver/driver.c does the work. Needs Debian's gcc-aarch64-linux-gnu and qemu-user; on an ARM machine, gcc alone.
"""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

import builds

DRIVER = Path(__file__).resolve().parent / "driver"
NATIVE = platform.machine() in ("aarch64", "arm64")
COMPILER, EMULATOR = ("gcc", []) if NATIVE else ("aarch64-linux-gnu-gcc", ["qemu-aarch64"])
OUT_OF_BOUNDS = 3


def built(folder: Path, flags: list[str]) -> Path:
    """The program with the kernels of dispatch.c's table, for a machine without shared libraries."""
    made = builds.objects(COMPILER, ["-fopenmp", *flags], folder, ["dispatch", "isa_base", "isa_neon"])
    sources = [f"-I{folder}", f"-I{DRIVER}", str(DRIVER / "driver.c")]
    program = ["-std=gnu11", "-O1", "-static", "-fopenmp", *sources, *map(str, made), "-lm", "-o", str(folder / "driver")]
    builds.run([COMPILER, *program])
    return folder / "driver"


if __name__ == "__main__":
    missing = [tool for tool in (COMPILER, *EMULATOR) if not shutil.which(tool)]
    if missing:
        print(f"== neon: skipped, as this machine lacks {' and '.join(missing)} (Debian: gcc-aarch64-linux-gnu, qemu-user)")
        sys.exit()
    print("== neon: the kernels for ARM against their definitions", flush=True)
    for what, flags in {"small blocks": ["-DMV_SMALL_BLOCKS"], "real blocks": []}.items():
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            driver = str(built(Path(folder), flags))
            print(f"   {what}, {builds.run([*EMULATOR, driver]).stdout.strip()} ({time.monotonic() - begun:.0f} s)", flush=True)
            found = builds.run([*EMULATOR, driver, "fault"], check=False)
            if found.returncode != OUT_OF_BOUNDS:
                sys.exit(f"a planted fault went unnoticed\n{found.stdout}")
