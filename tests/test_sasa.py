"""Stand-alone self-attention's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision.errors import ShapeError
from minivision.models.sasa import AttentionStem, LocalAttention


def layer(inputs=8, outputs=8, window=3, heads=2):
    """One with its state by rule, in float64."""
    return fill(LocalAttention(inputs, outputs, window, heads).to(np.float64))


def image(*shape):
    """A map in float64."""
    return noise("x", shape).astype(np.float64)


def pointwise(conv, x):
    """A 1 x 1 convolution of (C, H, W)."""
    return np.einsum("oi,ihw->ohw", conv.weight.numpy()[:, :, 0, 0], x)


def softmax(logits):
    """Of a vector."""
    e = np.exp(logits - logits.max())
    return e / e.sum()


@pytest.mark.parametrize("window", [3, 4, 5])
def test_it_is_the_sum_of_equation_3(window):
    """Pixel by pixel and head by head, with a dot product for each logit and zeros for what lies outside of the image."""
    made, x, heads = layer(window=window), image(1, 8, 4, 5), 2
    q, k, v = (pointwise(conv, x[0]) for conv in (made.query_conv, made.key_conv, made.value_conv))
    rows, columns = made.rel_h.numpy().reshape(heads, 2, window), made.rel_w.numpy().reshape(heads, 2, window)
    wanted = np.zeros((8, 4, 5))
    for head, i, j in np.ndindex(heads, 4, 5):
        own = slice(4 * head, 4 * head + 4)
        logits, values = [], []
        for a, b in np.ndindex(window, window):
            y, x_ = i + a - window // 2, j + b - window // 2
            inside = 0 <= y < 4 and 0 <= x_ < 5
            key, value = (k[own, y, x_], v[own, y, x_]) if inside else (np.zeros(4), np.zeros(4))
            r = np.concatenate([rows[head, :, a], columns[head, :, b]])
            logits.append(q[own, i, j] @ key + q[own, i, j] @ r)
            values.append(value)
        wanted[own, i, j] = softmax(np.array(logits)) @ np.array(values)
    np.testing.assert_allclose(made(mv.tensor(x)).numpy()[0], wanted, atol=1e-13)


@pytest.mark.parametrize("window", [3, 5, 7, 9, 11])
def test_parameters_hardly_depend_on_the_window(window):
    """3 D^2 + k D; a convolution has k^2 D^2. Section 5.3: windows of 3 to 11."""
    D = 64
    found = mv.profile(LocalAttention(D, D, window, 8), (D, 4, 4)).parameters
    assert found == 3 * D * D + window * D
    assert found < 1.1 * mv.profile(LocalAttention(D, D, 3, 8), (D, 4, 4)).parameters < 1.1 * 9 * D * D


def test_inside_it_is_translation_equivariant():
    """A map moved by a pixel moves what comes out, to rounding, where no window meets the border."""
    made, x = layer(window=5), image(2, 8, 9, 9)
    first, moved = (made(mv.tensor(each)).numpy() for each in (x, np.roll(x, (1, 1), (2, 3))))
    np.testing.assert_allclose(moved[:, :, 3:-2, 3:-2], first[:, :, 2:-3, 2:-3], atol=1e-14)
    assert np.abs(moved[:, :, 1:, 1:] - first[:, :, :-1, :-1]).max() > 1e-3  # at the border zeros take part


def test_a_pixel_sees_its_window_and_no_more():
    made, x = layer(window=5), mv.tensor(image(1, 8, 9, 9), requires_grad=True)
    made(x)[0, :, 4, 4].sum().backward()
    seen = np.abs(x.grad.numpy()[0]).sum(0) > 0
    wanted = np.zeros((9, 9), bool)
    wanted[2:7, 2:7] = True
    np.testing.assert_array_equal(seen, wanted)


def test_without_offsets_it_does_not_know_where_a_pixel_stands():
    """Only r tells the pixels of a window apart: without it their order is all the same to it."""
    made, x = layer(window=3), image(1, 8, 3, 3)
    shuffled = x.copy()
    shuffled[:, :, [0, 0, 2], [0, 1, 1]] = x[:, :, [2, 0, 0], [1, 0, 1]]
    centre = [made(mv.tensor(each)).numpy()[:, :, 1, 1] for each in (x, shuffled)]
    assert np.abs(centre[0] - centre[1]).max() > 1e-3
    made.load_state_dict({"rel_h": np.zeros((4, 1, 1, 3, 1)), "rel_w": np.zeros((4, 1, 1, 1, 3))}, strict=False)
    centre = [made(mv.tensor(each)).numpy()[:, :, 1, 1] for each in (x, shuffled)]
    np.testing.assert_allclose(centre[0], centre[1], atol=1e-14)


def test_the_stem_mixes_values_by_their_place_in_the_window():
    """Section 3.2.2 as it is written: a matrix for every place of the window, then attention; zeros around the image."""
    made, x = fill(AttentionStem(3, 6).to(np.float64)), image(1, 3, 4, 5)
    q, k, *v = (pointwise(conv, x[0]) for conv in (made.query_conv, made.key_conv, *made.value_conv))
    nu, rows, columns = made.emb_mix.numpy(), made.emb_a.numpy(), made.emb_b.numpy()
    wanted = np.zeros((6, 4, 5))
    for i, j in np.ndindex(4, 5):
        logits, values = [], []
        for a, b in np.ndindex(4, 4):
            y, x_, shares = i + a - 2, j + b - 2, softmax(nu @ (rows[:, a] + columns[:, b]))
            inside = 0 <= y < 4 and 0 <= x_ < 5
            logits.append(q[:, i, j] @ k[:, y, x_] if inside else 0.0)
            values.append(sum(p * each[:, y, x_] for p, each in zip(shares, v, strict=True)) if inside else np.zeros(6))
        wanted[:, i, j] = softmax(np.array(logits)) @ np.array(values)
    np.testing.assert_allclose(made(mv.tensor(x)).numpy()[0], wanted, atol=1e-13)


def test_the_stem_s_mixture_is_one_of_shares():
    """Equal value matrices make the mixture the plain values, whatever the embeddings are."""
    made, x = fill(AttentionStem(3, 8).to(np.float64)), mv.tensor(image(2, 3, 6, 6))
    np.testing.assert_allclose(made.mixture().numpy().sum(0), np.ones((4, 4)), atol=1e-15)
    same = {f"value_conv.{m}.weight": made.value_conv[0].weight.numpy() for m in range(4)}
    made.load_state_dict(same, strict=False)
    first = made(x).numpy()
    made.load_state_dict({"emb_mix": -3.0 * made.emb_mix.numpy()}, strict=False)
    np.testing.assert_allclose(made(x).numpy(), first, atol=1e-14)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="8 channels should be a multiple of 2 x 8 heads; change widths or heads"):
        LocalAttention(8, 8, 3, 8)
    with pytest.raises(ValueError, match="stem is one of conv, attention, cifar, got 'patch'"):
        mv.create_model("sasa_digits", stem="patch")
    with pytest.raises(ValueError, match="depths and widths are as many as the stages"):
        mv.create_model("sasa_digits", depths=(1,))
    with pytest.raises(ShapeError, match="sides of multiples of 2 pixels, got 9 x 8"):
        mv.create_model("sasa_digits")(mv.tensor(noise("x", (1, 1, 9, 8))))
