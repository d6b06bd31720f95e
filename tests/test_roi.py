"""Regions of interest against loops over bins and samples, known regions, gradients; and boxes' overlaps and suppression."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minivision as mv
import minivision.functional as F
from minivision.functional import roi

RNG = np.random.default_rng(5)


def image(*shape):
    return RNG.standard_normal(shape)


def boxes(count, images=2, spread=9.0):
    """(K, 5), some of them reaching out of an image of 7 x 6, one of them turned inside out."""
    corners = np.sort(RNG.uniform(-3.0, spread, (count, 2, 2)), 1).reshape(count, 4)
    corners[0] = corners[0, [2, 3, 0, 1]]
    return np.concatenate([RNG.integers(0, images, (count, 1)), corners], 1)


def bilinear(x, y, across):
    """(C, H, W) at a point; up to a pixel outside the border counts, further out 0."""
    h, w = x.shape[1:]
    if not (-1 <= y <= h and -1 <= across <= w):
        return np.zeros(len(x))
    y, across = min(max(y, 0.0), h - 1.0), min(max(across, 0.0), w - 1.0)
    i, j = min(math.floor(y), max(h - 2, 0)), min(math.floor(across), max(w - 2, 0))
    t, s = y - i, across - j
    down, right = min(i + 1, h - 1), min(j + 1, w - 1)
    return (1 - t) * ((1 - s) * x[:, i, j] + s * x[:, i, right]) + t * ((1 - s) * x[:, down, j] + s * x[:, down, right])


def aligned_means(x, table, size, scale, ratio, aligned):
    y = np.zeros((len(table), x.shape[1], *size))
    for k, (n, *corners) in enumerate(table.tolist()):
        left, top, right, bottom = (c * scale - 0.5 * aligned for c in corners)
        height, width = (bottom - top, right - left) if aligned else (max(bottom - top, 1.0), max(right - left, 1.0))
        rows, columns = (ratio if ratio > 0 else max(math.ceil(a / b), 0) for a, b in zip((height, width), size, strict=True))
        for p, q in np.ndindex(*size):
            for i, j in np.ndindex(rows, columns):
                down, across = top + (p + (i + 0.5) / rows) * height / size[0], left + (q + (j + 0.5) / columns) * width / size[1]
                y[k, :, p, q] += bilinear(x[int(n)], down, across) / (rows * columns)
    return y


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [-1, 0, 1, 2, 3])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_roi_align(scale, ratio, aligned):
    for size in [(2, 3), (1, 1), (4, 2)]:
        x, table = image(2, 3, 7, 6), boxes(5, spread=9.0 / scale)
        y = F.roi_align(x, table, size, scale, ratio, aligned)
        np.testing.assert_allclose(y, aligned_means(x, table, size, scale, ratio, aligned), rtol=1e-11, atol=1e-11)


def pooled(x, table, size, scale):
    """Windows of whole pixels, the last included."""
    y = np.zeros((len(table), x.shape[1], *size))
    for k, (n, *corners) in enumerate(table.tolist()):
        left, top, right, bottom = (int(math.copysign(math.floor(abs(c * scale) + 0.5), c)) for c in corners)
        steps = max(bottom - top + 1, 1) / size[0], max(right - left + 1, 1) / size[1]
        for p, q in np.ndindex(*size):
            rows, columns = (
                range(max(0, math.floor(i * s) + first), min(n, math.ceil((i + 1) * s) + first))
                for i, s, first, n in zip((p, q), steps, (top, left), x.shape[2:], strict=True)
            )
            values = [x[int(n), :, i, j] for i in rows for j in columns]
            y[k, :, p, q] = np.max(values, axis=0) if values else 0.0
    return y


@pytest.mark.parametrize("scale", [1.0, 0.25])
@pytest.mark.parametrize("size", [(2, 3), (1, 1), (5, 4)])
def test_roi_pool(size, scale):
    x, table = image(2, 3, 7, 6), boxes(6, spread=9.0 / scale)
    np.testing.assert_array_equal(F.roi_pool(x, table, size, scale), pooled(x, table, size, scale))


@pytest.mark.parametrize("pool", [lambda x, b: F.roi_align(x, b, 2, 1.0, 2, True), lambda x, b: F.roi_pool(x, b, (2, 3))])
def test_gradients(pool):
    """Both are linear in the image, roi_pool where its largest pixels stay the largest: <y, dy> = <x, dx>."""
    x = mv.Tensor(image(2, 3, 7, 6), requires_grad=True)
    y = pool(x, boxes(5))
    dy = RNG.standard_normal(y.shape)
    y.backward(dy)
    assert np.sum(y.data * dy) == pytest.approx(np.sum(x.data * x.grad.data), rel=1e-11)


def test_the_whole_image_pixel_by_pixel_is_the_image():
    x = image(1, 2, 4, 5)
    whole = np.array([[0.0, 0.0, 0.0, 5.0, 4.0]])
    np.testing.assert_allclose(F.roi_align(x, whole, (4, 5), aligned=True), x, atol=1e-13)
    np.testing.assert_array_equal(F.roi_pool(x, whole - [0, 0, 0, 1, 1], (4, 5)), x)


def test_of_equal_pixels_the_first_takes_the_gradient():
    x = mv.Tensor(np.ones((1, 1, 4, 4)), requires_grad=True)
    F.roi_pool(x, np.array([[0.0, 0.0, 0.0, 3.0, 3.0]]), 2).sum().backward()
    expected = np.zeros((4, 4))
    expected[::2, ::2] = 1.0
    np.testing.assert_array_equal(x.grad.data[0, 0], expected)


@pytest.mark.parametrize("pool", [F.roi_align, F.roi_pool])
def test_a_list_of_boxes_for_each_image(pool):
    x, table = image(3, 2, 7, 6), boxes(6, images=3)
    table = table[np.argsort(table[:, 0], kind="stable")]
    parts = [table[table[:, 0] == n, 1:] for n in range(3)]
    np.testing.assert_array_equal(pool(x, parts, 2), pool(x, table, 2))
    np.testing.assert_array_equal(pool(mv.Tensor(x), mv.Tensor(table), 2).data, pool(x, table, 2))
    assert pool(x, [part[:0] for part in parts], (2, 3)).shape == (0, 2, 2, 3)
    assert pool(x.astype(np.float32), table.astype(np.float32), 2).dtype == np.float32


def test_many_regions_are_read_in_parts(monkeypatch):
    x, table = image(2, 3, 7, 6), boxes(8)
    together = F.roi_align(x, table, 2)
    monkeypatch.setattr(roi, "CHUNK", 200)
    np.testing.assert_array_equal(F.roi_align(x, table, 2), together)
    assert len(list(roi._chunks([(np.empty((30, 2)), None, 1)] * 8, 3))) == 4  # 90 elements each


@pytest.mark.parametrize("pool", [F.roi_align, F.roi_pool])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x, b: (x[0], b, 2), r"input should be \(N, C, H, W\)"),
        (lambda x, b: (x[:, :, :0], b, 2), r"input should be \(N, C, H, W\) with C, H and W above 0"),
        (lambda x, b: (x, b[:, 1:], 2), r"boxes should be \(K, 5\)"),
        (lambda x, b: (x, [b[:, 1:]], 2), r"a list of boxes holds 2 arrays \(L, 4\)"),
        (lambda x, b: (x, [b, b], 2), r"a list of boxes holds 2 arrays \(L, 4\)"),
        (lambda x, b: (x, b + np.eye(1, 5) * 2, 2), "images are numbered from 0 to 1"),
        (lambda x, b: (x, b * np.nan, 2), "boxes should be finite numbers"),
        (lambda x, b: (x, b, (0, 2)), r"output_size must be at least 1 x 1, got \(0, 2\)"),
        (lambda x, b: (x, b, (1, 2, 3)), "output_size is a whole number or a pair"),
    ],
)  # fmt: skip
def test_errors(pool, wrong, message):
    with pytest.raises(ValueError, match=message):
        pool(*wrong(np.ones((2, 1, 4, 4)), np.array([[1.0, 0, 0, 2, 2], [0, 1, 1, 3, 3]])))


# ------------------------------------------------------------------------------------------------------------- boxes


def overlap(a, b):
    """IoU of two boxes of whole numbers by counting cells."""
    cells = [{(i, j) for i in range(box[0], box[2]) for j in range(box[1], box[3])} for box in (a, b)]
    return len(cells[0] & cells[1]) / len(cells[0] | cells[1])


def whole_boxes(count):
    first = RNG.integers(0, 6, (count, 2))
    return np.concatenate([first, first + RNG.integers(1, 5, (count, 2))], 1)


def test_box_iou_counts_cells():
    a, b = whole_boxes(7), whole_boxes(5)
    expected = [[overlap(p, q) for q in b.tolist()] for p in a.tolist()]
    np.testing.assert_allclose(F.box_iou(a.astype(float), b.astype(float)), expected, rtol=1e-14)
    assert F.box_iou(a[:0].astype(float), b.astype(float)).shape == (0, 5)


def test_box_iou_can_be_learnt():
    a, b = mv.Tensor(np.array([[0.0, 0.0, 2.0, 2.0]]), requires_grad=True), np.array([[1.0, 1.0, 3.0, 4.0]])
    F.box_iou(a, b).sum().backward()
    i, u = 1.0, 4.0 + 6.0 - 1.0  # d(i / u) = (di - i du / u) / u
    moves = [(0.0, -2.0), (0.0, -2.0), (1.0, 2.0 - 1.0), (1.0, 2.0 - 1.0)]  # (di, du) of x1, y1, x2, y2
    np.testing.assert_allclose(a.grad.data[0], [(di - i * du / u) / u for di, du in moves], rtol=1e-14)


def kept_by_brute_force(table, scores, threshold):
    """Best first; a box stays if it overlaps none that stays."""
    kept = []
    for i in sorted(range(len(table)), key=lambda i: (-scores[i], i)):
        if all(overlap(table[i], table[j]) <= threshold for j in kept):
            kept.append(i)
    return kept


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 1.0])
def test_nms(threshold):
    for count in (0, 1, 12, 30):
        table, scores = whole_boxes(count), RNG.integers(0, 9, count) / 8.0  # some scores are equal
        kept = F.nms(table.astype(float), scores, threshold)
        assert kept.dtype == np.int64
        assert kept.tolist() == kept_by_brute_force(table.tolist(), scores.tolist(), threshold)


def test_nms_of_tensors_and_of_boxes_without_area():
    flat = mv.tensor([[1.0, 1.0, 1.0, 1.0]] * 3)
    assert F.nms(flat, mv.tensor([0.1, 0.3, 0.2]), 0.5).tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda b: F.box_iou(b[:, :3], b), r"boxes1 should be \(N, 4\), got \(5, 3\)"),
        (lambda b: F.box_iou(b, b[0]), r"boxes2 should be \(N, 4\), got \(4,\)"),
        (lambda b: F.nms(b[0], b[0], 0.5), r"boxes should be \(N, 4\)"),
        (lambda b: F.nms(b, np.ones(4), 0.5), r"scores should be \(5,\), one for each box"),
    ],
)
def test_errors_of_boxes(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((5, 4)))
