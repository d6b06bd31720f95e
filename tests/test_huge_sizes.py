"""Every operation with a kernel on arrays that no machine can hold: an error that says so, never a crash or a hang.

The arrays are one number seen 2^56 times and more, and take no memory; whatever is made of them would. (Sizes of windows,
pads and strides: test_conv_sizes.py and test_pool_axes.py.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minivision as mv
from minivision import kernels
from minivision.op import OPS

pytestmark = pytest.mark.skipif(not kernels.AVAILABLE, reason=f"the C kernels are not built on this machine: {kernels.REASON}")

B = 2**28  # two axes of it are 2^58 bytes of float32, beyond any processor's addresses; NumPy makes views up to 2^63 bytes
C = 2**31  # two axes of it are 2^64 bytes, which in 64 bits are 0: results that wrap around
MISSING = r"takes \d{18,} bytes|Unable to allocate [\d.]+ [PE]iB|array is too big"  # the project's words, or NumPy's
CURVES = ("relu", "leaky_relu", "hardtanh", "hardsigmoid", "hardswish", "sigmoid", "tanh", "silu", "gelu", "gelu_tanh", "elu",
          "softplus", "mish")  # fmt: skip
WINDOW = {"kernel": (2, 2), "stride": (1, 1)}


def array(*shape: int) -> np.ndarray:
    """Ones that take the memory of one."""
    return np.broadcast_to(np.float32(1), shape)


def index(*shape: int) -> np.ndarray:
    return np.broadcast_to(np.int64(1), shape)


def columns(n: int) -> np.ndarray:
    """(N, 2): two numbers, each seen n times; as one row they have to be written out."""
    return np.broadcast_to(np.ones((2, 1), np.float32), (2, n)).T


def large_arguments(n: int = B) -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
    """For each operation, arguments with two axes of n."""
    found: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {name: ((array(n, n),), {}) for name in CURVES}
    return found | {
        "softmax": ((array(n, n),), {}), "log_softmax": ((array(n, n),), {"axis": 0}),
        "cross_entropy": ((array(2, n * n // 4), index(2), None), {}),
        "layer_norm": ((array(n, n), None, None), {}), "rms_norm": ((array(n, n), None), {}),
        "add_layer_norm": ((array(n, n), array(n, n), None, None), {}),
        "batch_norm": ((array(n, 3, n), array(3), array(3), None), {}),
        "batch_norm_eval": ((array(n, 3, n), *[array(3)] * 4, None), {}),
        "multiply": ((array(n, 3, n), array(n, 3, 1)), {}),
        "group_norm": ((array(n, 4, n), array(4), array(4)), {"groups": 2}),
        "avg_pool2d": ((array(n, n, 3, 3),), WINDOW), "max_pool2d": ((array(n, n, 3, 3),), WINDOW),
        "adaptive_avg_pool2d": ((array(n, n, 3, 3),), {"size": (1, 1)}),
        "adaptive_max_pool2d": ((array(n, n, 3, 3),), {"size": (1, 1)}),
        "window_partition": ((array(n, 2, n, 2),), {"size": (1, 1)}),
        "window_reverse": ((array(n, 1, 1, n),), {"image": (1, 1)}),
        "index_add": ((array(2, n), index(2)), {"axis": 0, "size": n}),
        "scatter_add": ((array(1, 2), index(1, 2)), {"axis": 1, "size": n * n}),
        "gather": ((array(n * n // 4, 2), index(3, 2)), {"axis": 0}),
        "reshape": ((columns(n * n // 4),), {"shape": (n * n // 2,)}),
    }  # fmt: skip


def large_results(n: int) -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
    """For each operation whose result can outgrow its arguments, those that have n elements along one axis."""
    return {
        "matmul": ((array(n, 2), array(2, n)), {}), "linear": ((array(n, 2), array(n, 2), None), {}),
        "linear_activation": ((array(n, 2), array(n, 2), None), {"activation": "gelu"}),
        "attention": ((array(n, 2), array(3, 2), array(3, n), None), {"scale": 0.5}),
        "conv2d": ((array(n, 1, 3, 3), array(n, 1, 1, 1), None), {}),
        "conv_transpose2d": ((array(n, 1, 3, 3), array(1, n, 1, 1), None), {"size": (3, 3)}),
        "embedding": ((array(3, n * 2**26), index(2**4)), {}), "index_select": ((array(3, n * 2**26), index(2**4)), {}),
    }  # fmt: skip


def refused(name: str, arrays: tuple[Any, ...], attrs: dict[str, Any]) -> None:
    with mv.backend("c"), pytest.raises((MemoryError, ValueError), match=MISSING):
        OPS[name].forward(arrays, attrs)


def test_every_operation_with_a_kernel_is_here():
    assert large_arguments().keys() | large_results(B).keys() >= {name for name, op in OPS.items() if op.kernel is not None}


@pytest.mark.parametrize("name", large_arguments())
def test_arguments_without_memory(name):
    refused(name, *large_arguments()[name])


@pytest.mark.parametrize("n", [B, C])
@pytest.mark.parametrize("name", large_results(B))
def test_a_result_without_memory(name, n):
    refused(name, *large_results(n)[name])
