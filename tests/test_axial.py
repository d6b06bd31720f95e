"""Axial attention's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision.errors import ShapeError
from minivision.models.axial import AxialAttention

H, W = 5, 7


def axes(channels=8, groups=2):
    """One attention along the columns and one along the rows of H x W pixels, states by rule, in float64, for evaluation."""
    settings = ("height", H, False), ("width", W, True)
    made = [AxialAttention(channels, channels, groups, span, width=width) for _, span, width in settings]
    for layer, (name, _, _) in zip(made, settings, strict=True):
        fill(layer.to(np.float64).eval())
        layer.load_state_dict({"relative": noise(name, layer.relative.shape).astype(np.float64)}, strict=False)
    return made


def image(*shape):
    """A map in float64."""
    return noise("x", shape).astype(np.float64)


def without_content(layer):
    """Queries and keys are the same for all pixels, values are the pixels, and what the table adds to values is left out."""
    C, G, c = layer.groups * layer.channels, layer.groups, layer.channels
    row = np.arange(2 * C) % (2 * c)
    values = np.zeros((2 * C, C, 1))
    values[np.flatnonzero(row >= c), np.arange(C)] = 1.0
    unit = 1.0 - layer.bn_qkv.eps  # a variance that the norm divides by 1 for
    layer.load_state_dict({
        "qkv_transform.weight": values,
        "bn_qkv.weight": np.where(row >= c, 1.0, 0.0), "bn_qkv.bias": np.where(row >= c, 0.0, noise("constant", row.shape)),
        "bn_qkv.running_mean": np.zeros(2 * C), "bn_qkv.running_var": np.full(2 * C, unit),
        "bn_output.weight": np.arange(2 * C) % 2 == 0.0, "bn_output.bias": np.zeros(2 * C),
        "bn_output.running_mean": np.zeros(2 * C), "bn_output.running_var": np.full(2 * C, unit),
        "bn_similarity.running_mean": np.zeros(3 * G), "bn_similarity.running_var": np.full(3 * G, unit),
    }, strict=False)  # fmt: skip
    return layer


def test_without_content_two_axes_are_a_kronecker_product():
    """vec(A_H X A_W^T) = (A_H (x) A_W) vec(X) for every channel, A of the channel's group."""
    down, across = map(without_content, axes())
    x = mv.tensor(image(2, 8, H, W))
    found = across(down(x)).numpy()
    A_H, A_W = (layer.weights(*layer.heads(x)[:2]).numpy() for layer in (down, across))
    assert np.ptp(A_H, axis=0).max() < 1e-15  # the same in every line
    assert np.abs(A_H[0, 0] - A_H[0, 0, 0]).max() > 0.01  # and another one for every query
    for group in range(2):
        both = np.kron(A_H[0, group], A_W[0, group])  # (H W, H W)
        for channel in range(4 * group, 4 * group + 4):
            wanted = x.numpy()[:, channel].reshape(2, H * W) @ both.T
            np.testing.assert_allclose(found[:, channel].reshape(2, H * W), wanted, atol=1e-14)


def reach(layers, i, j):
    """From which pixels the result at (i, j) has a gradient."""
    x = mv.tensor(image(1, 8, H, W), requires_grad=True)
    y = x
    for layer in layers:
        y = layer(y)
    (y[0, :, i, j] * mv.tensor(image(8))).sum().backward()
    return np.abs(x.grad.numpy()[0]).sum(0) > 1e-12


@pytest.mark.parametrize(("i", "j"), [(0, 0), (2, 3), (H - 1, W - 1)])
def test_two_passes_make_a_path_between_any_two_pixels(i, j):
    down, across = axes()
    column, row = np.zeros((2, H, W), bool)
    column[:, j], row[i] = True, True
    np.testing.assert_array_equal(reach([down], i, j), column)
    np.testing.assert_array_equal(reach([across], i, j), row)
    assert reach([down, across], i, j).all()
    assert reach([across, down], i, j).all()


def test_it_is_the_sum_of_equation_4():
    """One line and group after the other, query by query, with all three tables at their relative positions."""
    layer, x = axes()[1], image(1, 8, 2, W)
    q, k, v = (part.numpy() for part in layer.heads(mv.tensor(x)))
    table = layer.relative.numpy()  # at p + span - 1 for the relative position p
    norm = layer.bn_similarity
    scale = norm.weight.numpy() / np.sqrt(norm.running_var.numpy() + norm.eps)
    shift = norm.bias.numpy() - norm.running_mean.numpy() * scale
    wanted = np.zeros((2, 2, 8, W))  # (row, group, sv and sve of a channel in turns, query)
    for row, group, i in np.ndindex(2, 2, W):
        logits = np.zeros(W)
        for j in range(W):
            to, back = table[:, i - j + W - 1], table[:, j - i + W - 1]
            query, key = q[row, group, :, i], k[row, group, :, j]
            for n, logit in enumerate((query @ key, query @ to[:2], key @ back[2:4])):
                logits[j] += logit * scale[2 * n + group] + shift[2 * n + group]
        p = np.exp(logits - logits.max())
        p /= p.sum()
        wanted[row, group, 0::2, i] = v[row, group] @ p
        wanted[row, group, 1::2, i] = sum(p[j] * table[4:, i - j + W - 1] for j in range(W))
    normed = layer.bn_output(mv.tensor(wanted.reshape(2, 16, W))).numpy()
    np.testing.assert_allclose(layer(mv.tensor(x)).numpy()[0], (normed[:, 0::2] + normed[:, 1::2]).transpose(1, 0, 2), atol=1e-13)


def test_the_cost_is_that_of_both_axes():
    """h w (h + w) products in place of (h w)^2: for each pair three logits of C / 2 and two values of C channels."""
    down, across = AxialAttention(8, 8, 2, H), AxialAttention(8, 8, 2, W, width=True)
    counted = sum(mv.profile(layer, (8, H, W)).macs - H * W * 8 * 16 for layer in (down, across))  # without q, k, v
    assert counted == H * W * (H + W) * (3 * 8 // 2 + 2 * 8)


def test_a_stride_is_a_mean_after_the_attention():
    layer, x = axes()[0], mv.tensor(image(2, 8, H, W))
    whole = layer(x).numpy()
    layer.stride = 2
    wanted = whole[:, :, :4, :6].reshape(2, 8, 2, 2, 3, 2).mean((3, 5))
    np.testing.assert_allclose(layer(x).numpy(), wanted, atol=1e-14)


def test_spans_follow_the_map():
    """224 pixels: 56, 56, 28 and 14 in the blocks that halve the map, and what they leave in the others."""
    model = mv.create_model("axial_resnet50s")
    stages = model.layer1, model.layer2, model.layer3, model.layer4
    assert [[block.hight_block.span for block in stage][:2] for stage in stages] == [[56, 56], [56, 28], [28, 14], [14, 7]]


def test_a_block_begins_as_its_shortcut():
    block = mv.create_model("axial_resnet26s", depths=(2,), img_size=32).layer1[1].eval()
    x = mv.tensor(noise("x", (1, 128, 8, 8)))
    np.testing.assert_array_equal(block(x).numpy(), np.maximum(x.numpy(), 0.0))


def test_the_repository_s_index_tables_are_left_out():
    model, other = (mv.create_model("axial_digits") for _ in range(2))
    state = {key: np.asarray(array) for key, array in fill(model).state_dict().items()}
    mv.load_weights(other, {**state, "layer1.0.hight_block.flatten_index": np.zeros(64, np.int64)})
    for key, array in other.state_dict().items():
        np.testing.assert_array_equal(array, state[key])


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="12 channels should be a multiple of 2 x 4 groups; change planes, scale or groups"):
        AxialAttention(12, 12, 4, 5)
    with pytest.raises(ValueError, match="img_size is a positive multiple of the last stage's stride 32, got 100"):
        mv.create_model("axial_resnet26s", img_size=100)
    with pytest.raises(ValueError, match="stem is one of conv, cifar, got 'axial'"):
        mv.create_model("axial_digits", stem="axial")
    with pytest.raises(ShapeError, match="x should be 8 high, got 16"):
        mv.create_model("axial_digits")(mv.tensor(noise("x", (1, 1, 16, 8))))
