"""How fast the kernels and training steps are: beside NumPy, PyTorch and the machine's own limits, in one run.

workloads.py says what is timed; each engine in engines/ does it its own way, in processes of its own that take turns.
"""

from .machine import Machine, measure_machine
from .run import Result, run
from .workloads import GROUPS, Workload, workloads

__all__ = ["GROUPS", "Machine", "Result", "Workload", "measure_machine", "run", "workloads"]
