"""minivision: a tiny autograd engine with hand-written C kernels, and on it the vision papers."""

from __future__ import annotations

from typing import Any

import numpy as _np

from . import data, functional, nn, ops, optim, schedule
from .backend import backend, get_backend, set_backend
from .checkpoint import load_checkpoint, save_checkpoint
from .errors import CheckpointError, DataError, DtypeError, GradcheckError, GraphError, NoKernelsWarning, ShapeError
from .gradcheck import gradcheck
from .kernels import get_num_threads, set_num_threads
from .models import create_model, list_models
from .profile import count_parameters, profile
from .random import manual_seed
from .recording import no_grad, set_grad_enabled
from .tape import Tensor, grad

__version__ = "0.1.0"
__all__ = [
    "CheckpointError", "DataError", "DtypeError", "GradcheckError", "GraphError", "NoKernelsWarning", "ShapeError", "Tensor",
    "backend", "count_parameters", "create_model", "data", "functional", "get_backend", "get_num_threads", "grad", "gradcheck",
    "list_models", "load_checkpoint", "manual_seed", "nn", "no_grad", "ops", "optim", "profile", "save_checkpoint", "schedule",
    "set_backend", "set_grad_enabled", "set_num_threads", "tensor",
]  # fmt: skip


def tensor(data: Any, requires_grad: bool = False, dtype: Any = None) -> Tensor:
    """A Tensor with a copy of `data` (numbers, nested lists, an array). Python floats become float32, as in torch."""
    array = data.data if isinstance(data, Tensor) else data
    keep = isinstance(array, (_np.ndarray, _np.generic))
    array = _np.array(array, dtype=dtype, order="C")
    if dtype is None and not keep and array.dtype == _np.float64:
        array = array.astype(_np.float32)
    return Tensor(array.astype(array.dtype.newbyteorder("="), copy=False), requires_grad)
