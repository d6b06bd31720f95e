"""MicroNet's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision import functional as F
from minivision.models.micronet import depthwise, pointwise
from minivision.models.shift_max import ShiftMax, divisible, partners


def matrix(channels, reduction, groups):
    """Two 1x1 convolutions in groups with the shuffle between, without norms, as one matrix (C, C)."""
    squeeze, expand = pointwise(channels, channels // reduction, groups), pointwise(channels // reduction, channels, groups)
    made = mv.nn.Sequential(fill(squeeze.double()).conv[0], mv.nn.ChannelShuffle(groups), fill(expand.double()).conv[0])
    with mv.no_grad():
        return made(mv.tensor(np.eye(channels).reshape(channels, channels, 1, 1))).numpy()[:, :, 0, 0].T


@pytest.mark.parametrize(("channels", "reduction", "groups"), [(18, 2, 3), (16, 1, 4), (32, 2, 4), (64, 4, 4), (36, 1, 6)])
def test_at_the_root_every_input_has_one_path_to_every_output(channels, reduction, groups):
    """Section 3.1: G = sqrt(C / R) makes G x G blocks of rank 1, none of them 0; larger G leaves holes."""
    assert groups * groups * reduction == channels
    whole = matrix(channels, reduction, groups)
    assert np.abs(whole).min() > 0.0
    side = channels // groups
    blocks = whole.reshape(groups, side, groups, side).swapaxes(1, 2)
    values = np.linalg.svd(blocks, compute_uv=False)  # (G, G, side)
    assert (values[..., 1] < 1e-14 * values[..., 0]).all()


def test_more_groups_leave_holes_and_fewer_more_than_one_path():
    assert (matrix(32, 2, 8) == 0.0).mean() == 0.75  # C / (R G^2) = 1/4 of the pairs have a path
    values = np.linalg.svd(matrix(32, 2, 2).reshape(2, 16, 2, 16).swapaxes(1, 2), compute_uv=False)
    assert (values[..., 3] > 1e-3 * values[..., 0]).all()  # rank 4
    assert (values[..., 4] < 1e-14 * values[..., 0]).all()


def test_columns_then_rows_are_one_kernel_of_rank_1():
    made = fill(depthwise(3, (1, 1), 5, 1).double())
    column, row = made.conv[0], made.conv[2]
    x = mv.tensor(noise("x", (2, 3, 9, 9)).astype(np.float64))
    kernel = column.weight.numpy() * row.weight.numpy()  # (3, 1, 5, 1) (3, 1, 1, 5)
    expected = F.conv2d(x, mv.tensor(kernel), padding=2, groups=3).numpy()
    np.testing.assert_allclose(row(column(x)).numpy(), expected, atol=1e-13)


def test_partners_are_the_next_channel_of_the_next_group():
    np.testing.assert_array_equal(partners(6, 2), [4, 5, 3, 1, 2, 0])
    assert sorted(partners(24, 4)) == list(range(24))


@pytest.mark.parametrize("start", [((1.0, 0.0),), ((1.0, 0.0), (0.5, 0.5))])
def test_shift_max_by_hand(start):
    act = fill(ShiftMax(6, 2, 2, start).double())
    x = noise("x", (2, 6, 3, 3)).astype(np.float64)
    first, second = act.fc[0], act.fc[2]
    inner = np.maximum(x.mean((2, 3)) @ first.weight.numpy().T + first.bias.numpy(), 0.0)
    gates = np.clip((inner @ second.weight.numpy().T + second.bias.numpy()) / 6 + 0.5, 0.0, 1.0)
    found = (4 * gates - 2).reshape(2, len(start), 2, 6)
    for i in range(6):
        other = (i // 3 + 1) % 2 * 3 + (i % 3 + 1) % 3
        pieces = [
            (found[:, k, 0, i, None, None] + a) * x[:, i] + (found[:, k, 1, i, None, None] + b) * x[:, other]
            for k, (a, b) in enumerate(start)
        ]
        np.testing.assert_allclose(act(mv.tensor(x)).numpy()[:, i], np.max(pieces, axis=0), atol=1e-13)


def test_shift_max_begins_as_its_start():
    """With the last linear map at 0: the identity, or the maximum of two fixed mixtures."""
    x = mv.tensor(noise("x", (2, 8, 4, 4)).astype(np.float64))
    for start in [((1.0, 0.0),), ((1.0, 0.0), (1.0, 0.0))]:
        act = fill(ShiftMax(8, 2, 2, start).double())
        mv.nn.init.zeros_(act.fc[2].weight)
        mv.nn.init.zeros_(act.fc[2].bias)
        np.testing.assert_array_equal(act(x).numpy(), x.numpy())


@pytest.mark.parametrize(("n", "found"), [(1, 4), (6, 8), (9, 12), (17, 16), (24, 24), (5, 8)])
def test_divisible(n, found):
    assert divisible(n) == found


def test_logits_pass_h_swish():
    """So that none is below its lowest point, -3/8."""
    model = fill(mv.create_model("micronet_digits", drop_rate=0.0))
    y = model(mv.tensor(noise("input", (8, 1, 8, 8)))).numpy()
    assert -0.375 <= y.min() < 0.0 < y.max()


def test_other_channels_sizes_and_no_head():
    model = mv.create_model("micronet_digits", in_chans=3, num_classes=0, img_size=9).eval()
    assert model(mv.zeros((2, 3, 9, 9))).shape == (2, model.feature_info[-1].channels)
    assert [each.stride for each in model.feature_info] == [1, 2]
