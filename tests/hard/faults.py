"""Mistakes that a sanitizer must report, made by calling kernels wrongly: `python exact.py faults.py overrun`, and so on."""

from __future__ import annotations

import sys

import numpy as np

from minivision.kernels._library import function, pointer, workspace

DTYPE = np.dtype(np.float32)


def overrun() -> None:
    """Rows that are one element shorter than they are said to be."""
    x, y = np.ones((4, 6), DTYPE), np.ones((4, 6), DTYPE)
    function("softmax", DTYPE)(4, 7, 1, pointer(x), pointer(y), 0, 1)


def short_workspace() -> None:
    """Sums of rows, whose partial sums need 16 n elements."""
    x, y = np.ones((40, 9), DTYPE), np.ones(9, DTYPE)
    function("sum_rows", DTYPE)(40, 9, pointer(x), 9, pointer(y), pointer(workspace(16 * 9 - 1, DTYPE)), 1)


def overflow() -> None:
    """A stride that no array has: the place of the third row does not fit into 64 bits."""
    x, y = np.ones((3, 1), DTYPE), np.ones((3, 1), DTYPE)
    function("gemm_definition", DTYPE)(3, 1, 1, pointer(x), 2**62, 1, pointer(x), 1, 1, pointer(y), 1, pointer(None))


def race() -> None:
    """Products of a batch that all go to one place; so many that no thread takes them all."""
    n = 20000
    a, b, c = np.ones((n, 5, 5), DTYPE), np.ones((n, 5, 5), DTYPE), np.ones((5, 5), DTYPE)
    space = workspace(function("gemm_workspace", DTYPE)(3), DTYPE)
    function("gemm", DTYPE)(
        1, n, 5, 5, 5, pointer(a), 0, 25, 5, 1, pointer(b), 0, 25, 5, 1, pointer(c), 0, 0, 5, pointer(None), pointer(space), 3
    )


if __name__ == "__main__":
    {fault.__name__: fault for fault in (overrun, short_workspace, overflow, race)}[sys.argv[1]]()
