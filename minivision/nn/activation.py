"""Activations as layers, with torch.nn's names, arguments and defaults.

`inplace` is taken where torch takes it and changes nothing: the result is new, the argument stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from .. import functional as F
from .init import constant
from .module import Module
from .parameter import Parameter

__all__ = [
    "CELU", "ELU", "GELU", "GLU", "SELU", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "LogSigmoid", "LogSoftmax",
    "Mish", "PReLU", "QuickGELU", "ReLU", "ReLU6", "SiLU", "Sigmoid", "Softmax", "Softmin", "Softplus", "Softsign", "Tanh",
    "Threshold",
]  # fmt: skip


class _Activation(Module):
    """y = function(x, *settings): a layer without parameters. Any shape."""

    function: ClassVar[Callable[..., Any]]
    settings: ClassVar[tuple[str, ...]] = ()  # the attributes that the function takes

    def forward(self, x: Any) -> Any:
        """Any shape."""
        return self.function(x, *(getattr(self, name) for name in self.settings))

    def extra_repr(self) -> str:
        """The settings."""
        shown = [f"{name}={getattr(self, name)!r}" for name in self.settings]
        return ", ".join(shown + ["inplace=True"] * getattr(self, "inplace", False))


class _InPlace(_Activation):
    """The same for those that take inplace and nothing else."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class _AlongAxis(_Activation):
    """The same for those that work along an axis."""

    settings = ("dim",)

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim


class ReLU(_InPlace):
    """y = max(x, 0)"""

    function = staticmethod(F.relu)


class ReLU6(_InPlace):
    """y = min(max(x, 0), 6)"""

    function = staticmethod(F.relu6)


class SELU(_InPlace):
    """y = 1.0507 elu(x, 1.6733).  Klambauer et al. 2017."""

    function = staticmethod(F.selu)


class SiLU(_InPlace):
    """y = x sigmoid(x)"""

    function = staticmethod(F.silu)


class Mish(_InPlace):
    """y = x tanh(log(1 + exp(x))).  Misra 2019."""

    function = staticmethod(F.mish)


class Hardswish(_InPlace):
    """y = x relu6(x + 3) / 6.  Howard et al. 2019."""

    function = staticmethod(F.hardswish)


class Hardsigmoid(_InPlace):
    """y = relu6(x + 3) / 6.  Howard et al. 2019."""

    function = staticmethod(F.hardsigmoid)


class Sigmoid(_Activation):
    """y = 1 / (1 + exp(-x))"""

    function = staticmethod(F.sigmoid)


class LogSigmoid(_Activation):
    """y = log(1 / (1 + exp(-x)))"""

    function = staticmethod(F.logsigmoid)


class Tanh(_Activation):
    """y = tanh(x)"""

    function = staticmethod(F.tanh)


class Softsign(_Activation):
    """y = x / (1 + |x|)"""

    function = staticmethod(F.softsign)


class QuickGELU(_InPlace):
    """y = x sigmoid(1.702 x): CLIP's activation."""

    function = staticmethod(F.quick_gelu)


class GELU(_Activation):
    """y = x Phi(x); approximate="tanh" for the paper's tanh form.  Hendrycks & Gimpel 2016."""

    function, settings = staticmethod(F.gelu), ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate


class LeakyReLU(_Activation):
    """y = x where x > 0, negative_slope x elsewhere.  Maas et al. 2013."""

    function, settings = staticmethod(F.leaky_relu), ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace


class ELU(_Activation):
    """y = x where x > 0, alpha (exp(x) - 1) elsewhere.  Clevert et al. 2016."""

    function, settings = staticmethod(F.elu), ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace


class CELU(ELU):
    """y = x where x > 0, alpha (exp(x / alpha) - 1) elsewhere.  Barron 2017."""

    function = staticmethod(F.celu)


class Hardtanh(_Activation):
    """y = x held between min_val and max_val."""

    function, settings = staticmethod(F.hardtanh), ("min_val", "max_val")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace


class Softplus(_Activation):
    """y = log(1 + exp(beta x)) / beta, and x where beta x > threshold."""

    function, settings = staticmethod(F.softplus), ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold


class Threshold(_Activation):
    """y = x where x > threshold, value elsewhere."""

    function, settings = staticmethod(F.threshold), ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value, self.inplace = threshold, value, inplace


class PReLU(Module):
    """y = x where x > 0, w x elsewhere, w learnt: one number, or one for each channel;  x (N, C, *).  He et al. 2015, eq. 1."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter((num_parameters,), constant(init))

    def forward(self, x: Any) -> Any:
        """(N, C, *) -> the same"""
        return F.prelu(x, self.weight)

    def extra_repr(self) -> str:
        """The number of slopes."""
        return f"num_parameters={self.num_parameters}"


class GLU(_AlongAxis):
    """y = a sigmoid(b), a and b the halves of x along axis dim.  Dauphin et al. 2017."""

    function = staticmethod(F.glu)


class Softmax(_AlongAxis):
    """y = exp(x) / sum exp(x) along axis dim."""

    function = staticmethod(F.softmax)


class LogSoftmax(_AlongAxis):
    """y = x - log sum exp(x) along axis dim."""

    function = staticmethod(F.log_softmax)


class Softmin(_AlongAxis):
    """y = exp(-x) / sum exp(-x) along axis dim."""

    function = staticmethod(F.softmin)
