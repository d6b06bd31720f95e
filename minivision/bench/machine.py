"""The two limits of a machine: how fast it multiplies and adds on registers, and how fast it moves memory."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import kernels
from .workloads import Workload


@dataclass(frozen=True)
class Machine:
    """Floating-point operations and bytes a second at most, with the threads in use; measured, not looked up."""

    peak: dict[str, float]  # by element type
    bandwidth: float
    threads: int
    isa: str
    processor: str

    def attainable(self, workload: Workload) -> float:
        """The roofline (Williams et al. 2009): the least seconds that arithmetic and memory traffic need."""
        return max(workload.flops / self.peak[workload.dtype], workload.bytes / self.bandwidth)


def measure_machine(seconds: float = 0.5) -> Machine | None:
    """Measures this machine; None where there are no kernels."""
    if not kernels.AVAILABLE:
        return None
    peak = {name: float(kernels.peak(np.dtype(name), seconds) or 0.0) for name in ("float32", "float64")}
    return Machine(peak, float(kernels.bandwidth(seconds) or 0.0), kernels.get_num_threads(), kernels.isa(), processor())


def processor() -> str:
    """The processor's name, as the system tells it."""
    told = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*:\s*(\S.*)", told.read_text()) if told.exists() else None
    return named[1].strip() if named else platform.processor() or platform.machine()
