"""The C kernels, as functions on NumPy arrays: the only package that touches the compiled module.

A kernel that does not take given arrays (an element type or a size it was not written for) answers NotImplemented, and
the operation falls back to its NumPy definition.
"""

from ._library import AVAILABLE, REASON, Kernel, get_num_threads, has_openmp, isa, isas, set_num_threads, use_isa
from .attention import attention
from .batch_norm import batch_norm, batch_norm_eval, group_norm
from .conv import conv2d
from .conv_transpose import conv_transpose2d
from .copy import contiguous, reshape, window_partition, window_reverse
from .elementwise import (
    elu,
    gelu,
    gelu_tanh,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    mish,
    relu,
    sigmoid,
    silu,
    softplus,
    tanh,
)
from .embedding import embedding, gather, index_add, index_select, scatter_add
from .gate import multiply
from .linear_activation import linear_activation
from .matmul import linear, matmul
from .norm import add_layer_norm, layer_norm, rms_norm, sum_rows
from .optim import adamw, sgd
from .peak import bandwidth, peak
from .pool import adaptive_avg_pool2d, adaptive_max_pool2d, avg_pool2d, max_pool2d
from .softmax import cross_entropy, log_softmax, softmax

__all__ = [
    "AVAILABLE",
    "REASON",
    "Kernel",
    "adamw",
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "add_layer_norm",
    "attention",
    "avg_pool2d",
    "bandwidth",
    "batch_norm",
    "batch_norm_eval",
    "contiguous",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "elu",
    "embedding",
    "gather",
    "gelu",
    "gelu_tanh",
    "get_num_threads",
    "group_norm",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "has_openmp",
    "index_add",
    "index_select",
    "isa",
    "isas",
    "layer_norm",
    "leaky_relu",
    "linear",
    "linear_activation",
    "log_softmax",
    "matmul",
    "max_pool2d",
    "mish",
    "multiply",
    "peak",
    "relu",
    "reshape",
    "rms_norm",
    "scatter_add",
    "set_num_threads",
    "sgd",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "sum_rows",
    "tanh",
    "use_isa",
    "window_partition",
    "window_reverse",
]  # fmt: skip
