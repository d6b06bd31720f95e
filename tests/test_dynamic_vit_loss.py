"""DynamicViT's loss."""

from __future__ import annotations

import numpy as np
import pytest
from golden.weights import noise

import minivision as mv
from minivision.models.dynamic_vit import Sparsified, losses, total


def outputs():
    """Made-up outputs for two images of six patches, of which four and none are kept at last."""
    first, last = np.ones((2, 6)), np.array([[1.0, 0, 1, 1, 0, 1], [0.0] * 6])
    logits, features = noise("logits", (2, 5)).astype(np.float64), noise("tokens", (2, 6, 4)).astype(np.float64)
    leaves = [mv.tensor(each, requires_grad=True) for each in (logits, features, first, last)]
    return Sparsified(leaves[0], leaves[1], leaves[3].detach(), [leaves[2], leaves[3]])


def test_the_four_parts_in_closed_form():
    out, ratios = outputs(), (0.7, 0.49)
    teacher_logits, teacher_tokens = noise("teacher", (2, 5)).astype(np.float64), noise("t", (2, 6, 4)).astype(np.float64)
    parts = losses(out, np.array([1, 4]), teacher_logits, teacher_tokens, ratios)
    p, q = (np.exp(z) / np.exp(z).sum(-1, keepdims=True) for z in (out.logits.numpy(), teacher_logits))
    kept = out.kept.numpy() > 0
    wanted = {
        "labels": -np.log(p[[0, 1], [1, 4]]).mean(),
        "tokens": ((out.tokens.numpy() - teacher_tokens)[kept] ** 2).mean(),
        "logits": (q * np.log(q / p)).sum() / 2,
        "ratio": (0.3**2 + 0.3**2) / 4 + ((4 / 6 - 0.49) ** 2 + 0.49**2) / 4,
    }
    assert {name: part.item() for name, part in parts._asdict().items()} == pytest.approx(wanted, rel=1e-13)
    loss = total(parts)
    assert loss.item() == pytest.approx(wanted["labels"] + 0.5 * (wanted["tokens"] + wanted["logits"]) + 2 * wanted["ratio"])
    loss.backward()
    gradient = out.tokens.grad.numpy()
    np.testing.assert_allclose(gradient[kept], ((out.tokens.numpy() - teacher_tokens) / kept.sum() / 4)[kept], rtol=1e-13)
    assert not gradient[~kept].any()
    np.testing.assert_allclose(out.decisions[0].grad.numpy(), np.full((2, 6), 2 * 0.3 / 2 / 6), rtol=1e-13)


def test_the_parts_are_0_where_there_is_nothing_to_learn():
    out = outputs()
    parts = losses(out, np.array([1, 4]), out.logits, out.tokens, (1.0, 1 / 3))
    assert (parts.tokens.item(), parts.logits.item()) == (0.0, 0.0)
    assert parts.ratio.item() == pytest.approx(((2 / 3 - 1 / 3) ** 2 + (1 / 3) ** 2) / 4)
    none = out._replace(kept=mv.tensor(np.zeros((2, 6))))
    assert losses(none, np.array([1, 4]), out.logits, out.tokens + 1.0, (1.0, 0.5)).tokens.item() == 0.0


def test_a_loss_without_a_ratio_for_every_stage():
    out = outputs()
    with pytest.raises(ValueError, match=r"a ratio for each of the 2 stages, got \(0.7,\)"):
        losses(out, np.array([1, 4]), out.logits, out.tokens, (0.7,))
