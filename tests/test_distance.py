"""Similarities, distances, and the losses made of them, against loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minivision as mv
import minivision.functional as F
from minivision import nn

RNG = np.random.default_rng(1)
A, B, C = (RNG.standard_normal((4, 3)) for _ in range(3))


def leaf(x):
    return mv.tensor(np.array(x), requires_grad=True)


def norm(v, p=2.0):
    return max(map(abs, v)) if p == math.inf else math.fsum(abs(u) ** p for u in v) ** (1 / p)


def cos(u, v):
    return math.fsum(x * y for x, y in zip(u, v, strict=True)) / (norm(u) * norm(v))


def test_cosine_similarity():
    np.testing.assert_allclose(F.cosine_similarity(A, B), [cos(u, v) for u, v in zip(A, B, strict=True)], rtol=1e-13)
    np.testing.assert_allclose(F.cosine_similarity(A, B, dim=0), [cos(u, v) for u, v in zip(A.T, B.T, strict=True)], rtol=1e-13)
    assert F.cosine_similarity(A[:, None], B[None], dim=-1).shape == (4, 4)
    x = leaf(np.zeros((1, 3)))
    y = F.cosine_similarity(x, B[:1])
    y.backward(np.ones(1))
    assert y.item() == 0.0
    assert np.isfinite(x.grad.data).all()
    assert nn.CosineSimilarity(dim=0)(A, B).shape == (3,)


@pytest.mark.parametrize("p", [0.5, 1, 2, 3.5, math.inf])
def test_pairwise_distance(p):
    expected = [norm(u - v + 1e-6, p) for u, v in zip(A, B, strict=True)]
    np.testing.assert_allclose(F.pairwise_distance(A, B, p), expected, rtol=1e-13)
    np.testing.assert_allclose(nn.PairwiseDistance(p, keepdim=True)(A, B), np.array(expected)[:, None], rtol=1e-13)
    x = leaf(A)
    assert mv.gradcheck(lambda x: F.pairwise_distance(x, B, p, eps=0.0), x)


@pytest.mark.parametrize("p", [0, 0.5, 1, 2, 3.5])
def test_no_distance_has_no_slope(p):
    x = leaf(A)
    d = F.pairwise_distance(x, A, p, eps=0.0)
    d.sum().backward()
    np.testing.assert_array_equal(d.data, np.zeros(4))
    np.testing.assert_array_equal(x.grad.data, np.zeros((4, 3)))
    with pytest.raises(ValueError, match="p must not be below 0, got -1"):
        F.pairwise_distance(A, B, -1)


def test_cosine_embedding_loss():
    target, each = np.array([1, -1, -1, 1]), []
    for u, v, t in zip(A, B, target, strict=True):
        each.append(1 - cos(u, v) if t == 1 else max(0.0, cos(u, v) + 0.5))
    np.testing.assert_allclose(F.cosine_embedding_loss(A, B, target, -0.5, "none"), each, rtol=1e-11)
    assert math.isclose(nn.CosineEmbeddingLoss(-0.5)(A, B, target), np.mean(each), rel_tol=1e-11)
    one = F.cosine_embedding_loss(A[0], B[0], np.array(1), reduction="none")
    assert math.isclose(one, each[0], rel_tol=1e-11)
    with pytest.raises(mv.ShapeError, match="target has 2 axes"):
        F.cosine_embedding_loss(A, B, target[:, None])


def test_margin_ranking_loss():
    x, y, t = np.array([1.0, 2.0, 3.0]), np.array([2.0, 1.5, 3.0]), np.array([1.0, 1.0, -1.0])
    np.testing.assert_allclose(F.margin_ranking_loss(x, y, t, 0.25, "none"), [1.25, 0.0, 0.25])
    assert math.isclose(nn.MarginRankingLoss(0.25)(x, y, t), 0.5)
    x = leaf(x)
    F.margin_ranking_loss(x, y, t, reduction="sum").backward()
    np.testing.assert_array_equal(x.grad.data, [-1.0, 0.0, 1.0])  # at the corner the slope of the violated side


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("p", [1, 2])
def test_triplet_margin_loss(p, swap):
    each = []
    for a, b, c in zip(A, B, C, strict=True):
        far = norm(a - c + 1e-6, p)
        far = min(far, norm(b - c + 1e-6, p)) if swap else far
        each.append(max(0.0, norm(a - b + 1e-6, p) - far + 0.75))
    np.testing.assert_allclose(F.triplet_margin_loss(A, B, C, 0.75, p, swap=swap, reduction="none"), each, rtol=1e-12)
    assert math.isclose(nn.TripletMarginLoss(0.75, p, swap=swap)(A, B, C), np.mean(each), rel_tol=1e-12)
    with pytest.raises(ValueError, match="margin must be above 0, got 0"):
        F.triplet_margin_loss(A, B, C, 0)


def info_nce_rows(query, keys, temperature):
    rows = []
    for i, q in enumerate(query):
        scores = [cos(q, k) / temperature for k in keys]
        rows.append(math.log(math.fsum(math.exp(s) for s in scores)) - scores[i])
    return rows


def test_info_nce():
    """van den Oord et al. 2018, eq. 4, over unit vectors; symmetric as in CLIP's figure 3."""
    rows, columns = info_nce_rows(A, B, 0.5), info_nce_rows(B, A, 0.5)
    np.testing.assert_allclose(F.info_nce(A, B, 0.5, reduction="none"), rows, rtol=1e-13)
    both = F.info_nce(A, B, 0.5, symmetric=True)
    assert math.isclose(both, (np.mean(rows) + np.mean(columns)) / 2, rel_tol=1e-13)
    more = np.concatenate([B, C])
    np.testing.assert_allclose(F.info_nce(A, more, 0.5, reduction="none"), info_nce_rows(A, more, 0.5), rtol=1e-13)
    units = (A / np.linalg.norm(A, axis=1, keepdims=True), B / np.linalg.norm(B, axis=1, keepdims=True))
    assert math.isclose(F.info_nce(*units, 0.5, normalize=False), np.mean(rows), rel_tol=1e-13)
    identical = np.ones((8, 3))
    assert math.isclose(F.info_nce(identical, identical), math.log(8), rel_tol=1e-13)  # nothing to tell them apart by


def test_info_nce_learns_its_temperature_too():
    assert mv.gradcheck(lambda a, b, t: F.info_nce(a, b, np.exp(t), symmetric=True), [leaf(A), leaf(B), leaf(-0.5)])
    for arguments in [(A, B[:3]), (A[0], B[0])]:
        with pytest.raises(mv.ShapeError, match="do not pair up"):
            F.info_nce(*arguments)
    with pytest.raises(mv.ShapeError, match="symmetric asks for M = N"):
        F.info_nce(A, np.concatenate([B, C]), symmetric=True)
    with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
        F.info_nce(A, B, 0)
