"""The C kernels, as functions on NumPy arrays: the only package that touches the compiled module.

A kernel that does not take given arrays (an element type or a size it was not written for) answers NotImplemented, and
the operation falls back to its NumPy definition.
"""

from ._library import AVAILABLE, REASON, Kernel, get_num_threads, has_openmp, isa, isas, set_num_threads, use_isa
from .matmul import linear, matmul

__all__ = ["AVAILABLE", "REASON", "Kernel", "get_num_threads", "has_openmp", "isa", "isas", "linear", "matmul", "set_num_threads", "use_isa"]
