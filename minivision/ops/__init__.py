"""The operations: each a NumPy definition and a closed-form VJP side by side, in files by kind.

Importing this package fills op.OPS and teaches Tensors NumPy's functions and torch's methods.
"""

from . import (
    activation,
    attention,
    batch_norm,
    conv,
    elementary,
    elementwise,
    loss,
    matmul,
    methods,
    norm,
    pool,
    reduce,
    shape,
    softmax,
)

__all__ = [
    "activation", "attention", "batch_norm", "conv", "elementary", "elementwise", "loss", "matmul", "methods", "norm", "pool",
    "reduce", "shape", "softmax",
]  # fmt: skip
