"""Attention: no mask, boolean and additive masks, causal, heads that broadcast, queries that see no key."""

from __future__ import annotations

import math

import numpy as np

from ...ops.attention import _attention_vjp, _scores
from ..case import Case, Mutant, normal, with_constants

QKV = ((2, 3, 2), (2, 4, 2), (2, 4, 3))
SOME = np.array([[True, False, True, True], [False, True, False, True], [True, True, True, False]])
BLIND = np.array([[True, False, True, True], [False, False, False, False], [True, True, True, False]])
SCALE = {"scale": 1.0 / math.sqrt(2.0)}


def _blind_additive(rng):
    return *normal(*QKV)(rng), np.where(BLIND, rng.standard_normal((3, 4)), -np.inf)


CASES = {
    "attention": [
        Case("no mask", with_constants(normal(*QKV), None), SCALE),
        Case("scale 1", with_constants(normal((3, 2), (4, 2), (4, 2)), None)),
        Case("boolean mask", with_constants(normal(*QKV), SOME), SCALE),
        Case("boolean mask, a query sees nothing", with_constants(normal(*QKV), BLIND), SCALE),
        Case("mask of each head", with_constants(normal(*QKV), np.stack([SOME, BLIND])), SCALE),
        Case("mask of keys", with_constants(normal(*QKV), SOME[0]), SCALE),
        Case("additive mask", normal(*QKV, (3, 4)), SCALE),
        Case("additive mask of each head", normal(*QKV, (2, 3, 4)), SCALE),
        Case("additive mask of keys", normal(*QKV, (2, 1, 4)), SCALE),
        Case("additive mask, a query sees nothing", _blind_additive, SCALE),
        Case("causal", with_constants(normal(*QKV), None), {"causal": True, **SCALE}),
        Case("causal, fewer keys", with_constants(normal((4, 2), (2, 2), (2, 1)), None), {"causal": True, **SCALE}),
        Case("causal and additive mask", normal(*QKV, (3, 4)), {"causal": True, **SCALE}),
        Case("keys shared by all heads", with_constants(normal((2, 2, 2), (1, 3, 2), (3, 2)), None), SCALE),
        Case("queries shared by all heads", with_constants(normal((2, 2), (2, 3, 2), (2, 3, 1)), None), SCALE),
        Case("scores far apart", with_constants(normal(*QKV), None), {"scale": 4.0}),
        Case("one key", with_constants(normal((2, 2), (1, 2), (1, 3)), None), SCALE),
        Case("no queries", with_constants(normal((0, 2), (3, 2), (3, 2)), None), SCALE),
    ]
}


def _scale_dropped(dy, kept, *, causal=False, scale=1.0):
    dq, dk, dv, dmask = _attention_vjp(dy, kept, causal=causal, scale=scale)
    return dq / scale, dk / scale, dv, dmask


def _no_inner_product(dy, kept, *, causal=False, scale=1.0):
    """The row term <dy, y> left out: y is told to be 0."""
    q, k, v, mask, y, lse = kept
    return _attention_vjp(dy, (q, k, v, mask, np.zeros_like(y), lse), causal=causal, scale=scale)


def _causal_forgotten(dy, kept, *, causal=False, scale=1.0):
    return _attention_vjp(dy, kept, causal=False, scale=scale)


def _mask_gradient_scaled(dy, kept, *, causal=False, scale=1.0):
    dq, dk, dv, dmask = _attention_vjp(dy, kept, causal=causal, scale=scale)
    return dq, dk, dv, None if dmask is None else dmask * scale


def _scale_after_softmax(q, k, v, mask, *, causal=False, scale=1.0):
    """A definition that scales the weights in place of the scores."""
    s = _scores(q, k, mask, causal, 1.0)
    top = np.max(s, axis=-1, keepdims=True)
    e = np.exp(s - np.where(np.isfinite(top), top, 0.0))
    total = np.where(e.sum(-1, keepdims=True) == 0, 1.0, e.sum(-1, keepdims=True))
    y = scale * (e @ v) / total
    return y, (q, k, v, mask, y, np.squeeze(np.log(total) + np.where(np.isfinite(top), top, np.inf), -1))


MUTANTS = {
    "attention": [
        Mutant("scale dropped", _scale_dropped),
        Mutant("the inner product <dy, y> forgotten", _no_inner_product),
        Mutant("the future seen on the way back", _causal_forgotten),
        Mutant("the mask's cotangent scaled", _mask_gradient_scaled),
        Mutant("weights scaled in place of scores", definition=_scale_after_softmax),
    ]
}
