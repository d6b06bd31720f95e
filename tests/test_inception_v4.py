"""Inception-v4's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision import functional as F
from minivision.models.inception_v4 import COLUMN, ROW, Layers, inception_a, inception_b

MADE = Layers(32)


def image(*shape):
    """Random maps in float64."""
    return mv.tensor(noise("x", shape).astype(np.float64))


def test_a_row_and_a_column_are_one_square_kernel():
    """1x7 and then 7x1 without a ReLU between them is the 7x7 whose channels sum outer products; the border included."""
    row, column = (layer.conv for layer in Layers().chain(5, (4, ROW), (3, COLUMN)).to(np.float64))
    square = np.einsum("oki,kcj->ocij", column.weight.numpy()[..., 0], row.weight.numpy()[:, :, 0])  # (O, C, 7, 7)
    x = image(2, 5, 9, 10)
    np.testing.assert_allclose(column(row(x)).numpy(), F.conv2d(x, mv.tensor(square), padding=3).numpy(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_two_lines_cost_two_nths_of_the_square(kernel):
    lines = Layers().chain(16, (16, (1, kernel)), (16, (kernel, 1)))
    square = Layers().conv(16, 16, kernel)
    weights = [sum(math.prod(p.shape) for p in each.parameters() if p.ndim == 4) for each in (lines, square)]
    assert weights[0] * kernel == weights[1] * 2


def test_the_branches_of_a_module_see_the_same_input():
    """The maps side by side are each branch's, in order, 96 of each in module A; moved pixels move what is seen alone."""
    made = fill(inception_a(MADE)).to(np.float64).eval()
    x = image(2, 12, 5, 5)
    parts = np.split(made(x).numpy(), 4, axis=1)
    for branch, part in zip(made.children(), parts, strict=True):
        np.testing.assert_array_equal(branch(x).numpy(), part)


def test_module_b_sees_thirteen_pixels_far():
    """Twice a seven on each axis: 1 + 2 x 6 pixels; module A sees two threes."""
    for made, width, field in ((inception_a(MADE), 12, 5), (inception_b(MADE), 32, 13)):
        made = fill(made).to(np.float64).eval()
        x = mv.tensor(noise("x", (1, width, 15, 15)).astype(np.float64), requires_grad=True)
        made(x)[:, :, 7, 7].sum().backward()
        seen = np.abs(x.grad.numpy()).max((0, 1)) > 0
        assert [np.flatnonzero(seen.any(axis)).size for axis in (0, 1)] == [field, field]


def test_averages_leave_the_padding_out():
    """Of maps that are constant, those behind the pooling are constant too."""
    pool = MADE.pooled(384, 96)[0]
    np.testing.assert_allclose(pool(mv.tensor(np.full((1, 2, 4, 3), 2.5))).numpy(), 2.5, rtol=1e-15)


def test_the_maps_of_the_paper_s_image_have_the_paper_s_sides():
    """299 to 35, 17 and 8 (figure 9)."""
    model = mv.create_model("inception_v4", features_only=True, narrow=32, depths=(1, 1, 1)).eval()
    with mv.no_grad():
        maps = model(mv.tensor(noise("x", (1, 3, 299, 299))))
    assert [y.shape[2] for y in maps] == [147, 73, 35, 17, 8]
    assert [32 * y.shape[1] for y in maps] == [64, 160, 384, 1024, 1536]


@pytest.mark.parametrize(("wrong", "told"), [({"stem": "x"}, "stem is one of"), ({"narrow": 33}, "between 1 and 32, got 33")])
@pytest.mark.parametrize("name", ["inception_v4", "inception_resnet_v2"])
def test_a_configuration_that_makes_no_network_is_refused(name, wrong, told):
    with pytest.raises(ValueError, match=told):
        mv.create_model(name, **wrong)


@pytest.mark.parametrize("name", ["inception_v4", "inception_resnet_v2"])
def test_the_smallest_image_is_75(name):
    model = mv.create_model(name, narrow=32, depths=(1, 1, 1), num_classes=3).eval()
    with mv.no_grad():
        assert model.forward_features(mv.tensor(noise("x", (1, 3, 75, 75)))).shape[2:] == (1, 1)
        with pytest.raises(mv.ShapeError):
            model(mv.tensor(noise("x", (1, 3, 74, 74))))
