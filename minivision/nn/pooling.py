"""Pooling as layers, on signals (N, C, L), images (N, C, H, W), volumes (N, C, D, H, W), or one of them without N."""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ..functional._sizes import numbers
from .module import Module

__all__ = [
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d", "MaxPool1d", "MaxPool2d", "MaxPool3d",
]  # fmt: skip

Size = int | tuple[int, ...]


def written(module: Module, *names: str) -> str:
    """name=value of some attributes."""
    return ", ".join(f"{name}={getattr(module, name)}" for name in names)


class _MaxPool(Module):
    """The largest value of each window, padding left out; stride defaults to kernel_size.

    return_indices: forward gives a pair, the values and where in its signal, image or volume each stood.
    """

    _pool: Any

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, dilation: Size = 1,
        return_indices: bool = False, ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding
        self.dilation, self.return_indices, self.ceil_mode = dilation, return_indices, ceil_mode

    def forward(self, x: Any) -> Any:
        """(N, C, ...) -> (N, C, ...), or (C, ...) -> (C, ...)"""
        settings = self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        return type(self)._pool(x, *settings)

    def extra_repr(self) -> str:
        """The window."""
        return written(self, "kernel_size", "stride", "padding", "dilation", "ceil_mode")


class MaxPool1d(_MaxPool):
    __doc__ = _MaxPool.__doc__
    _pool = staticmethod(F.max_pool1d)


class MaxPool2d(_MaxPool):
    __doc__ = _MaxPool.__doc__
    _pool = staticmethod(F.max_pool2d)


class MaxPool3d(_MaxPool):
    __doc__ = _MaxPool.__doc__
    _pool = staticmethod(F.max_pool3d)


class AvgPool1d(Module):
    """The mean of each window; count_include_pad: zeros of the padding count as values. stride defaults to kernel_size."""

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size = numbers("kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else numbers("stride", stride, 1)
        self.padding = numbers("padding", padding, 1)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x: Any) -> Any:
        """(N, C, L) -> (N, C, L'), or (C, L) -> (C, L')"""
        return F.avg_pool1d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        """The window."""
        return written(self, "kernel_size", "stride", "padding")


class _AvgPool(Module):
    """The mean of each window; count_include_pad: zeros of the padding count as values. stride defaults to kernel_size.

    divisor_override divides the sums of the windows instead of a count.
    """

    _pool: Any

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding
        self.ceil_mode, self.count_include_pad, self.divisor_override = ceil_mode, count_include_pad, divisor_override

    def forward(self, x: Any) -> Any:
        """(N, C, ...) -> (N, C, ...), or (C, ...) -> (C, ...)"""
        settings = self.ceil_mode, self.count_include_pad, self.divisor_override
        return type(self)._pool(x, self.kernel_size, self.stride, self.padding, *settings)

    def extra_repr(self) -> str:
        """The window."""
        return written(self, "kernel_size", "stride", "padding")


class AvgPool2d(_AvgPool):
    __doc__ = _AvgPool.__doc__
    _pool = staticmethod(F.avg_pool2d)


class AvgPool3d(_AvgPool):
    __doc__ = _AvgPool.__doc__
    _pool = staticmethod(F.avg_pool3d)


class _AdaptiveAvgPool(Module):
    """The means over output_size bins that cover the signal, image or volume; None keeps a size, 1 is global pooling."""

    _pool: Any

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, x: Any) -> Any:
        """(N, C, ...) -> (N, C, *output_size), or (C, ...) -> (C, *output_size)"""
        return type(self)._pool(x, self.output_size)

    def extra_repr(self) -> str:
        """The size."""
        return written(self, "output_size")


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    __doc__ = _AdaptiveAvgPool.__doc__
    _pool = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    __doc__ = _AdaptiveAvgPool.__doc__
    _pool = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    __doc__ = _AdaptiveAvgPool.__doc__
    _pool = staticmethod(F.adaptive_avg_pool3d)


class _AdaptiveMaxPool(_AdaptiveAvgPool):
    """The maxima of output_size bins that cover the signal, image or volume; None keeps a size.

    return_indices: forward gives a pair, the values and where in its signal, image or volume each stood.
    """

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, x: Any) -> Any:
        """(N, C, ...) -> (N, C, *output_size), or (C, ...) -> (C, *output_size)"""
        return type(self)._pool(x, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    __doc__ = _AdaptiveMaxPool.__doc__
    _pool = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    __doc__ = _AdaptiveMaxPool.__doc__
    _pool = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    __doc__ = _AdaptiveMaxPool.__doc__
    _pool = staticmethod(F.adaptive_max_pool3d)
