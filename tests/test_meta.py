"""Meta-learning: the gradient through the inner steps in closed form and by differences, TAML's terms, sinusoids."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minivision as mv
from minivision import functional as F
from minivision import inequality, meta, nn, optim
from minivision.gradcheck import differences
from minivision.nn.utils import functional_call

EPS = np.finfo(np.float64).eps


def mlp(inputs=1, width=6, outputs=1, seed=0):
    mv.manual_seed(seed)
    return nn.Sequential(nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, outputs)).double()


def classification(count, seed=0, classes=3):
    rng = np.random.default_rng(seed)
    return [
        meta.Task(*(rng.standard_normal((5, 2)) if i % 2 == 0 else rng.integers(0, classes, 5) for i in range(4)))
        for _ in range(count)
    ]


# ---------------------------------------------------------------------------------------------- linear regression, by hand


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("first_order", [False, True])
def test_the_gradient_on_linear_regression_is_the_closed_form(steps, first_order):
    """L(w) = |X w - y|^2 / n: a step is w <- w - lr (H w - b), H = 2 X^T X / n, b = 2 X^T y / n; its Jacobian is I - lr H."""
    rng, lr, D = np.random.default_rng(1), 0.1, 4
    model = nn.Linear(D, 1, bias=False).double()
    tasks = [meta.Task(*(rng.standard_normal(shape) for shape in [(5, D), (5, 1), (7, D), (7, 1)])) for _ in range(3)]
    w = model.weight.data[0].copy()
    values, gradients = [], []
    for X, y, X_q, y_q in tasks:
        H, b = 2.0 * X.T @ X / len(X), 2.0 * X.T @ y[:, 0] / len(X)
        v = w
        for _ in range(steps):
            v = v - lr * (H @ v - b)
        outer = 2.0 * X_q.T @ (X_q @ v - y_q[:, 0]) / len(X_q)
        through = np.eye(D) if first_order else np.linalg.matrix_power(np.eye(D) - lr * H, steps)
        values.append(np.mean((X_q @ v - y_q[:, 0]) ** 2))
        gradients.append(through @ outer)
    value = meta.maml(model, F.mse_loss, tasks, lr, steps, first_order)
    value.backward()
    np.testing.assert_allclose(value.data, np.mean(values), rtol=100 * EPS)
    np.testing.assert_allclose(
        model.weight.grad.data[0], np.mean(gradients, axis=0), rtol=0, atol=200 * EPS * np.max(np.abs(gradients))
    )
    np.testing.assert_array_equal(model.weight.data[0], w)


# ---------------------------------------------------------------------------------------------------- by central differences


def check_meta_gradient(model, objective, atol=1e-6):
    """The gradient by the tape, of every parameter's every element, against central differences."""
    objective().backward()
    for name, p in model.named_parameters():
        with mv.no_grad():
            expected = differences(lambda: np.array([float(objective())]), p.data, 1e-6)
        np.testing.assert_allclose(p.grad.data.ravel(), expected[0], rtol=0, atol=atol, err_msg=name)
    return {name: p.grad.data.copy() for name, p in model.named_parameters()}


@pytest.mark.parametrize("steps", [1, 2])
def test_maml_by_differences(steps):
    model, tasks = mlp(), meta.sinusoids(2, 4, 0, dtype=np.float64)
    exact = check_meta_gradient(model, lambda: meta.maml(model, F.mse_loss, tasks, 0.1, steps))
    model.zero_grad()
    meta.maml(model, F.mse_loss, tasks, 0.1, steps, first_order=True).backward()
    assert max(np.abs(p.grad.data - exact[name]).max() for name, p in model.named_parameters()) > 1e-2, "the second order counts"


MEASURES = [inequality.theil, inequality.generalised_entropy, inequality.atkinson, inequality.gini, inequality.variance_of_logs]


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.__name__)
def test_inequality_taml_by_differences(measure):
    model, tasks = mlp(width=3), meta.sinusoids(3, 4, 1, dtype=np.float64)
    check_meta_gradient(model, lambda: meta.inequality_taml(meta.episodes(model, F.mse_loss, tasks, 0.05), 1.5, measure))


def test_entropy_taml_by_differences():
    model, tasks = mlp(2, 3, 3), classification(2)
    check_meta_gradient(model, lambda: meta.entropy_taml(meta.episodes(model, F.cross_entropy, tasks, 0.4, 2), 0.7))


def test_a_convolutional_network_with_batch_normalisation_by_differences():
    """The paper's layers, of which there are fewer here: convolution, batch norm, activation, pool; a smooth activation."""
    mv.manual_seed(0)
    layers = nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2, track_running_stats=False), nn.GELU(), nn.AvgPool2d(2)
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, 2)).double()
    rng = np.random.default_rng(2)
    images = [rng.standard_normal((3, 1, 4, 4)) for _ in range(2)]
    tasks = [meta.Task(images[0], np.array([0, 1, 1]), images[1], np.array([1, 0, 1]))]
    check_meta_gradient(model, lambda: meta.maml(model, F.cross_entropy, tasks, 0.4))


# --------------------------------------------------------------------------------------------------------- what adapt gives


def test_adapting_is_gradient_descent_and_leaves_the_model_alone():
    model, (task,) = mlp(), meta.sinusoids(1, 6, 3, dtype=np.float64)
    before = model.state_dict()
    theta = meta.adapt(model, F.mse_loss, task.support_x, task.support_y, 0.05, 3)
    assert all(p.grad is None for p in model.parameters())
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(values, before[name])
    optimiser = optim.SGD(model.parameters(), lr=0.05)
    for _ in range(3):
        optimiser.zero_grad()
        F.mse_loss(model(task.support_x), task.support_y).backward()
        optimiser.step()
    for name, values in model.state_dict().items():
        np.testing.assert_allclose(theta[name].data, values, rtol=0, atol=20 * EPS)


def test_without_recording_it_gives_the_same_numbers_and_no_graph():
    model, (task,) = mlp(), meta.sinusoids(1, 6, 3, dtype=np.float64)
    recorded = meta.adapt(model, F.mse_loss, task.support_x, task.support_y, 0.05, 2)
    with mv.no_grad():
        plain = meta.adapt(model, F.mse_loss, task.support_x, task.support_y, 0.05, 2)
        found = meta.episodes(model, F.mse_loss, [task], 0.05, 2)
    for name, p in plain.items():
        np.testing.assert_array_equal(p.data, recorded[name].data)
        assert p.node is None
    assert not found.final.requires_grad
    assert float(found.final[0]) == float(F.mse_loss(functional_call(model, plain, (task.query_x,)), task.query_y))


def test_what_requires_no_gradient_stays():
    model, (task,) = mlp(), meta.sinusoids(1, 6, 3, dtype=np.float64)
    model[0].requires_grad_(False)
    theta = meta.adapt(model, F.mse_loss, task.support_x, task.support_y, 0.05)
    assert set(theta) == {"2.weight", "2.bias"}


def test_episodes_are_mamls_and_without_steps_nothing_changes():
    model, tasks = mlp(2, 4, 3), classification(4)
    found = meta.episodes(model, F.cross_entropy, tasks, 0.4, 2)
    assert float(found.final.mean()) == float(meta.maml(model, F.cross_entropy, tasks, 0.4, 2))
    still = meta.episodes(model, F.cross_entropy, tasks, 0.4, 0)
    np.testing.assert_array_equal(still.initial.data, found.initial.data)
    np.testing.assert_array_equal(still.final.data, found.initial.data)
    assert float(meta.entropy_taml(still, 5.0)) == float(still.final.mean())
    with pytest.raises(ValueError, match="a task at least"):
        meta.maml(model, F.cross_entropy, [], 0.4)


# ------------------------------------------------------------------------------------------------------ entropy, sinusoids


def test_entropy_and_its_gradient():
    logits = np.random.default_rng(0).standard_normal((4, 5)) * 3.0
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(meta.entropy(logits), -np.sum(p * np.log(p)) / 4, rtol=20 * EPS)
    assert math.isclose(meta.entropy(np.full((2, 7), 9.0)), math.log(7), rel_tol=20 * EPS)
    assert abs(meta.entropy(np.array([[0.0, 900.0]]))) == 0.0
    tensor = mv.tensor(logits, requires_grad=True)
    meta.entropy(tensor).backward()
    np.testing.assert_allclose(tensor.grad.data, meta.entropy_gradient(logits), rtol=0, atol=20 * EPS)
    assert mv.gradcheck(meta.entropy, mv.tensor(logits, requires_grad=True), second_order=True)


def test_sinusoids_are_what_the_paper_says():
    tasks = meta.sinusoids(400, 5, 0, query=3, dtype=np.float64)
    found = []
    for task in tasks:
        assert [np.shape(each) for each in task] == [(5, 1), (5, 1), (3, 1), (3, 1)]
        x, y = np.concatenate([task.support_x, task.query_x])[:, 0], np.concatenate([task.support_y, task.query_y])[:, 0]
        (a, b), *_ = np.linalg.lstsq(np.stack([np.sin(x), np.cos(x)], axis=1), y, rcond=None)  # A cos phase, -A sin phase
        np.testing.assert_allclose(a * np.sin(x) + b * np.cos(x), y, atol=1e-12)
        assert np.abs(x).max() <= 5.0
        found.append((np.hypot(a, b), np.arctan2(-b, a)))
    amplitudes, phases = np.array(found).T
    for values, low, high in [(amplitudes, 0.1, 5.0), (phases, 0.0, np.pi)]:
        ranks = (np.sort(values) - low) / (high - low)  # uniform: Kolmogorov and Smirnov's distance
        assert np.abs(ranks - (np.arange(400) + 0.5) / 400).max() < 1.95 / 20 + 1 / 800  # of one in a thousand
        assert -1e-9 < ranks[0] < ranks[-1] < 1.0 + 1e-9
    again = meta.sinusoids(400, 5, np.random.default_rng(0), query=3, dtype=np.float64)
    assert all(np.array_equal(a, b) for one, other in zip(tasks, again, strict=True) for a, b in zip(one, other, strict=True))
    together = meta.side_by_side(tasks)
    assert [each.shape for each in together] == [(400, 5, 1), (400, 5, 1), (400, 3, 1), (400, 3, 1)]
    np.testing.assert_array_equal(together.query_y[7], tasks[7].query_y)
    assert meta.sinusoids(1, 5, 0)[0].query_y.shape == (5, 1)
    assert meta.sinusoids(1, 5, 0)[0].query_y.dtype == np.float32


@pytest.mark.parametrize("shuffle", [True, False])
def test_few_way_tasks_are_of_different_classes_and_examples(shuffle):
    labels = np.random.default_rng(0).permutation(np.repeat([2, 3, 5, 7], 6))
    x = np.stack([np.arange(24), labels], axis=1)  # (N, 2): which it is, and of which class
    orders = set()
    for task in meta.few_way(x, labels, 3, 2, 40, np.random.default_rng(1), query=4, shuffle=shuffle):
        assert [np.shape(each) for each in task] == [(6, 2), (6,), (12, 2), (12,)]
        both = np.concatenate([task.support_x, task.query_x])
        assert len(np.unique(both[:, 0])) == 18
        classes = task.support_x[::2, 1]
        np.testing.assert_array_equal(both[:, 1], classes[np.concatenate([task.support_y, task.query_y])])
        np.testing.assert_array_equal(task.support_y, [0, 0, 1, 1, 2, 2])
        orders.add(tuple(classes))
    assert len({tuple(sorted(order)) for order in orders}) == 4
    assert len(orders) == 4 if not shuffle else len(orders) > 4
    assert meta.few_way(x, labels, 2, 3, 1, 0)[0].query_y.shape == (6,)
    with pytest.raises(ValueError, match="5 classes of 2 examples are wanted, there are 4, the smallest of 6"):
        meta.few_way(x, labels, 5, 1, 1, 0)
    with pytest.raises(ValueError, match="2 classes of 8 examples"):
        meta.few_way(x, labels, 2, 4, 1, 0)


def test_a_start_is_learned_from_which_one_step_leads_far():
    mv.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1))
    optimiser, rng = optim.Adam(model.parameters(), lr=1e-2), np.random.default_rng(0)
    unseen = meta.sinusoids(50, 10, 99)

    def after():
        with mv.no_grad():
            return float(meta.maml(model, F.mse_loss, unseen, 0.01))

    start = after()
    for _ in range(60):
        optimiser.zero_grad()
        meta.maml(model, F.mse_loss, meta.sinusoids(5, 10, rng), 0.01).backward()
        optimiser.step()
    assert after() < 0.8 * start
    with mv.no_grad():
        found = meta.episodes(model, F.mse_loss, unseen, 0.01)
    assert found.final.mean() < found.initial.mean()
