"""What tests that compile an exercise's C file are marked with."""

from __future__ import annotations

import shutil

import pytest

COMPILER = any(map(shutil.which, ("cc", "gcc", "clang")))
needs_compiler = pytest.mark.skipif(not COMPILER, reason="there is no C compiler to build what a student wrote in C")
