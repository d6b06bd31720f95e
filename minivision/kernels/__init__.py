"""The C kernels, as functions on NumPy arrays: the only package that touches the compiled module.

A kernel that does not take given arrays (an element type or a size it was not written for) answers NotImplemented, and
the operation falls back to its NumPy definition.
"""

from ._library import AVAILABLE, REASON, Kernel, get_num_threads, has_openmp, isa, isas, set_num_threads, use_isa
from .attention import attention
from .conv import conv2d
from .elementwise import gelu
from .matmul import linear, matmul
from .norm import layer_norm, sum_rows
from .optim import adamw
from .peak import bandwidth, peak

__all__ = [
    "AVAILABLE",
    "REASON",
    "Kernel",
    "adamw",
    "attention",
    "bandwidth",
    "conv2d",
    "gelu",
    "get_num_threads",
    "has_openmp",
    "isa",
    "isas",
    "layer_norm",
    "linear",
    "matmul",
    "peak",
    "set_num_threads",
    "sum_rows",
    "use_isa",
]  # fmt: skip
