"""Activations as layers, with torch.nn's names, arguments and defaults."""

from __future__ import annotations

from typing import Any

from .. import functional as F
from .module import Module

__all__ = ["GELU", "ReLU", "SiLU", "Sigmoid", "Softmax", "Tanh"]


class GELU(Module):
    """y = x Phi(x); approximate="tanh" for the paper's tanh form.  Hendrycks & Gimpel 2016."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, x: Any) -> Any:
        """Any shape."""
        return F.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        """The form."""
        return f"approximate={self.approximate!r}"


class ReLU(Module):
    """y = max(x, 0)"""

    def forward(self, x: Any) -> Any:
        """Any shape."""
        return F.relu(x)


class SiLU(Module):
    """y = x sigmoid(x)"""

    def forward(self, x: Any) -> Any:
        """Any shape."""
        return F.silu(x)


class Sigmoid(Module):
    """y = 1 / (1 + exp(-x))"""

    def forward(self, x: Any) -> Any:
        """Any shape."""
        return F.sigmoid(x)


class Tanh(Module):
    """y = tanh(x)"""

    def forward(self, x: Any) -> Any:
        """Any shape."""
        return F.tanh(x)


class Softmax(Module):
    """y = exp(x) / sum exp(x) along axis dim."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Any) -> Any:
        """Any shape."""
        return F.softmax(x, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"
