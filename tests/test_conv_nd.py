"""Convolutions of one and of three axes, and transposed ones of one to three, against plain loops; errors in their names."""

from __future__ import annotations

import numpy as np
import pytest
from convolutions import BACKENDS, each, loops, needs_kernels, random_like, transposed_loops
from scipy.signal import correlate

import minivision as mv
import minivision.functional as F
from minivision.op import OPS

# label, which begins with the number of axes -> shapes of x and weight, arguments
CALLS = {
    "1: plain": ((2, 3, 7), (4, 3, 3), {}),
    "1: all together": ((2, 4, 9), (6, 2, 3), {"stride": 2, "padding": 3, "dilation": 2, "groups": 2}),
    "1: depthwise": ((1, 3, 8), (3, 1, 4), {"padding": 1, "groups": 3}),
    "1: elements between the windows": ((1, 2, 8), (2, 2, 1), {"stride": (3,)}),
    "2: all together": ((2, 4, 7, 6), (6, 2, 2, 3), {"stride": (2, 1), "padding": (1, 2), "dilation": (3, 1), "groups": 2}),
    "3: plain": ((2, 2, 4, 3, 5), (3, 2, 2, 3, 2), {}),
    "3: all together": (
        (1, 4, 6, 5, 4), (4, 2, 2, 3, 2), {"stride": (2, 1, 3), "padding": (1, 2, 1), "dilation": (3, 2, 1), "groups": 2},
    ),
    "3: depthwise": ((2, 3, 3, 4, 4), (3, 1, 2, 2, 3), {"groups": 3, "padding": 1}),
    "3: tubelets": ((2, 3, 4, 4, 6), (5, 3, 2, 2, 3), {"stride": (2, 2, 3)}),
    "3: one plane": ((2, 2, 1, 4, 4), (3, 2, 1, 3, 3), {"padding": (0, 1, 1)}),
}  # fmt: skip
TRANSPOSES = {
    "1: plain": ((2, 3, 4), (3, 2, 3), {}),
    "1: all together": ((2, 4, 3), (4, 3, 3), {"stride": 3, "padding": 2, "output_padding": 2, "groups": 2, "dilation": 2}),
    "2: plain": ((2, 3, 2, 3), (3, 2, 2, 3), {}),
    "2: all together": (
        (2, 4, 3, 2), (4, 1, 2, 3),
        {"stride": (3, 1), "padding": (1, 2), "output_padding": (2, 0), "groups": 2, "dilation": (2, 3)},
    ),
    "2: depthwise": ((1, 3, 3, 3), (3, 1, 4, 4), {"stride": 2, "padding": 1, "groups": 3}),
    "2: output padding of several strides": ((1, 2, 3, 3), (2, 2, 2, 2), {"dilation": (3, 4), "output_padding": (2, 3)}),
    "3: plain": ((2, 2, 2, 3, 2), (2, 3, 2, 2, 1), {}),
    "3: all together": (
        (2, 4, 2, 3, 2), (4, 2, 2, 1, 3),
        {"stride": (2, 3, 1), "padding": (1, 0, 2), "output_padding": (1, 2, 0), "groups": 2, "dilation": (2, 1, 2)},
    ),
    "3: output padding of several strides": ((1, 2, 2, 2, 2), (2, 1, 2, 1, 2), {"dilation": 3, "output_padding": 2}),
}  # fmt: skip
BOTH = [(name, label) for name, calls in {"conv": CALLS, "conv_transpose": TRANSPOSES}.items() for label in calls]


def drawn(name, label):
    """The function, its arrays and arguments."""
    x, weight, given = (CALLS if name == "conv" else TRANSPOSES)[label]
    outputs = weight[0] if name == "conv" else weight[1] * given.get("groups", 1)
    rng = np.random.default_rng(0)
    return getattr(F, f"{name}{label[0]}d"), [rng.standard_normal(shape) for shape in (x, weight, (outputs,))], given


def expected(name, arrays, given):
    """By loops, which take numbers for each axis."""
    count = arrays[0].ndim - 2
    stride, padding, dilation, more = (
        each(given.get(key, usual), count)
        for key, usual in {"stride": 1, "padding": 0, "dilation": 1, "output_padding": 0}.items()
    )
    windows = {"stride": stride, "padding": tuple((p, p) for p in padding), "dilation": dilation}
    windows["groups"] = given.get("groups", 1)
    if name == "conv":
        return loops(*arrays, **windows)
    numbers = zip(arrays[0].shape[2:], arrays[1].shape[2:], stride, padding, dilation, more, strict=True)
    size = tuple((n - 1) * u - 2 * p + d * (k - 1) + m + 1 for n, k, u, p, d, m in numbers)
    return transposed_loops(*arrays, size=size, **windows)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("name", "label"), BOTH)
def test_forward_equals_plain_loops(name, label, backend):
    function, (x, *parameters), given = drawn(name, label)
    right = expected(name, [x, *parameters], given)
    with mv.backend(backend):
        np.testing.assert_allclose(function(x, *parameters, **given), right, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(function(x[0], *parameters, **given), right[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("name", "label"), BOTH)
def test_gradients_equal_differences(name, label, backend):
    function, arrays, given = drawn(name, label)
    rng = np.random.default_rng(4)
    tensors = [mv.Tensor(a, requires_grad=True) for a in arrays]
    with mv.backend(backend):
        y = function(*tensors, **given)
        dy = random_like(y.data)
        cotangents = mv.grad(y, tensors, mv.Tensor(dy))
        for i, dx in enumerate(cotangents):  # y is linear in each argument: the difference has no error but rounding
            v = rng.standard_normal(arrays[i].shape)
            above, below = (function(*(a + e * v if j == i else a for j, a in enumerate(arrays)), **given) for e in (1.0, -1.0))
            assert np.sum(dx.data * v) == pytest.approx(np.sum(dy * (above - below)) / 2, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize(("name", "label"), [("conv", "3: all together"), ("conv_transpose", "3: all together")])
def test_gradients_of_gradients(name, label):
    function, (x, weight, _), given = drawn(name, label)
    tensors = [mv.Tensor(a, requires_grad=True) for a in (x, weight)]
    y = function(*tensors, **given)
    (dx,) = mv.grad([(y * y).sum()], [tensors[0]], create_graph=True)  # 2 W^T W x
    v = np.random.default_rng(8).standard_normal(weight.shape)
    came = np.sum(mv.grad((dx * dx).sum(), tensors[1]).data * v)

    def value(e):
        t = mv.Tensor(x, requires_grad=True)
        moved = function(t, weight + e * v, **given)
        return np.sum(mv.grad((moved * moved).sum(), t).data ** 2)

    assert came == pytest.approx((value(1e-5) - value(-1e-5)) / 2e-5, rel=1e-7)


@pytest.mark.parametrize("count", [1, 3])
def test_convolution_equals_scipy(count):
    rng = np.random.default_rng(3)
    x, weight = rng.standard_normal((2, 3, *(5, 6, 4)[:count])), rng.standard_normal((2, 3, *(3, 2, 4)[:count]))
    sums = [[sum(correlate(*planes, "valid", "direct") for planes in zip(image, filters, strict=True)) for filters in weight]
            for image in x]  # fmt: skip
    np.testing.assert_allclose(getattr(F, f"conv{count}d")(x, weight), sums, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("count", [1, 3])
def test_same_padding_keeps_the_size_and_puts_the_odd_zero_behind(count):
    rng = np.random.default_rng(7)
    x, weight = rng.standard_normal((1, 2, *(6, 5, 4)[:count])), rng.standard_normal((3, 2, *(4, 3, 2)[:count]))
    function = getattr(F, f"conv{count}d")
    y = function(x, weight, padding="same", dilation=(3, 1, 2)[:count])
    total = [d * (k - 1) for d, k in zip((3, 1, 2), weight.shape[2:], strict=False)]
    padded = np.pad(x, [(0, 0), (0, 0), *((t // 2, t - t // 2) for t in total)])
    assert y.shape[2:] == x.shape[2:]
    np.testing.assert_allclose(y, function(padded, weight, padding="valid", dilation=(3, 1, 2)[:count]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_transposed_convolution_is_the_transpose(count):
    """<conv(x), y> = <x, conv_transpose(y)>, for a size that the stride does not divide."""
    rng = np.random.default_rng(count)
    x, weight = rng.standard_normal((2, 4, *(8, 7, 9)[:count])), rng.standard_normal((6, 2, *(3, 2, 3)[:count]))
    windows = {"stride": 3, "padding": 1, "groups": 2}
    y = getattr(F, f"conv{count}d")(x, weight, **windows)
    least = [(p - 1) * 3 - 2 + k for p, k in zip(y.shape[2:], weight.shape[2:], strict=True)]
    more = tuple(n - m for n, m in zip(x.shape[2:], least, strict=True))
    other = random_like(y)
    back = getattr(F, f"conv_transpose{count}d")(other, weight, output_padding=more, **windows)
    assert back.shape == x.shape
    assert np.sum(y * other) == pytest.approx(np.sum(x * back), rel=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_images_and_no_channels(count, backend):
    sizes, kernel = (4, 5, 3)[:count], (2, 2, 2)[:count]
    for channels, images in ((2, 0), (0, 2)):
        x, weight = (
            mv.Tensor(np.ones(shape), requires_grad=True) for shape in ((images, channels, *sizes), (channels, 3, *kernel))
        )
        with mv.backend(backend):
            y = getattr(F, f"conv_transpose{count}d")(x, weight, np.arange(3.0))
            y.sum().backward()
            z = getattr(F, f"conv{count}d")(x, np.swapaxes(weight.data, 0, 1), np.arange(3.0))
        assert y.shape == (images, 3, *(n + 1 for n in sizes))
        assert z.shape == (images, 3, *(n - 1 for n in sizes))
        for result in (y.data, z.data):
            np.testing.assert_array_equal(result, np.zeros(result.shape) + np.arange(3.0).reshape(-1, *(1,) * count))
        assert (x.grad.shape, weight.grad.shape) == (x.shape, weight.shape)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_not_finite_goes_where_its_window_would_read(backend):
    x, weight = np.zeros((1, 1, 3, 4)), np.ones((1, 1, 2, 2))
    x[0, 0, 1, 2] = np.nan
    with mv.backend(backend):
        y = F.conv_transpose2d(x, weight, stride=2)
    assert np.argwhere(np.isnan(y[0, 0])).tolist() == [[2, 4], [2, 5], [3, 4], [3, 5]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_only_the_gradients_that_are_needed(backend):
    arrays = [np.ones(shape) for shape in ((1, 2, 2, 2), (2, 3, 2, 2), (3,))]
    with mv.backend(backend):
        y, kept = OPS["conv_transpose2d"].forward(tuple(arrays), {"size": (3, 3)})
        assert kept[0] is arrays[0]
        assert kept[1] is arrays[1]
        for needs in np.ndindex(2, 2, 2):
            pulled = OPS["conv_transpose2d"].pull(y, kept, tuple(map(bool, needs)), {"size": (3, 3)})
            assert [g is not None for g in pulled] == list(map(bool, needs))


@needs_kernels
def test_images_stay_channels_last():
    x, weight = np.ones((2, 4, 5, 6), np.float32), np.ones((4, 3, 2, 2), np.float32)
    with mv.backend("c"):
        y = F.conv_transpose2d(x, weight, stride=2)
        volume = F.conv3d(x[:, :, None], weight.transpose(1, 0, 2, 3)[:, :, None])
    for image in (y, volume):
        assert np.moveaxis(image, 1, -1).flags.c_contiguous


def array(*shape):
    return np.ones(shape, np.float32)


@pytest.mark.parametrize(
    ("name", "arguments", "options", "words"),
    [
        ("conv1d", (array(2, 4, 9), array(6, 3, 3)), {}, ["x has 4 channels at axis 1", "(N, C, L)", "x (2, 4, 9)"]),
        ("conv1d", (array(2, 9, 4), array(6, 4, 3)), {}, ["looks like (N, L, C)", "permute(0, 2, 1)"]),
        ("conv1d", (array(2, 4, 9), array(6, 4, 3)), {"dilation": 5}, ["11 columns large (3 taps, dilation 5)", "has 9"]),
        ("conv1d", (array(2, 4, 9), array(6, 4, 3, 1)), {}, ["weight should have 3 axes (O, I, R), got 4"]),
        ("conv1d", (array(9), array(6, 4, 3)), {}, ["input should have 3 axes (N, C, L), or 2 without N, got 1"]),
        ("conv1d", (array(2, 4, 9), array(6, 4, 3), array(5)), {}, ["the bias should have shape (6,), got (5,)"]),
        ("conv3d", (array(2, 4, 3, 3, 3), array(6, 4, 4, 3, 3)), {}, ["the window is 4 planes large", "has 3"]),
        ("conv3d", (array(2, 4, 3, 3, 3), array(5, 2, 1, 1, 1)), {"groups": 2}, ["5 output channels", "2 groups do not divide"]),
        ("conv3d", (array(2, 4, 3, 3), array(6, 4, 1, 1, 1)), {}, ["x has 2 channels at axis 1"]),
        ("conv_transpose1d", (array(2, 4, 9), array(3, 4, 3)), {}, ["x has 4 channels", "the weight takes 3 at axis 0"]),
        ("conv_transpose2d", (array(1, 3, 2, 2), array(3, 1, 2, 2)), {"groups": 2}, ["x has 3 channels", "in 2 groups"]),
        ("conv_transpose2d", (array(1, 2, 2, 2), array(2, 3, 2, 2), array(3)), {"groups": 2}, ["shape (6,)"]),
        ("conv_transpose2d", (array(1, 2, 2, 2), array(2, 3, 2, 2)), {"padding": 2}, ["the result would have size (-1, -1)"]),
        ("conv_transpose3d", (array(1, 2, 2, 2, 0), array(2, 3, 2, 2, 2)), {}, ["the result would have size (3, 3, 1)"]),
        ("unfold", (array(5, 5), 2), {}, ["input should have 4 axes (N, C, H, W), or 3 without N, got 2"]),
        ("fold", (array(1, 1, 4, 4), 5, 2), {}, ["input should have 3 axes (N, C R S, P Q), or 2 without N, got 4"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("backend", BACKENDS)
def test_shape_errors(name, arguments, options, words, backend):
    with mv.backend(backend), pytest.raises(mv.ShapeError) as error:
        getattr(F, name)(*arguments, **options)
    for word in [f"{name}: ", *words]:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("conv1d", {"stride": (1, 1)}, "stride is a whole number, got"),
        ("conv3d", {"dilation": (1, 1)}, r"dilation is a whole number or three \(depth, height, width\) of them"),
        ("conv3d", {"padding": "full"}, '"same" or "valid", got \'full\''),
        ("conv1d", {"groups": 0}, "conv1d: groups must lie between 1 and"),
        ("conv_transpose1d", {"groups": -1}, "conv_transpose1d: groups must lie between 1 and"),
        ("conv_transpose2d", {"padding": "same"}, "padding is a whole number or a pair"),
        ("conv_transpose2d", {"stride": 2, "output_padding": (1, 2)}, r"output_padding \(1, 2\) must be smaller than the stride"),
        ("conv_transpose3d", {"output_padding": -1}, "output_padding must lie between 0 and"),
        ("conv_transpose3d", {"stride": 0}, "conv_transpose3d: stride must lie between 1 and"),
    ],
)
def test_wrong_attributes(name, options, words):
    count = int(name[-2])
    with pytest.raises(ValueError, match=words):
        getattr(F, name)(array(1, 2, *(5,) * count), array(2, 2, *(3,) * count), **options)
