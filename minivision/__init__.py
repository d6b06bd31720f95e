"""minivision: a tiny autograd engine with hand-written C kernels, and on it the vision papers."""

from __future__ import annotations

from . import data, functional, metrics, nn, ops, optim, schedule
from .backend import backend, get_backend, set_backend
from .checkpoint import load_checkpoint, save_checkpoint
from .errors import CheckpointError, DataError, DtypeError, GradcheckError, GraphError, NoKernelsWarning, ShapeError
from .gradcheck import gradcheck
from .kernels import get_num_threads, set_num_threads
from .models import create_model, list_models
from .profile import count_parameters, profile
from .published import load_weights
from .random import manual_seed
from .recording import no_grad, set_grad_enabled
from .tape import Tensor, grad
from .tensors import *

__version__ = "0.1.0"
