"""Copies in C: permuted axes made dense, windows of an image, rows of tables; when NumPy is left to do it."""

from __future__ import annotations

import numpy as np
import pytest
from copies import permutations, same, tables, windows

import minivision as mv
from minivision import kernels
from minivision.backend import backend
from minivision.kernels import copy
from minivision.kernels._library import function, pointer
from minivision.op import OPS
from minivision.proof.backends import each_isa

F = mv.functional
pytestmark = pytest.mark.skipif(not kernels.AVAILABLE, reason=f"the C kernels are not built on this machine: {kernels.REASON}")


@pytest.mark.parametrize("sweep", [permutations, windows, tables])
def test_copies_are_right_to_the_bit(sweep):
    for isa in each_isa():
        assert [f"{what}, {isa}" for what, ratio in sweep() if ratio > 1.0] == []


def test_a_copy_looks_at_no_value():
    """Signalling NaNs, subnormals and -0 come through as they are."""
    bits = np.random.default_rng(0).integers(0, 2**32, (64, 300), np.uint32)
    for _ in each_isa():
        came = copy.permuted(bits.view(np.float32).T)
        np.testing.assert_array_equal(came.view(np.uint32), bits.T)


def test_the_plain_loops_in_c_equal_the_definition():
    x, y = np.arange(12.0).reshape(3, 4), np.empty((4, 3))
    function("copy_definition", x.dtype)(4, 3, pointer(x), 1, 4, pointer(y), 3)
    np.testing.assert_array_equal(y, x.T)


def test_contiguous_is_numpys_with_what_the_kernel_does_not_take():
    rng = np.random.default_rng(1)
    for a in (
        rng.standard_normal((200, 300)).T, rng.standard_normal((200, 300)), rng.standard_normal((3, 2)).T, np.array(1.0),
        rng.integers(0, 9, (200, 300)).astype(np.int16).T, np.array([[1, "a"]] * 9000, object).T, np.zeros((0, 5)).T,
        rng.standard_normal((200, 300)).astype(np.complex128).T, (rng.random((200, 300)) < 0.5).T,
        np.zeros((200, 300), [("tag", np.int8), ("value", np.float32)])["value"].T,
    ):  # fmt: skip
        y = copy.contiguous(a)
        assert (y.shape, y.dtype, y.flags.c_contiguous) == (a.shape, a.dtype, True)
        np.testing.assert_array_equal(y, a)
    dense = np.ones((200, 300))
    assert copy.contiguous(dense) is dense


def test_reshape_is_a_view_where_there_is_one():
    x = np.zeros((200, 8, 30))
    turned = x.transpose(1, 0, 2)
    with backend("c"):
        for view, shape in [
            (x, (-1, 30)),
            (turned, (8, 1, 200, 5, 6)),
            (turned[:, ::2], (2, 4, 100, 30)),
            (x[:, :, ::-1], (1600, 30)),
        ]:
            assert np.shares_memory(OPS["reshape"](view, shape=shape), view)
        copied = OPS["reshape"](turned, shape=(8, -1))
    assert not np.shares_memory(copied, x)
    assert copied.shape == (8, 6000)
    with pytest.raises(mv.ShapeError, match="reshape: cannot reshape"):
        mv.tensor(turned).reshape(7, -1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_rearrangements_agree_with_numpy(dtype):
    """Beyond the size from which the kernel takes over, through the operations and their gradients."""
    a = np.random.default_rng(2).standard_normal((4, 50, 3, 40)).astype(dtype)
    x = mv.tensor(a, requires_grad=True)
    y = x.permute(2, 0, 3, 1).reshape(3, -1)
    assert same(y.data, a.transpose(2, 0, 3, 1).reshape(3, -1)) == 0.0
    y.backward(y.data)
    assert same(x.grad.data, a) == 0.0


# ----------------------------------------------------------------------------------------------- windows as users see them


def test_attention_windows_and_back():
    """The four windows of a 4 x 4 image shifted by 1, as in figure 4 of the paper: the last takes from all four corners."""
    x = mv.tensor(np.arange(16.0).reshape(1, 4, 4, 1), requires_grad=True)
    y = F.window_partition(x, 2, shift=1)
    assert y.shape == (4, 2, 2, 1)
    assert y[0].flatten().tolist() == [5.0, 6.0, 9.0, 10.0]
    assert y[3].flatten().tolist() == [15.0, 12.0, 3.0, 0.0]
    back = F.window_reverse(y, 2, (4, 4), shift=1)
    np.testing.assert_array_equal(back.data, x.data)
    back.backward(np.arange(16.0).reshape(1, 4, 4, 1) ** 2)
    np.testing.assert_array_equal(x.grad.data.ravel(), np.arange(16.0) ** 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: F.window_partition(x, 4), r"windows of \(4, 4\) pixels do not divide an image of \(6, 8\)"),
        (lambda x: F.window_partition(x, 0), r"windows of \(0, 0\) pixels"),
        (lambda x: F.window_partition(x[0], 2), "do not divide"),
        (lambda x: F.window_reverse(x, 2, (6, 8)), r"windows should be \(N \* 12, 2, 2, C\), got \(2, 6, 8, 3\)"),
        (lambda x: F.window_reverse(F.window_partition(x, 2), 2, (6, 10)), r"\(N \* 15, 2, 2, C\)"),
        (lambda x: F.window_reverse(F.window_partition(x, 2), 2, (2**62, 2**62)), "windows should be"),
    ],
)
def test_windows_that_do_not_fit_are_refused(call, message):
    with pytest.raises(mv.ShapeError, match=message):
        call(mv.ones(2, 6, 8, 3))
