"""Resizing against sums written out pixel by pixel, what each mode keeps exactly, its gradients, and what it refuses."""

from __future__ import annotations

import itertools
import math
import struct

import numpy as np
import pytest

import minivision as mv
import minivision.functional as F
from minivision import nn
from minivision.ops.taps import Taps

MODES = {1: ["nearest", "nearest-exact", "area", "linear"], 2: ["nearest", "nearest-exact", "area", "bilinear", "bicubic"],
         3: ["nearest", "nearest-exact", "area", "trilinear"]}  # fmt: skip


def image(*shape, dtype=np.float64):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def single(value):
    """A number rounded to float32."""
    return struct.unpack("f", struct.pack("f", value))[0]


def keys(t, a):
    t = abs(t)
    near, far = (a + 2) * t**3 - (a + 3) * t**2 + 1, a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
    return near if t <= 1 else far if t < 2 else 0.0


def row(i, new, old, ratio, mode, align_corners, antialias):
    """{j: weight} of new element i among the old ones; ratio: old elements in a new one."""
    if mode.startswith("nearest"):
        return {min(math.floor(single((i + 0.5 * (mode == "nearest-exact")) * single(ratio))), old - 1): 1.0}
    if mode == "area":
        first, last = math.floor(i * old / new), math.ceil((i + 1) * old / new)
        return dict.fromkeys(range(first, last), 1.0 / (last - first))
    ratio = ratio if not align_corners else (old - 1) / (new - 1) if new > 1 else 0.0
    cubic = mode == "bicubic"
    if antialias:
        stretch, middle = max(ratio, 1.0), (i + 0.5) * ratio
        curve = (lambda t: keys(t, -0.5)) if cubic else (lambda t: max(0.0, 1 - abs(t)))
        found = {j: curve((j + 0.5 - middle) / stretch) for j in range(old)}
        return {j: w / sum(found.values()) for j, w in found.items()}
    place, found = i * ratio if align_corners else (i + 0.5) * ratio - 0.5, {}
    for j in range(math.floor(place) - 2, math.floor(place) + 4):
        inside = min(max(j, 0), old - 1)
        weight = keys(place - j, -0.75) if cubic else max(0.0, 1 - abs(place - j))
        found[inside] = found.get(inside, 0.0) + weight
    return found


def resized(x, new, ratios, mode, align_corners, antialias):
    """One axis after another, each new element by its own sum."""
    for axis, (n, ratio) in enumerate(zip(new, ratios, strict=True), 2):
        lines, old = np.moveaxis(x, axis, 0), x.shape[axis]
        rows = [row(i, n, old, ratio, mode, align_corners, antialias) for i in range(n)]
        x = np.moveaxis(np.stack([sum(w * lines[j] for j, w in found.items()) for found in rows]), 0, axis)
    return x


SETTINGS = [
    (axes, mode, align, antialias)
    for axes, modes in MODES.items()
    for mode in modes
    for align in ([None, False, True] if "linear" in mode or "cubic" in mode else [None])
    for antialias in ([False, True] if mode in ("bilinear", "bicubic") else [False])
]


@pytest.mark.parametrize(("axes", "mode", "align_corners", "antialias"), SETTINGS)
def test_every_mode_to_other_sizes(axes, mode, align_corners, antialias):
    rng = np.random.default_rng(len(mode))
    for _ in range(6):
        old, new = rng.integers(1, 10, axes).tolist(), rng.integers(1, 16, axes).tolist()
        x = rng.standard_normal((2, 2, *old))
        y = F.interpolate(x, new, mode=mode, align_corners=align_corners, antialias=antialias)
        expected = resized(x, new, [m / n for m, n in zip(old, new, strict=True)], mode, align_corners, antialias)
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12, err_msg=f"{old} -> {new}")


@pytest.mark.parametrize(("axes", "mode", "align_corners", "antialias"), SETTINGS)
def test_every_mode_by_a_factor(axes, mode, align_corners, antialias):
    """The factor itself is the ratio of the grids, unless it is computed anew from the sizes."""
    old, factors = (5, 7, 4)[:axes], (1.7, 0.6, 2.6)[:axes]
    x, new = image(1, 2, *old), [math.floor(n * f) for n, f in zip(old, factors, strict=True)]
    options = {"mode": mode, "align_corners": align_corners, "antialias": antialias}
    y = F.interpolate(x, scale_factor=factors, **options)
    ratios = [1 / f for f in factors]
    np.testing.assert_allclose(y, resized(x, new, ratios, mode, align_corners, antialias), rtol=1e-12, atol=1e-12)
    anew = F.interpolate(x, scale_factor=factors, recompute_scale_factor=True, **options)
    np.testing.assert_array_equal(anew, F.interpolate(x, new, **options))


def test_a_few_by_hand():
    x = np.array([[[0.0, 1.0]]])
    for mode, align, expected in [
        ("nearest", None, [0, 0, 1, 1]),
        ("linear", False, [0, 0.25, 0.75, 1]),
        ("linear", True, [0, 1 / 3, 2 / 3, 1]),
    ]:
        np.testing.assert_allclose(F.interpolate(x, 4, mode=mode, align_corners=align)[0, 0], expected, rtol=1e-15)
    np.testing.assert_array_equal(F.interpolate(np.array([[[1.0, 2.0, 6.0]]]), 1, mode="area"), [[[3.0]]])
    np.testing.assert_array_equal(F.interpolate(np.arange(5.0).reshape(1, 1, 5), 2, mode="nearest"), [[[0, 2]]])
    np.testing.assert_array_equal(F.interpolate(np.arange(5.0).reshape(1, 1, 5), 2, mode="nearest-exact"), [[[1, 3]]])


def test_the_side_of_a_tie_is_that_of_float32():
    """A place just below a whole number may be rounded up to it, and then the next element is the one copied."""
    differs = 0
    for old, new in itertools.product(range(1, 40), range(1, 60)):
        y = F.interpolate(np.arange(float(old)).reshape(1, 1, old), new)[0, 0]
        places = [i * single(old / new) for i in range(new)]
        np.testing.assert_array_equal(y, [min(math.floor(single(p)), old - 1) for p in places])
        differs += any(math.floor(single(p)) != i * old // new for i, p in enumerate(places))
    assert differs, "otherwise these sizes would not show the difference"


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "area", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(5, 7), (3, 11), (12, 2), (1, 1)])
def test_a_constant_stays_constant(mode, size):
    for antialias in {False, mode.startswith("bi")}:
        y = F.interpolate(np.full((1, 2, 5, 7), 3.0), size, mode=mode, antialias=antialias)
        np.testing.assert_allclose(y, np.full((1, 2, *size), 3.0), rtol=1e-14)


def test_a_ramp_stays_a_ramp():
    ramp = np.linspace(-1.0, 1.0, 5)[None, None, :, None] + np.linspace(0.0, 3.0, 4)[None, None, None]
    expected = np.linspace(-1.0, 1.0, 9)[:, None] + np.linspace(0.0, 3.0, 6)
    np.testing.assert_allclose(F.interpolate(ramp, (9, 6), mode="bilinear", align_corners=True)[0, 0], expected, atol=1e-14)


def test_antialiasing_changes_nothing_where_an_image_grows_and_averages_where_it_shrinks():
    x = image(1, 1, 6, 6)
    plain, smooth = (F.interpolate(x, (11, 9), mode="bilinear", antialias=a) for a in (False, True))
    np.testing.assert_allclose(smooth, plain, rtol=1e-12, atol=1e-13)
    stripes = np.tile([0.0, 1.0, 0.0, 0.0], (1, 1, 8, 8))
    small = F.interpolate(stripes, (2, 8), mode="bilinear", antialias=True)
    np.testing.assert_allclose(small[..., 1:-1], 0.25, atol=1e-12)  # a hat 8 wide holds two periods of the stripes


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic", "area"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_is_the_transpose(mode, dtype):
    """<y, dy> = <x, dx> for a linear map, to rounding."""
    x = mv.Tensor(image(2, 3, 7, 5, dtype=dtype), requires_grad=True)
    y = F.interpolate(x, (4, 11), mode=mode)
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
    y.backward(dy)
    assert y.dtype == x.grad.dtype == dtype
    assert np.sum(y.data * dy) == pytest.approx(np.sum(x.data * x.grad.data), rel=1e-4 if dtype == np.float32 else 1e-12)


def test_a_transposed_matrix():
    taps = Taps(np.array([[0, 3, 3], [1, 0, 2]]), np.array([[1.0, 2.0, 0.5], [0.0, -1.0, 4.0]]), 5)
    dense = np.array([[1.0, 0, 0, 2.5, 0], [-1, 0, 4, 0, 0]])
    np.testing.assert_array_equal(taps.matrix(), dense)
    np.testing.assert_array_equal(taps.transposed.matrix(), dense.T)
    np.testing.assert_array_equal(taps.transposed.transposed.matrix(), dense)


def test_nan_and_infinity_stay_where_they_are_read():
    x = np.zeros((1, 1, 1, 8))
    x[..., 2], x[..., 5] = np.nan, -np.inf
    for mode, near in {"nearest": 0, "bilinear": 1, "bicubic": 2}.items():
        y = F.interpolate(x, (1, 16), mode=mode)[0, 0, 0]
        assert np.isnan(y[4:6]).all()
        assert y[10:12].tolist() == [-np.inf] * 2
        assert np.isfinite(y[: 4 - 2 * near]).all()
    back = mv.Tensor(np.zeros((1, 1, 6)), requires_grad=True)
    F.interpolate(back, 3).backward(np.array([[[1.0, np.nan, np.inf]]]))
    np.testing.assert_array_equal(back.grad.data, [[[1.0, 0.0, np.nan, 0.0, np.inf, 0.0]]])  # what nothing reads gets 0


def test_labels_keep_their_type():
    labels = np.array([[[[3, 200], [7, 0]]]], np.uint8)
    y = F.interpolate(labels, (4, 4))
    assert y.dtype == np.uint8
    np.testing.assert_array_equal(y, labels.repeat(2, 2).repeat(2, 3))
    assert F.interpolate(labels > 5, scale_factor=2).dtype == bool
    with pytest.raises(mv.DtypeError, match="mode 'bilinear' makes fractions, got uint8"):
        F.interpolate(labels, (4, 4), mode="bilinear")


def test_no_images():
    x = mv.Tensor(np.empty((0, 3, 4, 4), np.float32), requires_grad=True)
    y = F.interpolate(x, scale_factor=2, mode="bicubic")
    y.backward(np.empty((0, 3, 8, 8), np.float32))
    assert y.shape == (0, 3, 8, 8)
    assert x.grad.shape == (0, 3, 4, 4)


@pytest.mark.parametrize(
    ("axes", "options", "message"),
    [
        (2, {}, "give size or scale_factor, one of them; got None and None"),
        (2, {"size": 3, "scale_factor": 2}, "give size or scale_factor, one of them; got 3 and 2"),
        (2, {"size": 3, "mode": "cubic"}, "mode is one of nearest, .*, got 'cubic'"),
        (2, {"size": 3, "mode": "linear"}, "mode 'linear' takes an input of 3 axes, got 4"),
        (1, {"size": 3, "mode": "bicubic"}, "mode 'bicubic' takes an input of 4 axes, got 3"),
        (0, {"size": 3}, "mode 'nearest' takes an input of 3 or 4 or 5 axes, got 2"),
        (2, {"size": 3, "align_corners": False}, "align_corners goes with linear, bilinear, .* not with 'nearest'"),
        (2, {"size": 3, "mode": "area", "antialias": True}, "antialias goes with bilinear and bicubic, not with 'area'"),
        (2, {"size": 0}, r"sizes should be at least 1, got \(4, 4\) -> \(0, 0\)"),
        (2, {"size": (3, -1)}, r"sizes should be at least 1, got \(4, 4\) -> \(3, -1\)"),
        (2, {"scale_factor": 0.1}, r"sizes should be at least 1, got \(4, 4\) -> \(0, 0\)"),
        (2, {"size": (3, 3, 3)}, "size is a whole number or a pair"),
        (2, {"size": 2.5}, "size is a whole number or a pair"),
        (2, {"scale_factor": -1.0}, "scale_factor is a number above 0 or 2 of them, got -1.0"),
        (2, {"scale_factor": (2, 2, 2)}, "scale_factor is a number above 0 or 2 of them"),
        (2, {"scale_factor": math.inf}, "scale_factor is a number above 0"),
        (2, {"scale_factor": 1.7e308}, "scale_factor is a number above 0"),
        (2, {"scale_factor": "2"}, "scale_factor is a number above 0"),
        (2, {"size": 3, "recompute_scale_factor": True}, "recompute_scale_factor goes with scale_factor"),
    ],
)
def test_errors(axes, options, message):
    with pytest.raises(ValueError, match=message):
        F.interpolate(np.ones((1, 1, *(4,) * axes)), **options)


@pytest.mark.parametrize("options", [{"size": 2**62}, {"size": (2**40, 2**40)}, {"scale_factor": 1e300}])
def test_results_larger_than_any_memory(options):
    with pytest.raises(MemoryError, match=r"takes \d+ bytes"):
        F.interpolate(np.ones((1, 1, 2, 2), np.float32), **options)


def test_an_axis_that_does_not_fit_its_matrix():
    with pytest.raises(mv.ShapeError, match="x has 3 elements at axis 1, the taps are for 5"):
        mv.ops.resample.resample(np.ones((2, 3)), axis=1, taps=mv.ops.taps.bin_means(2, 5))


def test_the_layer():
    x = image(1, 2, 3, 4)
    layer = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
    np.testing.assert_array_equal(layer(mv.Tensor(x)).data, F.interpolate(x, (6, 8), mode="bilinear", align_corners=True))
    assert repr(layer) == "Upsample(scale_factor=2, mode='bilinear')"
    assert nn.Upsample((5, 2))(x).shape == (1, 2, 5, 2)
    assert repr(nn.Upsample((5, 2))) == "Upsample(size=(5, 2), mode='nearest')"
    assert not layer.state_dict()
