"""Sizes, pads, strides and dilations up to 2^63 - 1: an error that says what is wrong, or how many bytes are missing."""

from __future__ import annotations

import numpy as np
import pytest
from convolutions import BACKENDS, needs_kernels

import minivision as mv
import minivision.functional as F
from minivision.kernels.window import LARGEST, check_memory

CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
TRANSPOSES = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
HUGE = [2**31, 2**32 + 1, 2**62, 2**63 - 1, 2**64]
IMAGES = 2**16  # so many that results larger than 2^31 along one axis exceed what any processor can address
MISSING = r"takes \d{15,} bytes|Unable to allocate"  # the project's words, or NumPy's, which give the bytes too


def call(name, images=1, **options):
    """A small call of each function, with these arguments."""
    if name in ("unfold", "fold"):
        return F.unfold(array(images, 1, 3, 3), **{"kernel_size": 2, **options}) if name == "unfold" else fold(images, options)
    count = int(name[-2])
    return getattr(F, name)(array(images, 1, *(3,) * count), array(1, 1, *(2,) * count), **options)


def fold(images, options):
    return F.fold(array(images, 4, 4), **{"output_size": 3, "kernel_size": 2, **options})


def array(*shape):
    """Ones that take the memory of one."""
    return np.broadcast_to(np.float32(1), shape)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize("option", ["stride", "padding", "dilation"])
@pytest.mark.parametrize("name", [*CONVOLUTIONS, *TRANSPOSES, "unfold", "fold"])
def test_numbers_beyond_2_to_the_31_are_refused_by_name(name, option, value, backend):
    with (
        mv.backend(backend),
        pytest.raises(ValueError, match=f"{name if name != 'unfold' else 'im2col'}: {option} must lie between"),
    ):
        call(name, **{option: value})


@pytest.mark.parametrize("value", [LARGEST, *HUGE])
@pytest.mark.parametrize("name", [*CONVOLUTIONS, *TRANSPOSES])
def test_more_groups_than_channels(name, value):
    with pytest.raises(ValueError, match=f"{name}: (x has 1 channels|groups must lie between 1 and)"):
        call(name, groups=value)


@pytest.mark.parametrize("value", [LARGEST, *HUGE])
def test_an_output_padding_beyond_the_stride_and_sizes_without_windows(value):
    for name in TRANSPOSES:
        with pytest.raises(ValueError, match=f"{name}: output_padding .*(must be smaller than|must lie between)"):
            call(name, output_padding=value)
    with pytest.raises(mv.ShapeError, match=f"fold: input should be .* {value - 1} \\* {value - 1}"):
        call("fold", output_size=value)
    with pytest.raises(ValueError, match=r"fold: (the window is|kernel must lie between)"):
        call("fold", kernel_size=value)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", HUGE)
def test_a_kernel_larger_than_the_image(value, backend):
    with mv.backend(backend), pytest.raises(ValueError, match="im2col: kernel must lie between"):
        call("unfold", kernel_size=value)
    with mv.backend(backend), pytest.raises(mv.ShapeError, match=f"the window is {LARGEST} rows large"):
        call("unfold", kernel_size=LARGEST)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_padding_without_memory_for_its_result(name, backend):
    with mv.backend(backend), pytest.raises(MemoryError, match=MISSING):
        call(name, IMAGES, padding=LARGEST)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "options", [{"stride": LARGEST}, {"dilation": LARGEST}, {"dilation": LARGEST, "output_padding": LARGEST - 1}]
)
@pytest.mark.parametrize("name", TRANSPOSES)
def test_a_transposed_convolution_without_memory_for_its_result(name, options, backend):
    with mv.backend(backend), pytest.raises(MemoryError, match=MISSING):
        call(name, IMAGES, **options)


@pytest.mark.parametrize("options", [{"padding": LARGEST}, {"padding": LARGEST, "kernel_size": LARGEST}])
def test_windows_without_memory(options):
    with pytest.raises(MemoryError, match=MISSING):
        call("unfold", IMAGES, **options)
    size, windows = 2**36, (2**36 - 1) // LARGEST + 1
    with pytest.raises(MemoryError, match=MISSING):
        F.fold(array(1, 1, windows**2), size, 1, stride=LARGEST)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", [*CONVOLUTIONS, "unfold"])
def test_a_huge_stride_leaves_one_window(name, backend):
    with mv.backend(backend):
        y = call(name, stride=LARGEST)
    count = int(name[-2]) if name in CONVOLUTIONS else 0
    np.testing.assert_array_equal(y, np.full(y.shape, 2.0**count))
    assert y.size == (1 if count else 4)


@needs_kernels
def test_padding_costs_no_memory_in_the_kernels():
    """They step over what lies outside the image."""
    one = np.ones((1, 1, 1, 1), np.float32)
    with mv.backend("c"):
        y = F.conv2d(one, one, stride=LARGEST, padding=LARGEST)
    np.testing.assert_array_equal(y, [[[[0, 0, 0], [0, 1, 0], [0, 0, 0]]]])


def test_the_bytes_are_counted_exactly():
    with pytest.raises(MemoryError, match=rf"f: an array of shape \(3, {2**70}\) takes {12 * 2**70} bytes"):
        check_memory("f", (3, 2**70), 4)
    check_memory("f", (0, 2**70), 4)
    check_memory("f", (2**10, 2**10), 8)
