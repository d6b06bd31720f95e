"""MobileNet's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision import functional as F
from minivision.models.mobilenet import DepthwiseSeparable, Full, separable_share


@pytest.mark.parametrize(("inputs", "outputs", "side"), [(8, 16, 7), (3, 5, 4), (64, 512, 14), (1, 1, 1)])
def test_a_layer_costs_the_share_of_section_3_1(inputs, outputs, side):
    """1/N + 1/k^2 of the full convolution, counted; the share is exact in rational numbers."""
    counted = [mv.profile(kind(inputs, outputs, 1), (inputs, side, side)).macs for kind in (DepthwiseSeparable, Full)]
    assert counted[0] * 9 * outputs == counted[1] * (9 + outputs)
    assert separable_share(outputs, 3) == pytest.approx(counted[0] / counted[1], rel=1e-15)


def test_at_512_outputs_it_is_the_ninth_and_a_little():
    assert round(separable_share(512, 3), 7) == 0.1130642


def test_depthwise_then_pointwise_is_a_convolution_of_rank_one_filters():
    """Without the norm and ReLU6 between them, the two are one convolution by W_oc d_c."""
    layer = fill(DepthwiseSeparable(4, 6, 2)).to(np.float64)
    x = mv.tensor(noise("x", (2, 4, 7, 7)).astype(np.float64))
    one = mv.tensor(layer.conv_pw.weight.numpy() * layer.conv_dw.weight.numpy()[:, 0])  # (6, 4, 3, 3)
    both = layer.conv_pw(layer.conv_dw(x)).numpy()
    np.testing.assert_allclose(F.conv2d(x, one, stride=2, padding=1).numpy(), both, rtol=0, atol=1e-13)


def test_width_and_resolution_are_quadratic():
    """Section 3.3-3.4: pointwise multiply-adds grow with alpha^2, all layers' with rho^2."""
    full, half, small = (
        mv.profile(mv.create_model("mobilenetv1_100", num_classes=0, width=width), (3, side, side))
        for width, side in [(1.0, 224), (0.5, 224), (1.0, 96)]
    )
    pointwise = [sum(row.macs for row in each.rows if row.path.endswith("conv_pw")) for each in (full, half)]
    assert pointwise[0] == 4 * pointwise[1]
    assert full.macs * 96**2 == small.macs * 224**2


def test_table_4_s_full_convolutions_have_its_size():
    """29.3 million parameters, and 8.6 times the multiply-adds."""
    full = mv.profile(mv.create_model("mobilenetv1_100", separable=False), (3, 224, 224))
    assert round(full.parameters / 1e6, 1) == 29.3
    assert round(full.macs / mv.models.entry("mobilenetv1_100").macs, 1) == 8.6


def test_no_map_leaves_0_to_6():
    """However bright the image: ReLU6 bounds each map, and large inputs reach both bounds."""
    model = fill(mv.create_model("mobilenetv1_digits")).eval()
    maps = [y.numpy() for y in model.forward_maps(mv.tensor(100.0 * noise("x", (2, 1, 8, 8))))]
    assert min(y.min() for y in maps) == 0.0
    assert max(y.max() for y in maps) == 6.0


def test_a_width_that_makes_no_network_is_refused():
    with pytest.raises(ValueError, match=r"width multiplies the channels and is above 0, got -1"):
        mv.create_model("mobilenetv1_100", width=-1)
