"""Grids and what is read at their points: against sums over the pixels, known transformations, differences."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import minivision as mv
import minivision.functional as F

RNG = np.random.default_rng(3)
MODES = ["bilinear", "nearest", "bicubic"]
PADDINGS = ["zeros", "border", "reflection"]


def keys(t, a=-0.75):
    t = abs(t)
    near, far = (a + 2) * t**3 - (a + 3) * t**2 + 1, a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
    return near if t <= 1 else far if t < 2 else 0.0


def reflected(p, size, align_corners):
    """A place folded at the ends, one fold at a time."""
    low, high = (0.0, size - 1.0) if align_corners else (-0.5, size - 0.5)
    while not low <= p <= high and high > low:
        p = 2 * low - p if p < low else 2 * high - p
    return p if high > low else 0.0


def moved(p, size, padding, align_corners):
    p = reflected(p, size, align_corners) if padding == "reflection" else p
    return p if padding == "zeros" else min(max(p, 0.0), size - 1.0)


def along(p, size, mode, padding, align_corners):
    """{pixel: weight} on one axis."""
    found = {}
    if mode == "bicubic":
        pairs = [(moved(q, size, padding, align_corners), keys(p - q)) for q in range(math.floor(p) - 1, math.floor(p) + 3)]
    else:
        p = moved(p, size, padding, align_corners)
        q = math.floor(p)
        pairs = [(round(p), 1.0)] if mode == "nearest" else [(q, q + 1 - p), (q + 1, p - q)]
    for q, weight in pairs:
        if 0 <= q < size:
            found[int(q)] = found.get(int(q), 0.0) + weight
    return found


def sampled(x, grid, mode, padding, align_corners):
    y = np.zeros((len(x), x.shape[1], *grid.shape[1:-1]))
    for n, *place in np.ndindex(grid.shape[:-1]):
        axes = []
        for size, c in zip(x.shape[2:], grid[(n, *place)][::-1].tolist(), strict=True):
            p = (c + 1) / 2 * (size - 1) if align_corners else ((c + 1) * size - 1) / 2
            axes.append(along(p, size, mode, padding, align_corners).items())
        for corner in itertools.product(*axes):
            pixel, weights = zip(*corner, strict=True)
            y[(n, slice(None), *place)] += math.prod(weights) * x[(n, slice(None), *pixel)]
    return y


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("axes", [2, 3])
def test_grid_sample(axes, mode, padding, align_corners):
    if (axes, mode) == (3, "bicubic"):
        with pytest.raises(ValueError, match="bicubic takes an input"):
            F.grid_sample(np.ones((1, 1, 2, 2, 2)), np.ones((1, 1, 1, 1, 3)), mode)
        return
    for sizes in [(3, 4, 2)[:axes], (1, 2, 5)[:axes]]:
        x, grid = RNG.standard_normal((2, 3, *sizes)), RNG.uniform(-2.5, 2.5, (2, *(2, 3, 2)[:axes], axes))
        y = F.grid_sample(x, grid, mode, padding, align_corners)
        np.testing.assert_allclose(y, sampled(x, grid, mode, padding, align_corners), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("mode", MODES)
def test_gradients_equal_differences(mode, padding):
    x, grid = mv.Tensor(RNG.standard_normal((2, 2, 3, 4)), True), mv.Tensor(RNG.uniform(-1.7, 1.7, (2, 3, 2, 2)), True)
    dy = RNG.standard_normal((2, 2, 3, 2))
    F.grid_sample(x, grid, mode, padding).backward(dy)
    dx, dgrid = RNG.standard_normal(x.shape), RNG.standard_normal(grid.shape)

    def at(step):
        return np.sum(dy * F.grid_sample(x.data + step * dx, grid.data + step * dgrid, mode, padding))

    expected = (at(1e-6) - at(-1e-6)) / 2e-6
    assert np.sum(x.grad.data * dx) + np.sum(grid.grad.data * dgrid) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_the_identity_gives_the_image_back_and_a_mirror_mirrors_it(mode, align_corners):
    x = RNG.standard_normal((2, 3, 4, 5))
    for across in (1.0, -1.0):
        theta = np.tile([[across, 0.0, 0.0], [0.0, 1.0, 0.0]], (2, 1, 1))
        y = F.grid_sample(x, F.affine_grid(theta, x.shape, align_corners), mode, align_corners=align_corners)
        np.testing.assert_allclose(y, x[..., :: int(across)], atol=1e-12)


def test_a_shift_by_two_pixels():
    x = RNG.standard_normal((1, 1, 3, 5))
    theta = np.array([[[1.0, 0.0, 2 * 2 / 5], [0.0, 1.0, 0.0]]])  # a pixel is 2 / W wide
    y = F.grid_sample(x, F.affine_grid(theta, x.shape))
    np.testing.assert_allclose(y[..., :3], x[..., 2:], atol=1e-12)
    np.testing.assert_allclose(y[..., 3:], 0.0, atol=1e-12)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("sizes", [(3, 4), (1, 2), (2, 3, 4), (2, 1, 1)])
def test_affine_grid(sizes, align_corners):
    theta = RNG.standard_normal((2, len(sizes), len(sizes) + 1))
    grid = F.affine_grid(theta, (2, 7, *sizes), align_corners)
    for n, *place in np.ndindex(2, *sizes):
        middle = [
            (2 * i / (s - 1) - 1 if s > 1 else 0.0) if align_corners else (2 * i + 1) / s - 1
            for i, s in zip(place, sizes, strict=True)
        ]
        np.testing.assert_allclose(grid[(n, *place)], theta[n] @ [*middle[::-1], 1.0], atol=1e-14)


def test_affine_grid_is_linear_in_theta():
    theta = mv.Tensor(RNG.standard_normal((2, 2, 3)), requires_grad=True)
    grid = F.affine_grid(theta, (2, 1, 3, 4))
    dgrid = RNG.standard_normal(grid.shape)
    grid.backward(dgrid)
    assert np.sum(grid.data * dgrid) == pytest.approx(np.sum(theta.data * theta.grad.data), rel=1e-12)


def test_the_border_stops_the_gradient():
    grid = mv.Tensor(np.array([[[[-1.5, 0.2], [0.1, 1.2], [-1.0, 1.0]]]]), requires_grad=True)
    y = F.grid_sample(RNG.standard_normal((1, 1, 4, 4)), grid, padding_mode="border", align_corners=True)
    y.sum().backward()
    assert (grid.grad.data == 0).tolist() == [[[[True, False], [False, True], [True, True]]]]


def test_far_away_and_nowhere():
    x = np.ones((1, 2, 3, 3), np.float32)
    far = np.array([[[[1e30, 0.0], [0.0, -1e9]]]], np.float32)
    for mode, padding in itertools.product(MODES, PADDINGS):
        expected = 0.0 if padding == "zeros" else 1.0
        np.testing.assert_allclose(F.grid_sample(x, far, mode, padding), np.full((1, 2, 1, 2), expected), atol=1e-6)
        nowhere = F.grid_sample(x, np.full((1, 1, 1, 2), np.nan, np.float32), mode, padding)
        assert np.isnan(nowhere).all() if mode != "nearest" else (nowhere == 0).all()


def test_nan_in_the_image_reaches_only_the_points_beside_it():
    x = np.zeros((1, 1, 1, 5))
    x[..., 2] = np.nan
    grid = np.stack([np.array([-0.9, -0.3, -0.1, 0.1, 0.3, 0.9]), np.zeros(6)], -1)[None, None]
    np.testing.assert_array_equal(np.isnan(F.grid_sample(x, grid))[0, 0, 0], [False, True, True, True, True, False])


def test_no_images_and_no_points():
    assert F.grid_sample(np.ones((0, 2, 3, 3)), np.ones((0, 4, 5, 2))).shape == (0, 2, 4, 5)
    assert F.grid_sample(np.ones((1, 2, 3, 3)), np.ones((1, 0, 5, 2))).shape == (1, 2, 0, 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, g: F.grid_sample(x, g, "cubic"), "mode is one of bilinear, nearest, bicubic; .* got 'cubic', 'zeros'"),
        (lambda x, g: F.grid_sample(x, g, padding_mode="wrap"), "padding_mode one of zeros, border, reflection; got .*'wrap'"),
        (lambda x, g: F.grid_sample(x, g[..., :1]), r"input should be \(N, C, H, W\) with a grid \(N, P, Q, 2\)"),
        (lambda x, g: F.grid_sample(x, g[:1]), "input should be"),
        (lambda x, g: F.grid_sample(x[0], g), "input should be"),
        (lambda x, g: F.grid_sample(x[:, :, :0], g), "input should be"),
        (lambda x, g: F.affine_grid(np.ones((2, 2, 2)), (2, 1, 3, 3)), r"theta should be \(N, 2, 3\) for a size \(N, C, H, W\)"),
        (lambda x, g: F.affine_grid(np.ones((1, 2, 3)), (2, 1, 3, 3)), "theta should be"),
        (lambda x, g: F.affine_grid(np.ones((2, 2, 3)), (2, 1, 0, 3)), "all sizes above 0"),
        (lambda x, g: mv.ops.sample.sample(x, g[:, 0], np.array([0, 2])), "images are numbered from 0 to 1, got 0 to 2"),
        (lambda x, g: mv.ops.sample.sample(x[..., 0], g[:, 0], np.array([0, 1])), "points have 2 coordinates, so x should be"),
    ],
)  # fmt: skip
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((2, 3, 4, 4)), np.zeros((2, 5, 5, 2)))


def test_element_types_must_agree():
    with pytest.raises(mv.DtypeError, match="element types must agree"):
        F.grid_sample(np.ones((1, 1, 2, 2), np.float32), np.zeros((1, 1, 1, 2)))
