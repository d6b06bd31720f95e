"""The processor's multiply-add rate, by csrc/peak.inc.c."""

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
