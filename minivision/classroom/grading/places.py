"""Which folders a submission needs to see to run at all, and which it must not see."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from ..cut import ROOT
from ..cut_c import csrc

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/etc/alternatives", "/etc/ld.so.cache")
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
SECRETS = [str(ROOT / "minivision" / "classroom" / "checks" / "__init__.py"), str(csrc() / "steps" / "gemm_2_order.c")]
NEEDED = ("numpy", "cffi", "_cffi_backend*")


def readable() -> list[str]:
    """The system's programs and libraries, Python, and the packages that it finds elsewhere."""
    python = [path for each in (sys.prefix, sys.base_prefix) for path in (each, os.path.realpath(each))]
    outer: list[str] = []
    for path in sorted({*SYSTEM, *DEVICES, *python, *extra_paths()}, key=lambda path: (len(path), path)):
        if os.path.islink(path) or not any(Path(path).is_relative_to(each) for each in outer):
            outer.append(path)
    return outer


def extra_paths() -> list[str]:
    """Folders outside of Python's own that packages are imported from."""
    own = [os.path.realpath(each) for each in (sys.prefix, sys.base_prefix, "/usr")]
    found = [os.path.realpath(path) for path in sys.path if path and os.path.isdir(path)]
    elsewhere = [path for path in dict.fromkeys(found) if not any(Path(path).is_relative_to(each) for each in own)]
    return [path for path in elsewhere if any(any(Path(path).glob(name)) for name in NEEDED)]


def hidden(private: Iterable[str] = ()) -> list[str]:
    """Every copy of the library that Python could find, and the private folders."""
    bases = {sys.prefix, sys.base_prefix, "/usr", "/usr/local", *map(os.path.realpath, (sys.prefix, sys.base_prefix))}
    packages = {str(each) for base in bases for each in Path(base).glob("lib*/python3*/*-packages")}
    copies = [os.path.join(path, "minivision") for path in [*packages, *map(os.path.realpath, filter(None, sys.path))]]
    source = [str(ROOT / name) for name in ("minivision", "csrc", "tests", "tutorials", ".git") if (ROOT / "setup.py").exists()]
    there = {os.path.realpath(path) for path in [*copies, *source, *private] if os.path.isdir(path)}
    return sorted(there, key=len)
