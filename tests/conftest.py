"""For all tests: one thread for each of pytest-xdist's workers, or they would wait for one another's."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # without a compiler the first import warns, once; tests of that warning start a process
    from minivision import kernels


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = kernels.get_num_threads()
    kernels.set_num_threads(1)
    yield
    kernels.set_num_threads(before)
