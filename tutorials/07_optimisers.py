r"""
Optimisers: momentum, Adam and schedules
========================================

A gradient says which way is down, but not how far to go, nor how the valley bends. Every optimiser is an answer to these two
silences. How much faster than plain descent can one be, and what decides it? On a quadratic valley all can be computed by hand,
step for step; so we do that first, and then let the same five rules loose on handwritten digits.

:Prerequisites: :doc:`02_gradients`
"""

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, nn, schedule

# %%
# Five rules in ten lines
# -----------------------
#
# A rule takes the gradient :math:`g`, the weights :math:`w` and what it remembers. Momentum sums up old gradients; Nesterov's
# momentum steps as if the same gradient came once more; Adam divides a mean of gradients by the root of a mean of their squares.


def sgd(g, w, memory, lr, momentum=0.0, nesterov=False):
    b = memory["b"] = momentum * memory.get("b", 0.0) + g
    return w - lr * (g + momentum * b if nesterov else b)


def adam(g, w, memory, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    t = memory["t"] = memory.get("t", 0) + 1
    m = memory["m"] = betas[0] * memory.get("m", 0.0) + (1 - betas[0]) * g
    v = memory["v"] = betas[1] * memory.get("v", 0.0) + (1 - betas[1]) * g * g
    step = m / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
    return (1 - lr * weight_decay) * w - lr * step


def walk(rule, gradient, w, steps, **settings):  # -> w_0, w_1, ..., w_steps
    path, memory = [np.array(w)], {}
    for _ in range(steps):
        path.append(rule(gradient(path[-1]), path[-1], memory, **settings))
    return np.array(path)


RULES = {"SGD": (sgd, mv.optim.SGD, {}), "momentum": (sgd, mv.optim.SGD, {"momentum": 0.9})}
RULES["Nesterov"] = sgd, mv.optim.SGD, {"momentum": 0.9, "nesterov": True}
RULES |= {"Adam": (adam, mv.optim.Adam, {}), "AdamW": (adam, mv.optim.AdamW, {"weight_decay": 0.05})}
rng = np.random.default_rng(0)
A = rng.standard_normal((8, 6))
for rule, library, settings in RULES.values():
    w = mv.tensor(np.ones(6), requires_grad=True)
    optimiser = library([w], lr=0.02, **settings)
    for mine in walk(rule, lambda w: A.T @ (A @ w), np.ones(6), 50, lr=0.02, **settings):
        np.testing.assert_allclose(mine, w.data, rtol=1e-9, atol=1e-12)
        optimiser.zero_grad()
        (((mv.tensor(A) @ w) ** 2).sum() / 2).backward()
        optimiser.step()

# %%
# Descent and momentum, to the last digit
# ---------------------------------------
#
# Near its minimum a smooth loss is a quadratic, :math:`\frac12 \sum_i \lambda_i w_i^2` along its principal curvatures. Descent
# takes :math:`w_i` to :math:`(1 - \eta\lambda_i)\, w_i`, which shrinks at the largest curvature :math:`L` only if
# :math:`\eta < 2/L`, and then is slow at the smallest, :math:`\mu`. The best step makes both ends equally slow:
#
# .. math:: 1 - \eta\mu = \eta L - 1 \;\Rightarrow\; \eta = \frac{2}{L + \mu}, \quad
#           \text{rate } \frac{\kappa - 1}{\kappa + 1}, \qquad \kappa = L/\mu .
#
# With *momentum*, :math:`w_t - w_{t-1} = -\eta b_{t-1}` makes it a recurrence of two steps, which powers :math:`z^t` solve:
#
# .. math:: w_{t+1} = (1 + \beta - \eta\lambda)\, w_t - \beta\, w_{t-1}, \qquad z^2 - (1 + \beta - \eta\lambda) z + \beta = 0 .
#
# The roots' product is :math:`\beta`. While they are complex both have size :math:`\sqrt\beta`, *whatever* :math:`\lambda` *is*,
# from :math:`\eta\lambda = (1 - \sqrt\beta)^2` to :math:`(1 + \sqrt\beta)^2`. Put :math:`\mu` and :math:`L` there (Polyak 1964):
#
# .. math:: \text{rate } \sqrt\beta = \frac{\sqrt\kappa - 1}{\sqrt\kappa + 1}, \qquad \eta = \frac{4}{(\sqrt L + \sqrt\mu)^2} .
#
# There the two roots are one, :math:`z = \pm\sqrt\beta`, and :math:`w_t = (1 + ct)\, z^t w_0` with :math:`c` from the first step.
# *Nesterov's* momentum with :math:`\eta = 1/L`, :math:`\beta = (\sqrt\kappa - 1)/(\sqrt\kappa + 1)` has such a root at
# :math:`\mu`, :math:`1 - 1/\sqrt\kappa`. Our valley is a real one: is a digit even? Least squares on the pixels that vary.

digits = mv.data.load("digits")
pixels = np.asarray(digits.train_images, np.float64).reshape(-1, 64)
pixels = pixels[:, pixels.std(0) > 0]  # (N, D)
even = np.where(digits.train_labels % 2 == 0, 1.0, -1.0)
H = pixels.T @ pixels / len(pixels) + 0.02 * np.eye(pixels.shape[1])
bottom = np.linalg.solve(H, pixels.T @ even / len(pixels))
curvatures, directions = mv.ops.linalg.eigenpairs(H)  # ascending
mu, L = curvatures[0], curvatures[-1]


def tuned(mu, L):  # -> settings, rate
    root, beta = np.sqrt(L / mu), (np.sqrt(L) - np.sqrt(mu)) / (np.sqrt(L) + np.sqrt(mu))
    return {
        "descent": ({"lr": 2 / (L + mu)}, (root**2 - 1) / (root**2 + 1)),
        "Nesterov": ({"lr": 1 / L, "momentum": beta, "nesterov": True}, 1 - 1 / root),
        "momentum": ({"lr": 4 / (np.sqrt(L) + np.sqrt(mu)) ** 2, "momentum": beta**2}, beta),
    }


figure, axes = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
t = np.arange(1501)
for name, (settings, rate) in tuned(mu, L).items():
    path = walk(sgd, lambda w: H @ (w - bottom), np.zeros_like(bottom), t[-1], **settings) - bottom
    slow, steep = (path @ directions)[:, [0, -1]].T  # along mu and along L
    for w, z in [(slow, rate)] + [(steep, -rate)] * (name != "Nesterov"):
        linear = 1 + (w[1] / w[0] / z - 1) * t  # 1 + ct; in plain descent c = 0
        np.testing.assert_allclose(w, linear * z**t * w[0], rtol=1e-6, atol=1e-12)
        measured = (w[150] / w[0] / linear[150]) ** (1 / 150)
        np.testing.assert_allclose(measured, rate, rtol=1e-9)
    far = np.linalg.norm(path, axis=1) / np.linalg.norm(bottom)
    print(f"{name:>8}: rate {measured:.6f}, by theory {rate:.6f}; {np.argmax(far < 1e-4) or 'more'} steps to 1/10,000")
    axes.semilogy(t, rate**t, ":", color=axes.semilogy(t, far, label=f"{name} (dotted: rate$^t$)")[0].get_color())
axes.set(title=f"Distance from the bottom, κ = {L / mu:.0f}", xlabel="step", ylabel="part of the first", ylim=(1e-9, 9))
axes.legend()

# %%
# Adam: means made fair, and blind to scale
# -----------------------------------------
#
# Adam's means start at nothing, so they are too small at first. By how much? Unrolled,
#
# .. math:: m_t = (1 - \beta_1) \sum_{s=1}^t \beta_1^{t-s} g_s, \qquad (1 - \beta_1) \sum_{s=1}^t \beta_1^{t-s} = 1 - \beta_1^t :
#
# weights that sum to :math:`1 - \beta_1^t`. Divided by it, :math:`m'_t` is a true weighted mean; so is :math:`v'_t`, of squares.

gradients, memory = rng.standard_normal(50), {}
for g in gradients:
    adam(g, 0.0, memory, lr=1.0)
for name, decay, power in [("m", 0.9, 1), ("v", 0.999, 2)]:
    np.testing.assert_allclose(memory[name] / (1 - decay**50), np.average(gradients**power, weights=decay ** np.arange(50)[::-1]))
np.testing.assert_allclose(np.diff(walk(adam, lambda w: -7.0, 0.0, 99, lr=1.0)), 1.0, rtol=1e-6)  # even steps
longer = (1 - 0.9 ** t[1:]) / np.sqrt(1 - 0.999 ** t[1:])
print(f"without the correction, step 1 would be {longer[0]:.2f} and step {longer.argmax() + 1} {longer.max():.2f} times too long")

# %%
# Multiply a weight's gradients by 1000: :math:`m'/\sqrt{v'}` is the same. So no valley along the axes is too narrow for Adam, and
# both weights below walk in step. But axes are all it sees. Turn the valley, and descent and momentum turn too; Adam does not.

Q = np.array([[1.0, -1.0], [1.0, 1.0]]) / 2**0.5
rules = {name: (sgd, settings) for name, (settings, _) in tuned(1.0, 20.0).items()} | {"Adam": (adam, {"lr": 0.05})}
figure, axes = plt.subplots(1, 2, figsize=(6.5, 3.6), layout="constrained", sharex=True, sharey=True)
u = np.stack(np.meshgrid(*[np.linspace(-1.5, 1.5, 101)] * 2), -1)
for axis, V, title in zip(axes, (np.eye(2), Q), ("40 steps in one valley,", "and in the same, turned by 45°"), strict=True):
    axis.contour(u[..., 0], u[..., 1], (u @ V) ** 2 @ [0.5, 10.0], levels=np.geomspace(0.03, 30, 8), colors="lightgrey")
    axis.set(title=title, aspect="equal", xlabel="$w_1$", ylabel="$w_2$")
    for name, (rule, settings) in rules.items():
        path = walk(rule, lambda w: V @ ([1.0, 20.0] * (V.T @ w)), V @ np.ones(2), 40, **settings)  # noqa: B023
        axis.plot(*path.T, ".-", markersize=3, linewidth=1, label=name)
        unturned = walk(rule, lambda w: [1.0, 20.0] * w, np.ones(2), 40, **settings)
        assert np.allclose(path, unturned @ V.T) == (name != "Adam" or V is not Q)
np.testing.assert_allclose(*unturned.T, rtol=1e-6, atol=1e-6)  # Adam's, along the axes: in step
axes[0].legend(fontsize=9)

# %%
# AdamW: decay beside the gradient, not in it
# -------------------------------------------
#
# For descent it is the same whether weight decay adds :math:`\lambda w` to the gradient (an L2 penalty) or multiplies :math:`w`
# by :math:`1 - \eta\lambda`. In Adam what is added is divided by :math:`\sqrt{v'}`, and weights of large gradients hardly decay.
# AdamW (Loshchilov & Hutter 2019) keeps the factor. Give two weights the same gradients: their difference shrinks by
# :math:`(1 - \eta\lambda)^t` *exactly*, whatever the gradients are.

noise, sizes, left = rng.standard_normal(500), np.geomspace(0.1, 100, 7), {"Adam": [], "AdamW": []}
for name, size in ((name, size) for name in left for size in sizes):
    pair = mv.tensor([1.0, 2.0], requires_grad=True, dtype=np.float64)
    optimiser = RULES[name][1]([pair], lr=0.01, weight_decay=0.3)
    for g in size * noise:
        pair.grad = mv.tensor([g, g], dtype=np.float64)
        optimiser.step()
    left[name].append(np.diff(pair.data)[0])
np.testing.assert_allclose(left["AdamW"], (1 - 0.01 * 0.3) ** len(noise), rtol=1e-9)
assert left["Adam"][-1] > 0.95 > 0.3 > left["AdamW"][-1]
figure, axes = plt.subplots(figsize=(6.5, 3), layout="constrained")
axes.semilogx(sizes, np.transpose([*left.values()]), "o-", label=["Adam with an L2 penalty", r"AdamW: $(1 - \eta\lambda)^t$"])
axes.set(title="What 500 steps of decay leave of a difference", xlabel="size of the gradients", ylabel="left", ylim=(0, 1.05))
axes.legend()

# %%
# On digits: what the learning rate decides
# -----------------------------------------
#
# One hidden layer of 64, a few passes over the training images, every rule at learning rates a factor of :math:`\sqrt{10}` apart.
# Momentum sums up :math:`1 + \beta + \beta^2 + \dots = 1/(1 - \beta)` times a constant gradient: at low rates 0.9 does what
# descent does at ten times the rate. The best of all lie close together; Adam's merit is *where* its best lies. A loss 1024 times
# as large wants a rate 1024 times as small of SGD, and nothing of Adam.

EPOCHS, SEEDS, RATES = (1, 1, np.logspace(-3, 0, 4)) if lesson.quick() else (4, 5, np.logspace(-3, 0, 7))


def trained(library, lr, seed, factor=None, scale=1.0, **settings):  # -> loss on unseen images
    mv.manual_seed(seed)
    network, order = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)), np.random.default_rng(seed)
    scheduler = schedule.Scheduler(library(network.parameters(), lr=lr, **settings), factor or schedule.constant())
    for images, labels in (batch for _ in range(EPOCHS) for batch in mv.data.batches(digits, 32, order, augment=False)):
        scheduler.optimizer.zero_grad()
        (F.cross_entropy(network(mv.tensor(images)), labels) * scale).backward()
        scheduler.optimizer.step()
        scheduler.step()
    return F.cross_entropy(network(mv.tensor(digits.test_images[:])), digits.test_labels).item()


def spread(axes, name, rates, *args, **settings):  # draws the seeds' range; -> their medians
    runs = np.array([[trained(args[0], lr, seed, *args[1:], **settings) for seed in range(SEEDS)] for lr in rates])
    (low, middle, high), best = np.quantile(runs, [0, 0.5, 1], axis=1), np.argmin(np.median(runs, axis=1))
    axes.fill_between(rates, low, high, color=axes.loglog(rates, middle, label=name)[0].get_color(), alpha=0.2)
    print(f"{name:>8}: best at {rates[best]:.3g}, loss {low[best]:.3f} to {high[best]:.3f}")
    return middle


figure, axes = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
loss = {name: spread(axes, name, RATES, library, **settings) for name, (_, library, settings) in RULES.items()}
axes.set(title="Loss on unseen digits: median and range of seeds", xlabel="learning rate", ylabel="cross-entropy")
axes.legend(loc="lower left")
best = np.min([*loss.values()], axis=1)
assert lesson.quick() or (np.allclose(loss["momentum"][:3], loss["SGD"][2:5], rtol=0.15) and best.max() < 2 * best.min())
assert trained(mv.optim.SGD, 0.1 / 1024, 0, scale=1024.0) == trained(mv.optim.SGD, 0.1, 0)  # powers of two: the same bits
np.testing.assert_allclose(trained(mv.optim.Adam, 0.01, 0, scale=1024.0), trained(mv.optim.Adam, 0.01, 0), rtol=0.1)

# %%
# Schedules
# ---------
#
# At the highest rate warm-up tames Adam's first steps, full ones in every weight; the cosine lets the last ones settle.

steps = EPOCHS * -(-len(digits.train_labels) // 32)
warm, t = steps // 10, np.arange(steps)
SCHEDULES = {"constant": schedule.constant(), "warm-up": schedule.linear_warmup(warm), "cosine": schedule.cosine(steps)}
SCHEDULES["both"] = schedule.cosine(steps, warmup=warm)
mine = np.where(t < warm, (t + 1) / warm, (1 + np.cos(np.pi * (t - warm) / (steps - warm))) / 2)
np.testing.assert_allclose(mine, [SCHEDULES["both"](step) for step in t], rtol=1e-12)
figure, axes = plt.subplots(1, 2, figsize=(6.5, 3.4), layout="constrained")
for name, factor in SCHEDULES.items():
    axes[0].plot(t, [factor(step) for step in t], label=name)
    loss[name] = spread(axes[1], name, [0.01, 0.03, 0.1, 0.3], mv.optim.Adam, factor)
axes[0].set(title="Four schedules", xlabel="step", ylabel="part of the learning rate")
axes[1].set(title="Adam with each", xlabel="learning rate", ylabel="loss on unseen digits")
axes[0].legend()
assert lesson.quick() or (loss["cosine"][2] < 0.7 * loss["constant"][2] and loss["warm-up"][3] < 0.8 * loss["constant"][3])

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``cosine-schedule``: the schedule above, and what it does after its end.
# ``gradient-clipping``: one scale for all gradients. ``sgd-update``: momentum, dampening, decay and Nesterov in one loop, in the
# parameters' own memory. ``adamw-update``: the same for AdamW. ``updates-so-far``: which parameters are at which step.
