"""minivision: a tiny autograd engine with hand-written C kernels, and on it the vision papers."""

from __future__ import annotations

from typing import Any

import numpy as _np

from . import functional, ops
from .backend import backend, get_backend, set_backend
from .errors import CheckpointError, DataError, DtypeError, GraphError, NoKernelsWarning, ShapeError
from .kernels import get_num_threads, set_num_threads
from .random import manual_seed
from .recording import no_grad, set_grad_enabled
from .tape import Tensor, grad

__version__ = "0.1.0"


def tensor(data: Any, requires_grad: bool = False, dtype: Any = None) -> Tensor:
    """A Tensor with a copy of `data` (numbers, nested lists, an array). Python floats become float32, as in torch."""
    array = data.data if isinstance(data, Tensor) else data
    keep = isinstance(array, (_np.ndarray, _np.generic))
    array = _np.array(array, dtype=dtype, order="C")
    if dtype is None and not keep and array.dtype == _np.float64:
        array = array.astype(_np.float32)
    return Tensor(array.astype(array.dtype.newbyteorder("="), copy=False), requires_grad)
