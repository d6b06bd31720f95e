"""What is made from pooling, as layers: p-norms of windows, and max pooling undone."""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ..functional._sizes import numbers
from .module import Module
from .pooling import Size, written

__all__ = ["LPPool1d", "LPPool2d", "LPPool3d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d"]


class _LPPool(Module):
    """(sum x^p)^(1/p) of each window, p = norm_type. stride defaults to kernel_size."""

    _pool: Any

    def __init__(self, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode

    def forward(self, x: Any) -> Any:
        """(N, C, ...) -> (N, C, ...), or (C, ...) -> (C, ...)"""
        return type(self)._pool(x, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        """The norm and the window."""
        return written(self, "norm_type", "kernel_size", "stride", "ceil_mode")


class LPPool1d(_LPPool):
    __doc__ = _LPPool.__doc__
    _pool = staticmethod(F.lp_pool1d)


class LPPool2d(_LPPool):
    __doc__ = _LPPool.__doc__
    _pool = staticmethod(F.lp_pool2d)


class LPPool3d(_LPPool):
    __doc__ = _LPPool.__doc__
    _pool = staticmethod(F.lp_pool3d)


class _MaxUnpool(Module):
    """Undoes a max pooling with the same settings: each value where its index says, zeros elsewhere."""

    _pool: Any
    _axes: int

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        super().__init__()
        self.kernel_size = numbers("kernel_size", kernel_size, self._axes)
        self.stride = self.kernel_size if stride is None else numbers("stride", stride, self._axes)
        self.padding = numbers("padding", padding, self._axes)

    def forward(self, x: Any, indices: Any, output_size: Any = None) -> Any:
        """(N, C, ...) twice -> (N, C, ...), of output_size where several sizes give that many windows"""
        return type(self)._pool(x, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        """The window."""
        return written(self, "kernel_size", "stride", "padding")


class MaxUnpool1d(_MaxUnpool):
    __doc__ = _MaxUnpool.__doc__
    _pool, _axes = staticmethod(F.max_unpool1d), 1


class MaxUnpool2d(_MaxUnpool):
    __doc__ = _MaxUnpool.__doc__
    _pool, _axes = staticmethod(F.max_unpool2d), 2


class MaxUnpool3d(_MaxUnpool):
    __doc__ = _MaxUnpool.__doc__
    _pool, _axes = staticmethod(F.max_unpool3d), 3
