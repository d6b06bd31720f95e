"""DeiT's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision import functional as F
from minivision import models
from minivision.models.deit import hard_distillation_loss, soft_distillation_loss

LABELS, B, C = np.array([3, 0, 4]), 3, 5


def numbers(name, shape=(B, C)):
    """Logits by rule, that a gradient is wanted of."""
    return mv.tensor(2.0 * noise(name, shape).astype(np.float64), requires_grad=True)


def softmax(z):
    """Along the last axis."""
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def one_hot(labels):
    """(B) -> (B, C)"""
    return np.eye(C)[labels]


def digits(**overrides):
    """The small model in evaluation mode, and images."""
    model = fill(mv.create_model("deit_digits", **overrides).double()).eval()
    return model, mv.tensor(noise("input", (B, *model.config.input_shape)).astype(np.float64))


# ------------------------------------------------------------------------------------------------------ the network


@pytest.mark.parametrize("size", ["tiny", "small", "base"])
def test_the_token_costs_two_rows_and_a_head(size):
    plain, distilled = (models.entry(f"deit_{size}_{kind}patch16_224") for kind in ("", "distilled_"))
    D = distilled.config.embed_dim
    assert distilled.params - plain.params == D + D + 1000 * (D + 1)
    T, L = 197, distilled.config.depth
    assert distilled.macs - plain.macs == L * (12 * D * D + 2 * (2 * T + 1) * D) + 1000 * D


def test_the_two_tokens_differ_by_their_weights_alone():
    """Everything of one token given to the other changes nothing but the order of the two answers."""
    model, x = digits(distilled_training=True)
    mean = model(x).numpy()
    first, second = (y.numpy() for y in model.train()(x))
    state = model.state_dict()
    state["cls_token"], state["dist_token"] = state["dist_token"], state["cls_token"]
    state["pos_embed"][:, [0, 1]] = state["pos_embed"][:, [1, 0]]
    for end in ("weight", "bias"):
        state[f"head.{end}"], state[f"head_dist.{end}"] = state[f"head_dist.{end}"], state[f"head.{end}"]
    model.load_state_dict(state)
    exchanged = [y.numpy() for y in model(x)]
    np.testing.assert_allclose(exchanged, [second, first], rtol=0, atol=1e-13)
    assert np.abs(first - second).max() > 0.1
    np.testing.assert_allclose(mean, (first + second) / 2, rtol=0, atol=1e-13)


def test_both_heads_answer_in_distilled_training_alone():
    model, x = digits(distilled_training=True)
    assert model(x).shape == (B, 10)
    assert [y.shape for y in model.train()(x)] == [(B, 10)] * 2
    assert digits()[0].train()(x).shape == (B, 10)


def test_a_checkpoint_of_another_resolution_keeps_both_tokens_positions():
    """And where all patches have one position, the new ones have it too: neither token is taken for a patch."""
    state = digits()[0].state_dict()
    state["pos_embed"][:, 2:] = state["pos_embed"][:, 2:3]
    model = mv.create_model("deit_digits", img_size=(12, 16)).double()
    model.load_state_dict(state)
    found = model.pos_embed.numpy()
    assert found.shape == (1, 2 + 6 * 8, 64)
    np.testing.assert_array_equal(found[:, :2], state["pos_embed"][:, :2])
    np.testing.assert_allclose(found[:, 2:], np.broadcast_to(state["pos_embed"][:, 2:3], (1, 48, 64)), rtol=0, atol=1e-14)


def test_without_classes_the_model_gives_the_mean_of_the_tokens():
    features, x = digits(num_classes=0)
    tokens = features.forward_features(x).numpy()
    np.testing.assert_allclose(features(x).numpy(), tokens[:, :2].mean(1), rtol=0, atol=1e-14)
    classes, _ = digits()
    np.testing.assert_allclose(
        classes.forward_head(mv.tensor(tokens), pre_logits=True).numpy(), tokens[:, :2].mean(1), rtol=0, atol=1e-14
    )


# ------------------------------------------------------------------------------------------------------- the losses


@pytest.mark.parametrize(("tau", "lam"), [(1.0, 0.5), (3.0, 0.1), (0.7, 1.0)])
def test_the_soft_loss_and_its_gradient_in_closed_form(tau, lam):
    """d/dZ_dist = lam tau (softmax(Z_dist / tau) - softmax(Z_t / tau)) / B, d/dZ_class = (1 - lam) (softmax - one hot) / B."""
    by_class, by_teacher, teacher = numbers("class"), numbers("dist"), numbers("teacher")
    loss = soft_distillation_loss((by_class, by_teacher), LABELS, teacher, tau, lam)
    p, q = softmax(by_teacher.numpy() / tau), softmax(teacher.numpy() / tau)
    kl = (q * np.log(q / p)).sum() / B
    ce = -np.log(softmax(by_class.numpy())[np.arange(B), LABELS]).mean()
    assert loss.item() == pytest.approx((1 - lam) * ce + lam * tau**2 * kl, rel=1e-13)
    loss.backward()
    np.testing.assert_allclose(by_teacher.grad.numpy(), lam * tau * (p - q) / B, atol=1e-15)
    np.testing.assert_allclose(by_class.grad.numpy(), (1 - lam) * (softmax(by_class.numpy()) - one_hot(LABELS)) / B, atol=1e-15)
    assert teacher.grad is None


def test_a_hot_soft_loss_is_half_the_square_of_the_logits_difference():
    """tau^2 KL -> |d - mean(d)|^2 / (2 C), d = Z_dist - Z_t, its error falls as 1 / tau (Hinton et al. 2015, eq. 4)."""
    student, teacher = numbers("dist"), numbers("teacher")
    d = student.numpy() - teacher.numpy()
    limit = ((d - d.mean(-1, keepdims=True)) ** 2).sum() / (2 * C * B)
    errors = [soft_distillation_loss(student, LABELS, teacher, tau, 1.0).item() - limit for tau in (1e3, 2e3, 4e3)]
    assert errors[0] / errors[1] == pytest.approx(2.0, rel=0.02)
    assert errors[1] / errors[2] == pytest.approx(2.0, rel=0.01)


def test_the_hard_loss_is_two_cross_entropies():
    by_class, by_teacher, teacher = numbers("class"), numbers("dist"), numbers("teacher")
    decided = teacher.numpy().argmax(-1)
    assert not np.array_equal(decided, LABELS)
    loss = hard_distillation_loss((by_class, by_teacher), LABELS, teacher)
    loss.backward()
    for z, labels in (by_class, LABELS), (by_teacher, decided):
        np.testing.assert_allclose(z.grad.numpy(), 0.5 * (softmax(z.numpy()) - one_hot(labels)) / B, atol=1e-15)
    ce = [-np.log(softmax(z.numpy())[np.arange(B), t]).mean() for z, t in ((by_class, LABELS), (by_teacher, decided))]
    assert loss.item() == pytest.approx(sum(ce) / 2, rel=1e-14)
    other = mv.tensor(np.exp(teacher.numpy()))  # a teacher that decides the same
    assert hard_distillation_loss((by_class, by_teacher), LABELS, other).item() == loss.item()


def test_the_losses_of_a_student_without_the_token():
    """One head learns both: the loss is that of two equal ones, and its gradient their sum."""
    student, teacher = numbers("dist"), numbers("teacher")
    for loss in (soft_distillation_loss, hard_distillation_loss):
        pair = numbers("dist"), numbers("dist")
        one, two = loss(student, LABELS, teacher), loss(pair, LABELS, teacher)
        assert one.item() == two.item()
        two.backward()
        (found,) = mv.grad(one, [student])
        np.testing.assert_allclose(found.numpy(), pair[0].grad.numpy() + pair[1].grad.numpy(), atol=1e-16)


def test_a_student_that_agrees_learns_the_labels_alone():
    teacher = numbers("teacher")
    loss = soft_distillation_loss((numbers("class"), teacher), LABELS, teacher, lam=0.25, label_smoothing=0.1)
    assert loss.item() == pytest.approx(0.75 * F.cross_entropy(numbers("class"), LABELS, label_smoothing=0.1).item(), rel=1e-14)


# ------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"tau": 0.0}, "the temperature tau must be above 0, got 0"),
        ({"lam": 1.5}, "lam is the teacher's share of the loss, from 0 to 1, got 1.5"),
        ({"teacher_logits": numbers("t", (B, C + 1))}, r"logits are \(3, 5\), its teacher's \(3, 6\)"),
        ({"logits": [numbers("a")] * 3}, "logits are those of two heads, or of one, got 3"),
    ],
)
def test_a_loss_that_cannot_be_taken(wrong, told):
    given = {"logits": numbers("a"), "labels": LABELS, "teacher_logits": numbers("t")}
    with pytest.raises(ValueError, match=told):
        soft_distillation_loss(**(given | wrong))


def test_a_configuration_that_cannot_be_built():
    with pytest.raises(ValueError, match="global_pool is \"token\", got 'avg'"):
        mv.create_model("deit_digits", global_pool="avg")
