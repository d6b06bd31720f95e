"""The operations: each a NumPy definition and a closed-form VJP side by side, in files by kind.

Importing this package fills op.OPS and teaches Tensors NumPy's functions and torch's methods.
"""

from . import (
    activation,
    adaptive_pool,
    attention,
    batch_norm,
    comparison,
    conv,
    conv_nd,
    ctc,
    einsum,
    elementary,
    elementwise,
    embedding,
    error_function,
    group_norm,
    indexing,
    linalg,
    linear_activation,
    loss,
    matmul,
    methods,
    norm,
    order,
    pad,
    piecewise,
    pool,
    reduce,
    resample,
    rounding,
    sample,
    scan,
    selection,
    shape,
    softmax,
    trigonometric,
    vector_norm,
    weight_norm,
    windows,
)

__all__ = [
    "activation", "adaptive_pool", "attention", "batch_norm", "comparison", "conv", "conv_nd", "ctc", "einsum",
    "elementary", "elementwise", "embedding", "error_function", "group_norm", "indexing", "linalg", "linear_activation",
    "loss", "matmul", "methods", "norm", "order", "pad", "piecewise", "pool", "reduce", "resample", "rounding", "sample",
    "scan", "selection", "shape", "softmax", "trigonometric", "vector_norm", "weight_norm", "windows",
]  # fmt: skip
