"""Convolution against plain loops, SciPy and differences, im2col and its kin, and what they refuse."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from convolutions import BACKENDS, GRADIENTS, SMALL, arguments, loops, random_like
from scipy.signal import correlate2d

import minivision as mv
import minivision.functional as F
from minivision.op import OPS
from minivision.ops.conv import conv2d


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SMALL)
def test_forward_equals_plain_loops(name, backend):
    arrays, attrs = arguments(name)
    with mv.backend(backend):
        np.testing.assert_allclose(conv2d(*arrays, **attrs), loops(*arrays, **attrs), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1, 5, 6), (2, 3, 8, 7)])
@pytest.mark.parametrize("mode", ["valid", "same"])
def test_forward_equals_scipy(shape, mode):
    rng = np.random.default_rng(3)
    x, weight = rng.standard_normal(shape), rng.standard_normal((4, shape[1], 3, 5))
    planes = [[sum(correlate2d(c, f, mode) for c, f in zip(image, filters, strict=True)) for filters in weight] for image in x]
    np.testing.assert_allclose(F.conv2d(x, weight, padding=mode), np.array(planes), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SMALL)
def test_gradients_equal_differences(name, backend):
    arrays, attrs = arguments(name)
    rng = np.random.default_rng(4)
    directions = [rng.standard_normal(a.shape) for a in arrays]
    with mv.backend(backend):
        y = conv2d(*arrays, **attrs)
        dy = random_like(y)
        tensors = [mv.Tensor(a, requires_grad=True) for a in arrays]
        cotangents = mv.grad(conv2d(*tensors, **attrs), tensors, mv.Tensor(dy))
        for i, v in enumerate(directions):  # y is linear in each argument: the difference has no error but rounding
            moved = [[a + e * v if j == i else a for j, a in enumerate(arrays)] for e in (1.0, -1.0)]
            expected = np.sum(dy * (conv2d(*moved[0], **attrs) - conv2d(*moved[1], **attrs))) / 2
            assert np.sum(cotangents[i].data * v) == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_kept_is_the_arguments(backend):
    arrays, attrs = arguments("3x3", np.float32)
    with mv.backend(backend):
        kept = conv2d.forward(tuple(arrays), attrs)[1]
    assert kept[0] is arrays[0]
    assert kept[1] is arrays[1]
    assert kept[2] is True


@pytest.mark.parametrize("backend", BACKENDS)
def test_only_the_gradients_that_are_needed(backend):
    arrays, attrs = arguments("3x3")
    with mv.backend(backend):
        y, kept = conv2d.forward(tuple(arrays), attrs)
        for needs in itertools.product((False, True), repeat=3):
            assert [g is not None for g in conv2d.pull(y, kept, needs, attrs)] == list(needs)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_goes_through(value, backend):
    arrays, attrs = arguments("3x3", np.float32)
    arrays[0][1, 2, 2, 3] = value
    with mv.backend(backend):
        y = conv2d(*arrays, **attrs)
    touched = loops(*[np.asarray(a, np.float64) for a in arrays], **attrs)
    np.testing.assert_array_equal(np.isfinite(y), np.isfinite(touched))
    np.testing.assert_array_equal(np.where(np.isfinite(y), 0, y), np.where(np.isfinite(y), 0, touched))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("x", "weight"), [((0, 2, 4, 4), (3, 2, 3, 3)), ((2, 2, 4, 4), (0, 2, 3, 3)), ((2, 0, 4, 4), (3, 0, 3, 3))]
)
def test_nothing_in_nothing_out(x, weight, backend):
    tensors = [mv.Tensor(np.ones(shape, np.float32), requires_grad=True) for shape in (x, weight, weight[:1])]
    with mv.backend(backend):
        y = F.conv2d(*tensors)
        y.sum().backward()
    assert y.shape == (x[0], weight[0], 2, 2)
    np.testing.assert_array_equal(y.data, 1.0)  # the bias alone
    for t in tensors[:2]:
        np.testing.assert_array_equal(t.grad.data, np.zeros(t.shape))
    np.testing.assert_array_equal(tensors[2].grad.data, np.full(weight[0], 4.0 * x[0]))


@pytest.mark.parametrize("name", SMALL)
def test_im2col_and_col2im_are_transposes(name):
    x_shape, weight, attrs = SMALL[name]
    windows = {key: value for key, value in attrs.items() if key != "groups"}
    x = np.random.default_rng(6).standard_normal(x_shape)
    cols = OPS["im2col"](x, kernel=weight[2:], **windows)
    y = random_like(cols)
    assert np.sum(cols * y) == pytest.approx(np.sum(x * OPS["col2im"](y, size=x_shape[2:], **windows)), rel=1e-12)


def test_unfold_orders_channels_then_taps_and_fold_adds():
    x = np.arange(2 * 2 * 3 * 4, dtype=np.float32).reshape(2, 2, 3, 4)
    cols = F.unfold(x, (2, 3))
    assert cols.shape == (2, 12, 4)
    np.testing.assert_array_equal(cols[1, :, 3], x[1, :, 1:3, 1:4].ravel())
    counts = F.fold(F.unfold(np.ones_like(x), (2, 3)), (3, 4), (2, 3))
    np.testing.assert_array_equal(counts[0, 0], [[1, 2, 2, 1], [2, 4, 4, 2], [1, 2, 2, 1]])


def test_a_fast_convolution_is_unfold_and_a_product():
    arrays, _ = arguments("3x3")
    x, weight, bias = arrays
    cols = F.unfold(x, 3, padding=1, stride=2)
    expected = (weight.reshape(4, -1) @ cols + bias[:, None]).reshape(2, 4, 3, 3)
    np.testing.assert_allclose(F.conv2d(x, weight, bias, stride=2, padding=1), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("kernel", "dilation"), [((3, 3), 1), ((2, 4), 1), ((1, 2), (1, 3)), ((4, 3), (2, 3))])
def test_same_padding_keeps_the_size_and_puts_the_odd_zero_behind(kernel, dilation):
    rng = np.random.default_rng(7)
    x, weight = rng.standard_normal((1, 2, 6, 7)), rng.standard_normal((3, 2, *kernel))
    y = F.conv2d(x, weight, padding="same", dilation=dilation)
    apart = dilation if isinstance(dilation, tuple) else (dilation, dilation)
    total = [d * (k - 1) for d, k in zip(apart, kernel, strict=True)]
    padded = np.pad(x, [(0, 0), (0, 0), *((t // 2, t - t // 2) for t in total)])
    assert y.shape[2:] == x.shape[2:]
    np.testing.assert_allclose(y, F.conv2d(padded, weight, dilation=dilation), rtol=1e-12, atol=1e-12)


def test_gradient_of_a_gradient():
    arrays, attrs = arguments("all together")
    x, weight = (mv.Tensor(a, requires_grad=True) for a in arrays[:2])
    y = conv2d(x, weight, None, **attrs)
    (dx,) = mv.grad([(y * y * y).sum()], [x], create_graph=True)
    v = np.random.default_rng(8).standard_normal(weight.shape)
    came = np.sum(mv.grad((dx * dx).sum(), weight).data * v)

    def value(e):
        moved = conv2d(arrays[0], arrays[1] + e * v, None, **attrs)
        kept = (arrays[0], arrays[1] + e * v, False)
        return np.sum(conv2d.pull(3 * moved**2, kept, GRADIENTS, attrs)[0] ** 2)

    assert came == pytest.approx((value(1e-5) - value(-1e-5)) / 2e-5, rel=1e-7)


# ---------------------------------------------------------------------------------------------------------- errors

X, W = np.ones((2, 4, 5, 6), np.float32), np.ones((6, 4, 3, 3), np.float32)


@pytest.mark.parametrize(
    ("x", "weight", "options", "words"),
    [
        (X, W[:, :3], {}, ["x has 4 channels at axis 1", "takes 3 in each of 1 groups: 3", "x (2, 4, 5, 6)"]),
        (np.ones((2, 5, 6, 4), np.float32), W, {}, ["looks like (N, H, W, C)", "permute(0, 3, 1, 2)"]),
        (X, W[:5, :2], {"groups": 2}, ["5 output channels at axis 0", "2 groups do not divide"]),
        (X, W, {"groups": 2}, ["takes 4 in each of 2 groups: 8"]),
        (X, W[..., :1, :], {"dilation": 4}, ["9 columns large (3 taps, dilation 4)", "padded image has 6", "hint"]),
        (X[:, :, :2], W, {}, ["3 rows large", "padded image has 2"]),
        (X[0, 0], W, {}, ["input should have 4 axes (N, C, H, W), or 3 without N, got 2", "x[None]"]),
        (X, W[0], {}, ["weight should have 4 axes (O, I, R, S), got 3"]),
        (X, W, {"bias": np.ones(5, np.float32)}, ["bias has 5 at axis -1 (O)", "weight axis -4 has 6"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("backend", BACKENDS)
def test_shape_errors(x, weight, options, words, backend):
    with mv.backend(backend), pytest.raises(mv.ShapeError) as error:
        F.conv2d(x, weight, **options)
    for word in ["conv2d", *words]:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stride": 0}, "stride must lie between 1 and"),
        ({"stride": 2**31}, "stride must lie between 1 and"),
        ({"padding": -1}, "padding must lie between 0 and"),
        ({"dilation": (1, 0)}, "dilation must lie between 1 and"),
        ({"groups": 0}, "groups must lie between 1 and"),
        ({"stride": 1.5}, "stride is a whole number or a pair"),
        ({"padding": (1, 1, 1)}, "padding is a whole number or a pair"),
        ({"padding": "full"}, "padding is a whole number or a pair"),
        ({"padding": "same", "stride": 2}, 'padding="same" needs stride 1'),
    ],
)
def test_wrong_attributes(options, words):
    with pytest.raises(ValueError, match=words):
        F.conv2d(X, W, **options)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_image_alone_is_a_batch_of_one(backend):
    arrays, _ = arguments("3x3", np.float32)
    x, weight, bias = arrays
    with mv.backend(backend):
        np.testing.assert_array_equal(F.conv2d(x[0], weight, bias), F.conv2d(x[:1], weight, bias)[0])
        t = mv.Tensor(x[0], requires_grad=True)
        F.conv2d(t, weight, bias, padding=1).sum().backward()
    assert t.grad.shape == x[0].shape
    cols = F.unfold(x[0], 2)
    np.testing.assert_array_equal(cols, F.unfold(x[:1], 2)[0])
    np.testing.assert_array_equal(F.fold(cols, (5, 6), 2), F.fold(cols[None], (5, 6), 2)[0])


def test_fold_says_what_it_wants():
    with pytest.raises(mv.ShapeError, match=r"input should be \(N, C \* 2 \* 3, 2 \* 2\), got \(2, 12, 5\)"):
        F.fold(np.ones((2, 12, 5)), (3, 4), (2, 3))
    with pytest.raises(mv.ShapeError, match="2 x 3 windows are given, but an image of 3 x 3 has 2 x 2"):
        OPS["col2im"](np.ones((1, 2, 3, 2, 2, 1)), size=(3, 3))
