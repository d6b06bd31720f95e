"""torch.nn's names: Module, its parameters and containers, and the layers that models share."""

from . import init
from .container import ModuleDict, ModuleList, Sequential
from .conv import AdaptiveAvgPool2d, AvgPool2d, BatchNorm2d, Conv2d, MaxPool2d
from .layers import GELU, Dropout, DropPath, Embedding, Flatten, Identity, LayerNorm, Linear, ReLU, Sigmoid, SiLU, Softmax, Tanh
from .module import Handle, Module
from .parameter import Parameter

__all__ = [
    "GELU", "AdaptiveAvgPool2d", "AvgPool2d", "BatchNorm2d", "Conv2d", "DropPath", "Dropout", "Embedding", "Flatten", "Handle",
    "Identity", "LayerNorm", "Linear", "MaxPool2d", "Module", "ModuleDict", "ModuleList", "Parameter", "ReLU", "Sequential",
    "SiLU", "Sigmoid", "Softmax", "Tanh", "init",
]  # fmt: skip
