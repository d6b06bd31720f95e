"""What tests that compile an exercise's C file are marked with."""

from __future__ import annotations

import shutil

import pytest

needs_compiler = pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler here")
