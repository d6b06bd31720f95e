"""Deformable convolution against sums over its taps, against convolution, by differences, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minivision as mv
import minivision.functional as F

RNG = np.random.default_rng(4)
SETTINGS = [
    {},
    {"kernel": (2, 3), "stride": (2, 1), "padding": (1, 2)},
    {"kernel": (3, 2), "dilation": (1, 2), "padding": 1, "masked": True},
    {"groups": 2, "masked": True, "bias": False},
    {"groups": 2, "offset_groups": 2, "stride": 2},
    {"groups": 1, "offset_groups": 4, "masked": True, "kernel": (1, 1)},
]


def arguments(*, kernel=(3, 3), stride=1, padding=0, dilation=1, groups=1, offset_groups=1, masked=False, bias=True, spread=1.5):
    """(input, offset, weight, bias, mask), and the settings that deform_conv2d takes."""
    windows = {"stride": stride, "padding": padding, "dilation": dilation}
    x, weight = RNG.standard_normal((2, 4, 6, 5)), RNG.standard_normal((6, 4 // groups, *kernel))
    p, q = F.conv2d(x, weight, **windows, groups=groups).shape[2:]
    taps = offset_groups * math.prod(kernel)
    offset, mask = spread * RNG.standard_normal((2, 2 * taps, p, q)), RNG.uniform(0, 1, (2, taps, p, q))
    return (x, offset, weight, RNG.standard_normal(6) if bias else None, mask if masked else None), windows


def bilinear(image, y, x):
    """(H, W) at a point; 0 outside."""
    total = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
                total += (1 - abs(y - row)) * (1 - abs(x - column)) * image[row, column]
    return total


def convolved(x, offset, weight, bias, mask, *, stride, padding, dilation):
    """The definition, tap by tap."""
    (u, v), (top, left), (d, e) = (n if isinstance(n, tuple) else (n, n) for n in (stride, padding, dilation))
    (o, i, r, s), (n, _, p, q) = weight.shape, offset.shape
    filters, each = o // (x.shape[1] // i), x.shape[1] // (offset.shape[1] // (2 * r * s))  # of a group; channels of an offset
    y = np.zeros((n, o, p, q))
    for b, f, h, w, c, a, k in np.ndindex(n, o, p, q, i, r, s):
        channel = f // filters * i + c
        tap = channel // each * r * s + a * s + k
        place = h * u - top + a * d + offset[b, 2 * tap, h, w], w * v - left + k * e + offset[b, 2 * tap + 1, h, w]
        y[b, f, h, w] += weight[f, c, a, k] * (1.0 if mask is None else mask[b, tap, h, w]) * bilinear(x[b, channel], *place)
    return y if bias is None else y + bias[:, None, None]


def run(arrays, windows):
    x, offset, weight, bias, mask = arrays
    return F.deform_conv2d(x, offset, weight, bias, **windows, mask=mask)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_deform_conv2d(settings):
    arrays, windows = arguments(**settings)
    np.testing.assert_allclose(run(arrays, windows), convolved(*arrays, **windows), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_gradients_equal_differences(settings):
    arrays, windows = arguments(**settings)
    tensors = [a if a is None else mv.Tensor(a, requires_grad=True) for a in arrays]
    y = run(tensors, windows)
    dy = RNG.standard_normal(y.shape)
    y.backward(dy)
    for i, (a, t) in enumerate(zip(arrays, tensors, strict=True)):
        if a is None:
            continue
        v = RNG.standard_normal(a.shape)
        up, down = (np.sum(dy * run([*arrays[:i], a + h * v, *arrays[i + 1 :]], windows)) for h in (1e-6, -1e-6))
        assert np.sum(t.grad.data * v) == pytest.approx((up - down) / 2e-6, rel=1e-6), f"argument {i}"


@pytest.mark.parametrize("settings", [{**s, "spread": 0.0} for s in SETTINGS], ids=str)
def test_where_nothing_moves_it_is_a_convolution(settings):
    (x, offset, weight, bias, _), windows = arguments(**settings)
    expected = F.conv2d(x, weight, bias, **windows, groups=settings.get("groups", 1))
    np.testing.assert_allclose(F.deform_conv2d(x, offset, weight, bias, **windows), expected, rtol=1e-12, atol=1e-12)


def test_moved_by_whole_pixels_it_sees_the_shifted_image():
    (x, offset, weight, bias, _), _ = arguments(spread=0.0)
    offset[:, 0::2] += 1.0
    offset[:, 1::2] -= 2.0
    shifted = np.zeros_like(x)
    shifted[:, :, :-1, 2:] = x[:, :, 1:, :-2]
    np.testing.assert_allclose(F.deform_conv2d(x, offset, weight, bias), F.conv2d(shifted, weight, bias), rtol=1e-12, atol=1e-12)


def test_a_mask_of_zeros_leaves_the_bias():
    (x, offset, weight, bias, mask), _ = arguments(masked=True)
    y = F.deform_conv2d(x, offset, weight, bias, mask=mask * 0.0)
    np.testing.assert_array_equal(y, np.broadcast_to(bias[:, None, None], y.shape))


def test_float32_and_no_images():
    arrays, windows = arguments(masked=True)
    small = [a.astype(np.float32) for a in arrays]
    assert run(small, windows).dtype == np.float32
    np.testing.assert_allclose(run(small, windows), run(arrays, windows), rtol=1e-4, atol=1e-4)
    x, offset, weight, bias, mask = arrays
    assert run((x[:0], offset[:0], weight, bias, mask[:0]), windows).shape == (0, 6, 4, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": lambda x: x[0]}, "input should have 4 axes, got 3"),
        ({"offset": lambda o: o[:, :17]}, "offset should have 2 G 9 channels, G a divisor of the input's 4, got 17"),
        ({"offset": lambda o: np.concatenate([o] * 3, 1)}, "offset should have 2 G 9 channels"),
        ({"offset": lambda o: o[:, :, 1:]}, r"offset should be \(N, 2 G R S, P, Q\) with N, P, Q = \(2, 4, 3\)"),
        ({"offset": lambda o: o[:1]}, r"offset should be \(N, 2 G R S, P, Q\) with N, P, Q = \(2, 4, 3\)"),
        ({"mask": lambda m: m[:, :8]}, r"mask should be \(2, 9, 4, 3\)"),
        ({"weight": lambda w: w[:, :3]}, "weight takes 3 channels, which do not divide the input's 4"),
        ({"weight": lambda w: np.ones((1, 4, 9, 9))}, "the window is 9 rows large, but the padded image has 6"),
        ({"stride": lambda s: 0}, "stride must lie between 1 and"),
        ({"padding": lambda p: 2**62}, "padding must lie between 0 and"),
    ],
)
def test_errors(change, message):
    (x, offset, weight, bias, mask), windows = arguments(masked=True)
    given = {"x": x, "offset": offset, "weight": weight, "mask": mask, **windows}
    given |= {name: wrong(given[name]) for name, wrong in change.items()}
    with pytest.raises(ValueError, match=message):
        F.deform_conv2d(given.pop("x"), given.pop("offset"), given.pop("weight"), bias, **given)
