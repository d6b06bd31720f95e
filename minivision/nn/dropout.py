"""Dropout of elements, of channels and of whole samples."""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ..functional.dropout import probability
from .module import Module

__all__ = ["AlphaDropout", "DropPath", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d"]


class Dropout(Module):
    """In training, zeroes each element with probability p and scales the others by 1 / (1 - p).  Srivastava et al. 2014.

    Any shape. inplace is taken as in torch and changes nothing.
    """

    function = staticmethod(F.dropout)

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p, self.inplace = probability(p), inplace

    def forward(self, x: Any) -> Any:
        """The shapes of the class."""
        return self.function(x, self.p, self.training)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout1d(Dropout):
    """The same for whole channels;  x (N, C, L) or (C, L).  Tompson et al. 2015, section 3.2."""

    function = staticmethod(F.dropout1d)


class Dropout2d(Dropout):
    """The same for whole channels;  x (N, C, H, W)."""

    function = staticmethod(F.dropout2d)


class Dropout3d(Dropout):
    """The same for whole channels;  x (N, C, D, H, W) or (C, D, H, W)."""

    function = staticmethod(F.dropout3d)


class AlphaDropout(Dropout):
    """Dropout for selu, which keeps mean 0 and variance 1.  Klambauer et al. 2017, section 3."""

    function = staticmethod(F.alpha_dropout)


class DropPath(Module):
    """In training, zeroes a whole sample with probability drop_prob and scales the others by 1 / (1 - drop_prob).

    Before a residual sum this skips the branch: stochastic depth. Huang et al. 2016, section 3. scale_by_keep=False
    leaves the others as they are.
    """

    def __init__(self, drop_prob: float = 0.0, scale_by_keep: bool = True) -> None:
        super().__init__()
        self.drop_prob, self.scale_by_keep = probability(drop_prob), scale_by_keep

    def forward(self, x: Any) -> Any:
        """x (N, *) -> the same"""
        return F.drop_path(x, self.drop_prob, self.training, self.scale_by_keep)

    def extra_repr(self) -> str:
        """The probability."""
        return f"drop_prob={self.drop_prob:.3f}"
