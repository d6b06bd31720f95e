"""Convolutions as layers, of one, two and three axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

from .. import functional as F
from ..functional._sizes import numbers, paddings
from ..kernels.window import transposed_size
from . import init
from .module import Module
from .parameter import Parameter

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "Fold", "Unfold"]

Size = int | tuple[int, ...]
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Convolution(Module):
    """What convolutions and their transposes share: sizes, parameters that begin as U(-s, s), s = 1 / sqrt(fan_in)."""

    axes: ClassVar[int]
    function: ClassVar[Callable[..., Any]]
    transposed: ClassVar[bool] = False

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size, padding: Any, output_padding: Size,
        dilation: Size, groups: int, bias: bool, padding_mode: str,
    ) -> None:  # fmt: skip
        super().__init__()
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(f"groups={groups} should divide in_channels={in_channels} and out_channels={out_channels}")
        if padding_mode not in PADDING_MODES[: 1 if self.transposed else None]:
            raise ValueError(f"padding_mode is one of {PADDING_MODES}, and zeros for transposes, got {padding_mode!r}")
        self.in_channels, self.out_channels, self.groups, self.padding_mode = in_channels, out_channels, groups, padding_mode
        self.kernel_size, self.stride = self._numbers("kernel_size", kernel_size), self._numbers("stride", stride)
        self.dilation, self.output_padding = self._numbers("dilation", dilation), self._numbers("output_padding", output_padding)
        self.padding = padding if isinstance(padding, str) else self._numbers("padding", padding)
        self._around = paddings(padding, self.kernel_size, self.stride, self.dilation)
        first, second = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        shape = (first, second // groups, *self.kernel_size)
        s = 1.0 / math.sqrt(max(math.prod(shape[1:]), 1))
        self.weight = Parameter(shape, init.uniform(-s, s))
        self.bias = Parameter((out_channels,), init.uniform(-s, s)) if bias else None

    def _numbers(self, name: str, value: Any) -> tuple[int, ...]:
        return numbers(name, value, self.axes)

    def extra_repr(self) -> str:
        """Sizes, and what differs from the defaults."""
        words = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        none, one = (0,) * self.axes, (1,) * self.axes
        plain = {"padding": none, "dilation": one, "output_padding": none, "groups": 1}
        words += [f"{name}={getattr(self, name)}" for name, usual in plain.items() if getattr(self, name) != usual]
        words += ["bias=False"] * (self.bias is None)
        return ", ".join(words + [f"padding_mode={self.padding_mode}"] * (self.padding_mode != "zeros"))


class _Conv(_Convolution):
    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, padding: Any = 0, dilation: Size = 1,
        groups: int = 1, bias: bool = True, padding_mode: str = "zeros",
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, 0, dilation, groups, bias, padding_mode)

    def forward(self, x: Any) -> Any:
        """(N, in_channels, *sizes) -> (N, out_channels, *sizes'), or both without N"""
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            last_axis_first = [n for around in reversed(self._around) for n in around]
            x, padding = F.pad(x, last_axis_first, mode=self.padding_mode), 0
        return type(self).function(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv1d(_Conv):
    """Cross-correlation of sequences: Conv2d with one axis in place of two.

    x (N, in_channels, L) -> (N, out_channels, L');  weight (out, in / groups, k).
    """

    axes, function = 1, F.conv1d


class Conv2d(_Conv):
    """Cross-correlation: y_ohw = b_o + sum_cij W_ocij x_c(h s + i d - p)(w s + j d - p), in `groups` groups of channels.

    x (N, in_channels, H, W) -> (N, out_channels, H', W'),  H' = floor((H + 2p - d (k - 1) - 1) / s) + 1.
    Weight (out, in / groups, kh, kw) and bias begin as U(-s, s), s = 1 / sqrt(fan_in). padding: numbers, "same" or "valid";
    padding_mode: what the padding holds, "zeros", "reflect", "replicate" or "circular", as in F.pad.
    """

    axes, function = 2, F.conv2d


class Conv3d(_Conv):
    """Cross-correlation of volumes: Conv2d with three axes in place of two.

    x (N, in_channels, D, H, W) -> (N, out_channels, D', H', W');  weight (out, in / groups, kd, kh, kw).
    """

    axes, function = 3, F.conv3d


class _ConvTranspose(_Convolution):
    transposed = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, padding: Size = 0,
        output_padding: Size = 0, groups: int = 1, bias: bool = True, dilation: Size = 1, padding_mode: str = "zeros",
    ) -> None:  # fmt: skip
        sizes = kernel_size, stride, self._numbers("padding", padding), output_padding, dilation
        super().__init__(in_channels, out_channels, *sizes, groups, bias, padding_mode)

    def forward(self, x: Any, output_size: Any = None) -> Any:
        """(N, in_channels, *sizes) -> (N, out_channels, *sizes'); output_size: sizes', in place of output_padding"""
        more = self.output_padding if output_size is None else self._output_padding(x, tuple(output_size))
        settings = self.stride, self.padding, more, self.groups, self.dilation
        return type(self).function(x, self.weight, self.bias, *settings)

    def _output_padding(self, x: Any, wanted: tuple[int, ...]) -> tuple[int, ...]:
        """What must be added to the smallest result so that its last sizes are the wanted ones."""
        wanted, sizes = wanted[-self.axes :], tuple(x.shape[-self.axes :])
        windows = self.kernel_size, self.stride, self._around, self.dilation
        least = transposed_size(type(self).__name__, sizes, *windows, (0,) * self.axes)
        most = tuple(n + u - 1 for n, u in zip(least, self.stride, strict=True))
        if len(wanted) != self.axes or not all(a <= n <= b for a, n, b in zip(least, wanted, most, strict=True)):
            raise ValueError(f"output_size should end in {self.axes} sizes between {least} and {most}, got {wanted}")
        return tuple(n - a for n, a in zip(wanted, least, strict=True))


class ConvTranspose1d(_ConvTranspose):
    """The transpose of Conv1d: x (N, in_channels, L) -> (N, out_channels, L');  weight (in, out / groups, k)."""

    axes, function = 1, F.conv_transpose1d


class ConvTranspose2d(_ConvTranspose):
    """The transpose of Conv2d: it maps as the gradient of Conv2d's input does (Zeiler et al. 2010).

    x (N, in_channels, H, W) -> (N, out_channels, H', W'),  H' = (H - 1) s - 2p + d (k - 1) + 1 + output_padding.
    Weight (in, out / groups, kh, kw) and bias begin as U(-s, s), s = 1 / sqrt(out / groups kh kw), as in torch.
    """

    axes, function = 2, F.conv_transpose2d


class ConvTranspose3d(_ConvTranspose):
    """The transpose of Conv3d: x (N, in_channels, D, H, W) -> (N, out_channels, D', H', W');  weight (in, out / groups, *k)."""

    axes, function = 3, F.conv_transpose3d


class _Windows(Module):
    def __init__(self, kernel_size: Size, dilation: Size, padding: Size, stride: Size) -> None:
        super().__init__()
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def extra_repr(self) -> str:
        """The windows."""
        names = ("kernel_size", "dilation", "padding", "stride")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


class Unfold(_Windows):
    """The windows of an image as columns: (N, C, H, W) -> (N, C kh kw, number of windows)."""

    def __init__(self, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1) -> None:
        super().__init__(kernel_size, dilation, padding, stride)

    def forward(self, x: Any) -> Any:
        """(N, C, H, W) -> (N, C kh kw, H' W'), or both without N"""
        return F.unfold(x, self.kernel_size, self.dilation, self.padding, self.stride)


class Fold(_Windows):
    """The sum of columns back where Unfold took them: (N, C kh kw, number of windows) -> (N, C, *output_size)."""

    def __init__(self, output_size: Size, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, x: Any) -> Any:
        """(N, C kh kw, H' W') -> (N, C, *output_size), or both without N"""
        return F.fold(x, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """The size and the windows."""
        return f"output_size={self.output_size}, {super().extra_repr()}"
