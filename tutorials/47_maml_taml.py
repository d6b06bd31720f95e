r"""
MAML and TAML: a good start, for which tasks?
=============================================

Ten points of a curve are too few to learn it from nothing, and enough for one who has seen a thousand such curves. MAML (Finn
et al. 2017) trains the *start* of gradient descent, the weights from which one step on a new task leads far. TAML (Jamal and Qi
2019) wants that start to be fair: as bad at every task as at any other, or undecided. We derive the gradient through a gradient
step, train starts for sinusoids, and measure what gets more even and what that costs.

:Prerequisites: :doc:`02_gradients`, :doc:`07_optimisers`
"""

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import inequality, lesson, meta, nn, optim

mv.set_num_threads(1)  # so small a network is not worth a second thread
rng = np.random.default_rng(0)

# %%
# The gradient of a step
# ----------------------
#
# A task gives a support to adapt to, with the loss :math:`L_i`, and a query to be judged by, with :math:`L'_i`. MAML goes down
# the loss after a step as a function of where the step began. By the chain rule, with the Jacobian of the step,
#
# .. math:: \theta_i = \theta - \alpha \nabla L_i(\theta), \qquad
#           \nabla_\theta L'_i(\theta_i) = \bigl(I - \alpha \nabla^2 L_i(\theta)\bigr)\, \nabla L'_i(\theta_i) .
#
# For linear regression all of it is known: :math:`\nabla L = H \theta - b`, :math:`H = 2 X^T X / n`, :math:`b = 2 X^T y / n`.
# *First-order* MAML (section 5.2) takes the Jacobian for :math:`I`, and saves the second derivatives.


def meta_gradient(theta, tasks, alpha, first_order=False):
    found = []
    for X, y, X_query, y_query in tasks:
        (H, b), (H_q, b_q) = ((2 * A.T @ A / len(A), 2 * A.T @ z[:, 0] / len(A)) for A, z in ((X, y), (X_query, y_query)))
        after = theta - alpha * (H @ theta - b)
        found.append((np.eye(len(theta)) - (not first_order) * alpha * H) @ (H_q @ after - b_q))
    return np.mean(found, axis=0)


def library(theta, first_order=False):  # meta.maml runs `adapt` in each task, and the tape goes back through its steps
    model.load_state_dict({"weight": theta[None]})
    return meta.maml(model, F.mse_loss, tasks, 0.1, first_order=first_order)


model, theta = nn.Linear(4, 1, bias=False).double(), rng.standard_normal(4)
tasks = [meta.Task(*(rng.standard_normal(shape) for shape in [(6, 4), (6, 1)] * 2)) for _ in range(5)]
for first in (False, True):
    found = mv.grad(library(theta, first), model.weight).numpy()[0]
    np.testing.assert_allclose(meta_gradient(theta, tasks, 0.1, first), found, rtol=1e-10)
differences = [(library(theta + d).item() - library(theta - d).item()) / 2e-4 for d in 1e-4 * np.eye(4)]
np.testing.assert_allclose(meta_gradient(theta, tasks, 0.1), differences, rtol=1e-6)
for alpha in (0.01, 0.1):
    exact, first = meta_gradient(theta, tasks, alpha), meta_gradient(theta, tasks, alpha, first_order=True)
    print(f"alpha {alpha}: the first-order gradient is {np.linalg.norm(first - exact) / np.linalg.norm(exact):.0%} off")

# %%
# Tasks side by side
# ------------------
#
# The paper's small problem (section 5.1): :math:`y = A \sin(x - \varphi)`, amplitude and phase drawn for each task, ten points,
# a step of 0.01, two hidden layers of 40. ``meta.maml`` takes task after task, and of operations so small most is Python's own
# time. So each task gets a copy of the weights, along an axis of its own: the sum of all losses has in each copy that task's
# gradient. One more axis trains R starts side by side.


def network(theta, x):  # weights (R, T, inputs, outputs) and biases (R, T, 1, outputs) in turn; x (T, n, inputs)
    for layer in range(0, len(theta), 2):
        x = (F.relu(x) if layer else x) @ theta[layer] + theta[layer + 1]
    return x


def squares(outputs, y):  # (R, T, n, 1) -> (R, T)
    return ((outputs - y) ** 2).mean((-2, -1))


def adapting(start, tasks, alpha, steps=1, second=1.0, record=False):  # outputs and losses of 0 .. steps steps
    theta = [p.expand(len(p), len(tasks.support_x), *p.shape[2:]) for p in start]  # (R, 1, ...) -> (R, T, ...)
    outputs = [network(theta, tasks.query_x)]
    for _ in range(steps):
        loss = squares(network(theta, tasks.support_x), tasks.support_y).sum()
        found = mv.grad(loss, theta, create_graph=record, retain_graph=True)
        theta = [p - alpha * (second * g + (1 - second) * g.detach()) for p, g in zip(theta, found, strict=True)]
        outputs.append(network(theta, tasks.query_x))
    return outputs, np.stack([squares(output, tasks.query_y) for output in outputs])  # steps + 1 of (R, T, n, 1) and of (R, T)


def begun(seed, runs):  # new layers, the same for all runs
    mv.manual_seed(seed)
    drawn = [p.numpy().T for sizes in ((1, 40), (40, 40), (40, 1)) for p in nn.Linear(*sizes).parameters()]
    return [mv.tensor(np.tile(np.atleast_2d(p), (runs, 1, 1, 1)), requires_grad=True) for p in drawn]


start, tasks = begun(0, 1), meta.sinusoids(4, 10, 0)
mv.manual_seed(0)
model = nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1))
theirs = mv.grad(meta.maml(model, F.mse_loss, tasks, 0.01), list(model.parameters()))
mine = mv.grad(adapting(start, meta.side_by_side(tasks), 0.01, record=True)[1][1].mean(), start)
for one, other in zip(mine, theirs, strict=True):
    np.testing.assert_allclose(one.numpy()[0, 0], other.numpy().T.reshape(one.shape[2:]), rtol=1e-3, atol=1e-5)

# %%
# From each of three random starts, and on the same tasks, a network is trained jointly (on the loss without a step), by MAML,
# by first-order MAML, and with TAML's terms, to which we come; by Adam, with a rate from 0.01 to 0, far shorter than the paper's.

MEASURES = {"Theil": inequality.theil, "Gini": inequality.gini}
SEEDS, STEPS, TASKS, FRESH = (2, 3, 4, 20) if lesson.quick() else (3, 900, 10, 300)
RUNS = [("joint", 0), ("MAML", 0), ("first-order MAML", 0), *((name, weight) for name in MEASURES for weight in (0.3, 1, 3))]
joint, first = (np.float32([name == way for name, _ in RUNS]) for way in ("joint", "first-order MAML"))


def sinusoid_loss(start):  # runs share no weight: in the gradient of the sum each has its own
    tasks = meta.side_by_side(meta.sinusoids(TASKS, 10, rng))  # four arrays (T, n, 1)
    found = adapting(start, tasks, 0.01, second=1 - first[:, None, None, None], record=True)[1]  # (2, R, T)
    unequal = sum(weight * MEASURES[name](found[0, r]) for r, (name, weight) in enumerate(RUNS) if weight)
    return (np.stack([joint, 1 - joint]) * found.mean(2)).sum() + unequal


def descend(start, loss, steps):
    optimiser = optim.Adam(start)
    for now in range(steps):
        optimiser.param_groups[0]["lr"] = 0.01 * (1 - now / steps)
        optimiser.zero_grad()
        loss(start).backward()
        optimiser.step()
    return start


learned = [descend(begun(seed, len(RUNS)), sinusoid_loss, STEPS) for seed in range(SEEDS)]
held, fresh = (meta.side_by_side(meta.sinusoids(FRESH, 10, seed, query=50)) for seed in (100, 101))
line, ALPHAS, mean = np.linspace(-5, 5, 200, dtype=np.float32)[None, :, None], (0.003, 0.01, 0.02), {}
figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.9), layout="constrained")
for r, name in enumerate(("random", "joint", "MAML", "first-order MAML")):
    starts = [[p[r - 1 : r] for p in start] if r else begun(seed, 1) for seed, start in enumerate(learned)]
    with np.errstate(over="ignore", invalid="ignore"):  # where a step is too long
        tried = [np.mean([adapting(start, held, alpha, 5)[1].numpy() for start in starts]) for alpha in ALPHAS]
    alpha = ALPHAS[np.nanargmin(tried)]
    mean[name] = np.array([adapting(start, fresh, alpha, 5)[1].numpy().mean((1, 2)) for start in starts])  # (S, 6)
    print(f"{name}, steps of {alpha}: loss", ", ".join(f"{mean[name][:, k].round(2)} after {k}" for k in (0, 1, 5)))
    axes[2].plot(mean[name].T, f"C{r}.-", linewidth=1, label=[name, *["_"] * (SEEDS - 1)])
    if name in ("joint", "MAML"):
        curves = adapting(starts[0], meta.Task(fresh.support_x[:1], fresh.support_y[:1], line, line), 0.01)[0]
        axes[r - 1].plot(fresh.support_x[0], fresh.support_y[0], "ko", markersize=4, label="ten points")
        axes[r - 1].plot(line.ravel(), np.stack(curves).numpy()[:, 0, 0, :, 0].T, label=["the start", "after a step"])
        axes[r - 1].set(title=name, xlabel="x", ylim=(-5.5, 11))
axes[2].set(title=f"Fresh tasks, {SEEDS} seeds", xlabel="steps", ylabel="mean squared error", ylim=(0, 8))
for axis in axes:
    axis.legend(fontsize=8)
assert lesson.quick() or mean["MAML"][:, 1].max() < mean["joint"][:, 5].min()

# %%
# The two starts are nearly one curve, and as far from a fresh task. What differs is where a step leads.
#
# How unequal?
# ------------
#
# TAML measures the losses :math:`l_1 \dots l_M` of the start on M tasks as economists do incomes. With the mean :math:`m` and
# :math:`x_k = l_k / m`, and :math:`\overline{\,\cdot\,}` a mean over the tasks:
#
# .. math:: T = \overline{x \ln x}, \quad GE_a = \frac{\overline{x^a} - 1}{a (a - 1)}, \quad
#           A_e = 1 - \bigl(\overline{x^{1-e}}\bigr)^{1/(1-e)}, \quad
#           G = \tfrac12 \overline{|x_i - x_j|}, \quad V = \operatorname{var} \ln l,
#
# by Theil, generalised entropy, Atkinson, Gini, and the variance of logarithms. As :math:`\partial x_j / \partial l_k =
# (\delta_{jk} - x_j / M) / m`, Theil's gradient is :math:`(\ln x_k - T) / (M m)`: a loss below :math:`m e^T` is to *grow*.

given = rng.gamma(1, 1, 7)
x, m = given / given.mean(), given.mean()
np.testing.assert_allclose((np.log(x) - np.mean(x * np.log(x))) / (7 * m), inequality.theil_gradient(given), rtol=1e-12)
np.testing.assert_allclose(inequality.generalised_entropy(given, 2), (given.std() / m) ** 2 / 2, rtol=1e-12)
np.testing.assert_allclose(inequality.generalised_entropy(given, 1 + 1e-9), inequality.theil(given), rtol=1e-8)
np.testing.assert_allclose(inequality.gini(given), (2 * np.arange(1, 8) - 8) @ np.sort(x) / 49, rtol=1e-12)
ratios, added, pair = np.linspace(1, 12, 50), np.linspace(0, 6, 50), np.array([1.0, 8.0])
figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.8), layout="constrained", sharey=True)
for name in ("theil", "generalised_entropy", "atkinson", "gini", "variance_of_logs"):
    measure, gradient = getattr(inequality, name), getattr(inequality, f"{name}_gradient")(given)
    tensor = mv.tensor(given, requires_grad=True)
    np.testing.assert_allclose(gradient, mv.grad(measure(tensor), tensor).numpy(), rtol=1e-10, atol=1e-13)
    assert measure(np.full(7, 3.0)) == 0 < measure(given) == measure(8 * given)
    assert abs(gradient @ given) < 1e-12  # for it stays the same where all losses grow alike
    axes[0].plot(ratios, [measure(np.array([1, r])) for r in ratios], label=name.replace("_", " "))
    axes[1].plot(added, [measure(pair + more) for more in added])
axes[0].set(xlabel="one task's loss over another's", ylabel="inequality", ylim=(0, 1))
axes[1].set(xlabel="added to two losses, 1 and 8")
axes[0].legend(fontsize=8)

# %%
# All are relative, and on the right is a way out: make every task worse, and the losses are more equal.
#
# To MAML's loss TAML adds a measure of the losses before the step, times a weight. Two of three weights are chosen on held-out
# tasks: the best adapted, and the most even.

scores = [np.stack([adapting(start, tasks, 0.01)[1].numpy() for start in learned], 1) for tasks in (held, fresh)]
figure, axes = plt.subplots(1, 2, figsize=(7.2, 3), layout="constrained")
told, lower = [], []
for name, measure in MEASURES.items():
    index_held, index = (np.apply_along_axis(measure, -1, score[0]) for score in scores)  # (2, S, R, T) -> (S, R)
    options = [r for r, (term, _) in enumerate(RUNS) if term == name]
    for why, cost in {"best adapted": scores[0][1].mean((0, 2)), "most even": index_held.mean(0)}.items():
        r = min(options, key=cost.__getitem__)
        lower.append(np.sum(index[:, r] < index[:, 1]))
        pairs = [index[:, [1, r]], *(f(score[:, [1, r]], -1) for score in scores[1] for f in (np.std, np.mean))]  # MAML's, its
        was = [" -> ".join(f"{value:.2f}" for value in pair.mean(0)) for pair in pairs]
        told.append(f"{name} x {RUNS[r][1]}, {why} on held-out tasks: index {was[0]} (lower for {lower[-1]} of {SEEDS} seeds), "
                    f"standard deviation {was[1]}, mean {was[2]}; after a step deviation {was[3]}, mean {was[4]}")  # fmt: skip
    axes[1].plot(*np.array([index.mean(0), scores[1][1].mean((0, 2))])[:, [1, *options]], "o-", label=f"{name} x 0 .. 3")
    if name == "Theil":
        heights = np.abs(fresh.query_y[..., 0]).max(1)
        axes[0].plot(heights, scores[1][0, 0, [1, r]].T, ".", markersize=4, label=["MAML", f"{name} x {RUNS[r][1]}"])
        thirds = [scores[1][0][:, [1, r]][..., part].mean((0, 2)).round(1) for part in np.array_split(heights.argsort(), 3)]
        print("loss before the step, by MAML and with Theil, of tasks with low, middle and high curves:", *thirds)
        assert lesson.quick() or np.all(np.diff(thirds) > 0)
axes[0].set(xlabel="largest |y| of a task", ylabel="its loss before the step")
axes[1].set(xlabel="index of the losses before the step", ylabel="mean loss after it", ylim=(0, None))
axes[0].legend(fontsize=8)
axes[1].legend(fontsize=8)
lesson.claim(
    "L7",
    "by its own measures, which are relative, and by levelling down. Losses of a start on fresh tasks: " + " | ".join(told),
    "holds at this scale" if min(lower[1::2]) == SEEDS else "does not hold here",
)

# %%
# Even, but by levelling down: all thirds of the tasks begin worse than by MAML, those with low curves most of all. The step
# pays for it. A weight that costs nothing after the step does next to nothing before it.
#
# Undecided
# ---------
#
# For classification TAML has another term, :math:`H(\theta_i) - H(\theta)`: the outputs' entropy, high before the step and low
# after it. For :math:`p = \operatorname{softmax} z`, :math:`\partial H / \partial z_c = -p_c (\ln p_c + H)`. This sums to zero:
# to climb is to take from classes with :math:`\ln p_c > -H`, the loud ones, and to give to the others.

z = rng.standard_normal((4, 3))
p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
H = -(p * np.log(p)).sum(1, keepdims=True)
np.testing.assert_allclose(-p * (np.log(p) + H) / len(z), meta.entropy_gradient(z), rtol=1e-12, atol=1e-15)
assert meta.entropy(z) < meta.entropy(z + meta.entropy_gradient(z)) < np.log(3)

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``maml-adapt``: steps that can be differentiated. ``maml-loss``: the loss after
# them. ``taml-theil``, ``taml-atkinson``, ``taml-gini``: gradients of inequality. ``taml-entropy``: of being undecided.
