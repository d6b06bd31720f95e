"""CDC's and CDCN's exact properties; the numbers are in test_models.py, the sizes in test_registry.py."""

from __future__ import annotations

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision import functional as F
from minivision.models.cdcn import (
    CDConv2d,
    SpatialAttention,
    contrastive_depth_gradient,
    contrastive_depth_loss,
    contrasts,
    depth_loss,
    edited,
)

SMALL = {"blocks": ((8, 6), (6, 8), (8, 6)), "stem": 6, "map_size": 4}


def tensor(name, *shape, **options):
    """Float64 noise."""
    return mv.tensor(noise(name, shape).astype(np.float64), **options)


def layer(theta, **options):
    """A CDC of 5 to 4 channels with its weight by rule."""
    return fill(CDConv2d(5, 4, theta, **options).to(np.float64))


@pytest.mark.parametrize("theta", [0.0, 0.3, 0.7, 1.0])
def test_it_is_the_sum_of_section_3_1(theta):
    """Sum by sum, with zeros around the image: theta sum w (x_n - x_0) + (1 - theta) sum w x_n."""
    cdc, x = layer(theta), noise("x", (2, 5, 6, 7)).astype(np.float64)
    around, w = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), cdc.conv.weight.numpy()
    wanted = np.zeros((2, 4, 6, 7))
    for i, j in np.ndindex(3, 3):
        moved = around[:, :, i : i + 6, j : j + 7]
        seen = theta * (moved - x) + (1.0 - theta) * moved
        wanted += np.einsum("oc,nchw->nohw", w[:, :, i, j], seen)
    np.testing.assert_allclose(cdc(mv.tensor(x)).numpy(), wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("padding_mode", ["zeros", "replicate"])
@pytest.mark.parametrize("theta", [0.0, 0.7, 1.0])
def test_it_is_a_convolution_with_another_middle(theta, padding_mode):
    """fused(): borders included, and so are the gradients for the image and, through `edited`, for the weight."""
    cdc, x = layer(theta, padding_mode=padding_mode), tensor("x", 2, 5, 6, 7, requires_grad=True)
    plain, dy = cdc.fused(), tensor("dy", 2, 4, 6, 7)
    assert type(plain) is mv.nn.Conv2d
    np.testing.assert_allclose(plain(x).numpy(), cdc(x).numpy(), rtol=0, atol=1e-13)
    (dx, dw), (dx_plain, dw_plain) = (mv.grad(each(x), [x, w], dy) for each, w in ((cdc, cdc.conv.weight), (plain, plain.weight)))
    np.testing.assert_allclose(dx_plain.numpy(), dx.numpy(), rtol=0, atol=1e-12)
    middle = dw_plain.numpy()[:, :, 1:2, 1:2]  # w_n is in its own tap and, times -theta, in the middle
    np.testing.assert_allclose(dw.numpy(), dw_plain.numpy() - theta * middle, rtol=0, atol=1e-12)


def test_only_the_middle_is_edited_and_its_taps_sum_to_1_minus_theta_of_the_others():
    w = noise("w", (4, 5, 3, 3)).astype(np.float64)
    new = edited(w, 0.7)
    changed = np.argwhere(np.abs(new - w).max((0, 1)) > 0)
    np.testing.assert_array_equal(changed, [[1, 1]])
    np.testing.assert_allclose(new.sum((2, 3)), (1.0 - 0.7) * w.sum((2, 3)), rtol=0, atol=1e-13)


def test_at_theta_1_a_constant_is_not_seen():
    """Inside; with the border's pixels repeated around the image, everywhere. At any other theta it is."""
    x, inside = tensor("x", 2, 5, 6, 7), (slice(None), slice(None), slice(1, -1), slice(1, -1))
    for theta, mode, where in [
        (1.0, "zeros", inside),
        (1.0, "replicate", ...),
        (0.9, "replicate", ...),
    ]:
        cdc = layer(theta, padding_mode=mode)
        moved = (cdc(x + 3.0) - cdc(x)).numpy()[where]
        assert (np.abs(moved).max() < 1e-12) == (theta == 1.0)
    border = np.abs((layer(1.0)(x + 3.0) - layer(1.0)(x)).numpy()).max((0, 1))
    assert border[0].min() > 1e-3  # zeros around do not move with the image


def test_a_constant_moves_the_output_by_1_minus_theta_of_what_it_moves_a_convolution():
    x, inside = tensor("x", 2, 5, 6, 7), (slice(None), slice(None), slice(1, -1), slice(1, -1))
    plain, cdc = layer(0.0), layer(0.7)
    np.testing.assert_allclose(
        (cdc(x + 3.0) - cdc(x)).numpy()[inside], 0.3 * (plain(x + 3.0) - plain(x)).numpy()[inside], rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("name", ["cdcn", "cdcnpp"])
def test_a_whole_network_fused_is_the_same_function_with_its_original_untouched(name):
    model = fill(mv.create_model(name, **SMALL).to(np.float64)).eval()
    fused, x = model.fused(), tensor("x", 2, 3, 16, 16)
    assert not any(isinstance(each, CDConv2d) for each in fused.modules())
    assert sum(isinstance(each, CDConv2d) for each in model.modules()) > 5
    y = model(x).numpy()
    np.testing.assert_allclose(fused(x).numpy(), y, rtol=0, atol=1e-12 * np.abs(y).max())


def test_fusing_saves_the_1x1_convolution():
    """A tenth of the multiply-adds of every layer: 9 taps in place of 10."""
    model = mv.create_model("cdcn", img_size=64)
    whole, fused = (mv.profile(each, model.config.input_shape).macs for each in (model, model.fused()))
    assert 10 * fused == 9 * whole


def test_depth_is_of_32_x_32_whatever_the_image_and_never_negative():
    model = fill(mv.create_model("cdcn", **{**SMALL, "map_size": 32})).eval()
    for size in [(16, 16), (24, 40)]:
        y = model(mv.tensor(noise("x", (2, 3, *size)))).numpy()
        assert y.shape == (2, 32, 32)
        assert y.min() == 0.0 < y.max()


def test_attention_is_one_number_a_pixel_from_the_mean_and_the_largest():
    seen, x = fill(SpatialAttention(3).to(np.float64)), tensor("x", 2, 5, 6, 6)
    both = np.stack([x.numpy().mean(1), x.numpy().max(1)], axis=1)
    wanted = 1.0 / (1.0 + np.exp(-F.conv2d(both, seen.conv1.weight.numpy(), padding=1)))
    np.testing.assert_allclose(seen(x).numpy(), wanted, rtol=0, atol=1e-14)


# ------------------------------------------------------------------------------------------------------------- the loss


def test_contrasts_are_neighbours_less_the_middle():
    d = noise("d", (2, 5, 6)).astype(np.float64)
    moves = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    wanted = [d[:, 1 + i : 4 + i, 1 + j : 5 + j] - d[:, 1:-1, 1:-1] for i, j in moves]
    np.testing.assert_allclose(contrasts(mv.tensor(d)).numpy(), np.stack(wanted, axis=1), rtol=0, atol=1e-15)


@pytest.mark.parametrize("shape", [(1, 3, 3), (2, 4, 7)])
def test_the_loss_s_gradient_is_the_closed_form(shape):
    p, t = tensor("p", *shape, requires_grad=True), tensor("t", *shape)
    contrastive_depth_loss(p, t).backward()
    np.testing.assert_allclose(p.grad.numpy(), contrastive_depth_gradient(p.numpy(), t.numpy()), rtol=0, atol=1e-14)
    assert mv.gradcheck(contrastive_depth_loss, (p, t), second_order=True)


def test_the_loss_sees_relief_alone():
    """A constant off costs nothing there, and its square in the whole loss."""
    t = tensor("t", 2, 6, 6)
    assert contrastive_depth_loss(t + 0.5, t).item() < 1e-28
    np.testing.assert_allclose(depth_loss(t + 0.5, t).item(), 0.25, rtol=1e-12)
    assert contrastive_depth_loss(-t, t).item() > 1e-2


def test_three_levels_are_asked_for():
    with pytest.raises(ValueError, match="widths of three levels"):
        mv.create_model("cdcn", blocks=((8, 8),))
