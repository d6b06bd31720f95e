"""The machine's own limits, by csrc/peak.inc.c: multiply-adds on registers, and memory traffic."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ._library import AVAILABLE, function, get_num_threads, pointer


def peak(dtype: Any = np.float32, seconds: float = 0.5) -> float | None:
    """Floating-point operations a second that the threads in use can do at most; None where there are no kernels."""
    if not AVAILABLE:
        return None
    threads, dtype = get_num_threads(), np.dtype(dtype)
    out, best, end = np.ones(threads, dtype), 0.0, time.perf_counter() + seconds
    while not best or time.perf_counter() < end:
        start = time.perf_counter()
        flops = function("peak", dtype)(1_000_000, pointer(out), threads)
        best = max(best, flops / (time.perf_counter() - start))
    return best


def bandwidth(seconds: float = 0.5, elements: int = 40_000_000) -> float | None:
    """Bytes a second that the threads in use can move, two arrays in and one out; None where there are no kernels.

    elements: of each array; three of 160 MB by default, beyond any cache. What a processor reads of c before it writes is
    not counted, as in STREAM (McCalpin 1995).
    """
    if not AVAILABLE:
        return None
    a, b, c = np.ones((3, elements), np.float32)
    best, end = 0.0, time.perf_counter() + seconds
    while not best or time.perf_counter() < end:
        start = time.perf_counter()
        function("triad", a.dtype)(elements, pointer(a), pointer(b), 0.5, pointer(c), get_num_threads())
        best = max(best, 3 * c.nbytes / (time.perf_counter() - start))
    return best
