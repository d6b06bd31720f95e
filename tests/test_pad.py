"""Borders: each mode by its rule, torch's order of axes, crops, layers, sizes that no machine has."""

from __future__ import annotations

import numpy as np
import pytest

import minivision as mv
from minivision import nn

F = mv.functional
# mode -> where element i (from -before on) of an axis of n elements comes from
RULES = {
    "reflect": lambda i, n: i if 0 <= i < n else -i if i < 0 else 2 * (n - 1) - i,
    "replicate": lambda i, n: min(max(i, 0), n - 1),
    "circular": lambda i, n: i % n,
}
WIDTHS = [(2, 1), (0, 2), (1, 0, 2, 2), (0, 0, 1, 1), (2, 2, 1, 0, 1, 1), (-1, 2), (2, -1, -1, 0), (-2, -2), (0, 0), ()]


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("mode", RULES)
def test_borders_made_of_the_array(mode, widths):
    a = np.random.default_rng(0).standard_normal((3, 4, 5))
    pairs = [(0, 0)] * (3 - len(widths) // 2) + [tuple(widths[i : i + 2]) for i in range(0, len(widths), 2)][::-1]
    expected = a
    for axis, (before, after) in enumerate(pairs):
        n = a.shape[axis]
        if mode == "circular":  # what is cropped does not come back at the other end
            first, last = max(-before, 0), n - max(-after, 0)
            places = [first + (i - first) % (last - first) for i in range(-before, n + after)]
        else:
            places = [RULES[mode](i, n) for i in range(-before, n + after)]
        expected = np.stack([expected.take(p, axis) for p in places], axis) if places else expected.take([], axis)
    x = mv.tensor(a, requires_grad=True)
    y = F.pad(x, widths, mode)
    np.testing.assert_array_equal(y.data, expected)
    y.backward(np.ones(y.shape))
    assert x.grad.data.sum() == y.numel()


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("value", [None, -1.5, np.inf])
def test_borders_of_one_value(value, widths):
    a = np.random.default_rng(1).standard_normal((3, 4, 5))
    pairs = [(0, 0)] * (3 - len(widths) // 2) + [tuple(widths[i : i + 2]) for i in range(0, len(widths), 2)][::-1]
    y = F.pad(mv.tensor(a), widths, value=value)
    assert y.shape == tuple(b + n + e for (b, e), n in zip(pairs, a.shape, strict=True))
    for place in np.ndindex(y.shape):
        source = tuple(i - b for i, (b, _) in zip(place, pairs, strict=True))
        inside = all(0 <= i < n for i, n in zip(source, a.shape, strict=True))
        assert y.data[place] == (a[source] if inside else value or 0.0)


def test_no_border_costs_nothing_and_arrays_stay_arrays():
    a = np.ones((2, 3), np.float32)
    assert F.pad(a, (0, 0)) is a
    assert isinstance(F.pad(a, (1, 1)), np.ndarray)
    assert F.pad(mv.tensor([True, False]), (1, 0)).tolist() == [False, True, False]
    assert F.pad(mv.tensor([1, 2]), (0, 1), value=7).tolist() == [1, 2, 7]


def test_channels_last_memory_stays_so():
    x = np.zeros((2, 5, 6, 3), np.float32).transpose(0, 3, 1, 2)
    y = F.pad(x, (1, 1, 2, 2))
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous


WRONG = {
    "reflect": ((3, 0), "reflect", r"reflect makes borders of up to 2 elements from the 3 of axis 1, got 3 and 0"),
    "circular": ((0, 4), "circular", r"up to 3 elements from the 3 of axis 1"),
    "circular, cropped": ((-2, 2), "circular", r"up to 1 elements from the 3 of axis 1"),
    "crop": ((-2, -2), "constant", r"-2 and -2 elements crop more than the 3 of axis 1"),
    "crop before a border": ((-4, 5), "constant", r"crop more than the 3"),
    "odd": ((1,), "constant", "two numbers are needed for each of up to 2 axes"),
    "too many": ((1,) * 6, "constant", "the last axis first, got"),
    "mode": ((1, 1), "mirror", "mode is one of .*'reflect'.*got 'mirror'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(name):
    widths, mode, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        F.pad(mv.ones(2, 3), widths, mode)


def test_nothing_has_no_border_of_itself():
    with pytest.raises(mv.ShapeError, match="up to 0 elements from the 0"):
        F.pad(mv.zeros(2, 0), (1, 1), "replicate")
    with pytest.raises(ValueError, match="the first alone takes a value"):
        F.pad(mv.zeros(2, 3), (1, 1), "reflect", 0.0)


@pytest.mark.parametrize("size", [2**62, 2**63 - 1])
@pytest.mark.parametrize("mode", ["constant", "replicate"])
def test_sizes_beyond_memory_are_refused_with_the_bytes(mode, size):
    with pytest.raises(MemoryError, match=rf"pad: a result of shape \(2, {size + 3}\) takes {2 * 4 * (size + 3)} bytes"):
        F.pad(mv.ones(2, 3), (0, size), mode)
    with pytest.raises(ValueError, match="crop more than"):
        F.pad(mv.ones(2, 3), (-size, 0), mode)


def test_layers():
    x = mv.tensor(np.random.default_rng(2).standard_normal((2, 1, 4, 5)))
    layers = {nn.ZeroPad2d: "constant", nn.ReflectionPad2d: "reflect", nn.ReplicationPad2d: "replicate"}
    for layer, mode in {**layers, nn.CircularPad2d: "circular"}.items():
        np.testing.assert_array_equal(layer(2)(x).data, F.pad(x, (2, 2, 2, 2), mode).data)
        assert layer((1, 0, 2, 1))(x).shape == (2, 1, 7, 6)
        assert layer((1, 0, 2, 1)).extra_repr() == "(1, 0, 2, 1)"
    assert (nn.ConstantPad2d(1, 3.5)(x).data[..., 0, :] == 3.5).all()
    assert nn.ConstantPad2d(1, 3.5).extra_repr() == "padding=(1, 1, 1, 1), value=3.5"
    with pytest.raises(ValueError, match="left, right, top, bottom"):
        nn.ZeroPad2d((1, 2))
