"""Attention inside shifted windows, against what it stands for: every patch among those of its own window."""

from __future__ import annotations

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision import functional as F
from minivision import kernels
from minivision.models.shifted_windows import in_windows, position_bias, region_mask, relative_position_index
from minivision.models.swin import Block, SwinConfig, WindowAttention

ONE = SwinConfig(8, (2,), (2,), window_size=4, patch_size=1, img_size=8, in_chans=1)  # one stage: 2 x 2 windows


def filled(module):
    """In float64, its state by rule."""
    return fill(module).to(np.float64)


def tokens(*shape):
    """A map (B, H, W, C)."""
    return noise("map", shape).astype(np.float64)


def definition(attention, x, group):
    """Eq. 4 for every patch among those of its own group.  x (B, H, W, C), group (H, W) -> (B, H, W, C)"""
    B, H, W, C = x.shape
    rows, columns = np.indices((H, W)).reshape(2, -1)
    qkv = attention.qkv(mv.tensor(x.reshape(B, H * W, C))).numpy()
    q, k, v = qkv.reshape(B, H * W, 3, attention.num_heads, -1).transpose(2, 0, 3, 1, 4)
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    M = attention.window[0]
    together = group.reshape(-1)[:, None] == group.reshape(-1)
    i, j = np.nonzero(together)
    displacement = (rows[i] - rows[j] + M - 1) * (2 * M - 1) + columns[i] - columns[j] + M - 1
    scores[..., i, j] += attention.relative_position_bias_table.numpy()[displacement].T
    scores[..., ~together] = -np.inf
    p = np.exp(scores - scores.max(-1, keepdims=True))
    y = (p / p.sum(-1, keepdims=True)) @ v
    return attention.proj(mv.tensor(y.swapaxes(1, 2).reshape(B, H, W, C))).numpy()


def grid(side, window, shift):
    """The number of each patch's window on the grid that begins `shift` before the image.  (side, side)"""
    along = (np.arange(side) + window - shift) // window
    return 10 * along[:, None] + along


@pytest.mark.parametrize(("side", "shift"), [(8, 0), (8, 2), (12, 2), (8, 1)])
def test_masked_windows_of_the_rolled_map_are_the_ragged_windows_of_the_shifted_grid(side, shift):
    """With as many windows: 2 x 2 where the shifted grid has 3 x 3."""
    attention, x = filled(WindowAttention(ONE, 0, (4, 4))), tokens(2, side, side, 8)
    y = in_windows(attention, mv.tensor(x), (4, 4), (shift, shift)).numpy()
    group = grid(side, 4, shift)
    np.testing.assert_allclose(y, definition(attention, x, group), rtol=0, atol=1e-13)
    assert len(np.unique(group)) == (side // 4 + bool(shift)) ** 2
    if shift:
        assert len(region_mask((side, side), (4, 4), (shift, shift), np.dtype(float))) == (side // 4) ** 2


def gradient(block, at):
    """How much the outputs of one patch depend on each patch of the map.  (8, 8)"""
    x = mv.tensor(tokens(1, 8, 8, 8), requires_grad=True)
    block(x)[0, at[0], at[1]].sum().backward()
    return np.abs(x.grad.numpy()[0]).max(axis=-1)


def test_without_a_shift_no_gradient_crosses_the_border_of_a_window():
    found = gradient(filled(Block(ONE, 0, False, 0.0)), (3, 3))
    assert found[:4, :4].min() > 0.0
    found[:4, :4] = 0.0
    assert not found.any()


def test_with_a_shift_gradients_cross_it_and_do_not_cross_the_seam_of_the_roll():
    block = filled(Block(ONE, 0, True, 0.0))
    assert block.shift == (2, 2)
    inner, corner = gradient(block, (3, 3)), gradient(block, (0, 0))
    assert inner[2:6, 2:6].min() > 0.0
    assert corner[:2, :2].min() > 0.0
    inner[2:6, 2:6] = corner[:2, :2] = 0.0
    assert max(inner.max(), corner.max()) < np.exp(-90.0)  # what a score of -100 leaves


@pytest.mark.skipif(not kernels.AVAILABLE, reason="of the kernel's own layout in memory, and the C kernels are not built here")
def test_what_the_heads_of_a_window_give_is_joined_without_a_copy():
    """Windows of several images, a bias for each window of one: heads lie inside rows, in results and in gradients."""
    shape, order = (2, 3, 4, 2, 8), (0, 1, 3, 2, 4)  # (B, nW, N, heads, D)
    q, k, v, dy = (mv.tensor(noise(name, shape).astype(np.float64), requires_grad=True) for name in ("q", "k", "v", "dy"))
    bias = mv.tensor(tokens(3, 2, 4, 4), requires_grad=True)
    found = {}
    for backend in ("c", "numpy"):
        with mv.backend(backend):
            y = F.scaled_dot_product_attention(*(x.permute(*order) for x in (q, k, v)), bias).permute(*order)
            gradients = mv.grad(y, [q, k, v, bias], dy)
        found[backend] = [y.numpy(), *(g.numpy() for g in gradients)]
    assert found["c"][0].flags.c_contiguous
    for c, numpy in zip(found["c"], found["numpy"], strict=True):
        np.testing.assert_allclose(c, numpy, rtol=0, atol=1e-13)


def test_the_nine_regions():
    """The first window is one region, the last holds four, and a pair may meet where both come from one."""
    mask = region_mask((8, 8), (4, 4), (2, 2), np.dtype(np.float32))
    assert (mask.shape, mask.dtype, set(mask.ravel())) == ((4, 1, 16, 16), np.float32, {0.0, -100.0})
    assert [len(np.unique(each[0], axis=0)) for each in mask] == [1, 2, 2, 4]
    np.testing.assert_array_equal(mask, mask.swapaxes(2, 3))
    sides = region_mask((8, 4), (4, 4), (2, 0), np.dtype(np.float32))  # one side alone
    assert [len(np.unique(each[0], axis=0)) for each in sides] == [1, 2]


def test_a_padded_map_is_attended_to_as_zeros():
    """Eq. 4 on the map with zeros at its end, which are cut off again."""
    attention, x = filled(WindowAttention(ONE, 0, (4, 4))), tokens(1, 6, 8, 8)
    wide = np.pad(x, ((0, 0), (0, 2), (0, 0), (0, 0)))
    found = in_windows(attention, mv.tensor(x), (4, 4), (0, 0)).numpy()
    np.testing.assert_allclose(found, definition(attention, wide, grid(8, 4, 0))[:, :6], rtol=0, atol=1e-13)
    shifted = in_windows(attention, mv.tensor(x[:, :4]), (4, 4), (1, 0)).numpy()
    windows = F.window_partition(mv.tensor(np.roll(x[:, :4], -1, 1)), 4).flatten(1, 2)
    again = F.window_reverse(attention(windows, region_mask((4, 8), (4, 4), (1, 0), x.dtype)).unflatten(1, (4, 4)), 4, (4, 8))
    np.testing.assert_allclose(shifted, np.roll(again.numpy(), 1, 1), rtol=0, atol=1e-13)


def test_the_bias_of_a_pair_is_that_of_its_displacement():
    table = noise("table", (5 * 7, 2)).astype(np.float64)
    bias, places = position_bias(mv.tensor(table), (3, 4)).numpy(), np.argwhere(np.ones((3, 4)))
    assert bias.shape == (2, 12, 12)
    assert set(relative_position_index((3, 4))) == set(range(35))
    for i, query in enumerate(places):
        for j, key in enumerate(places):
            dh, dw = query - key
            np.testing.assert_array_equal(bias[:, i, j], table.reshape(5, 7, 2)[dh + 2, dw + 3])
