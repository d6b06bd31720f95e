r"""
DeiT: a token that listens to a teacher
=======================================

A vision transformer needs many images, for it is told nothing of neighbours and moves. A convolutional network is born with
that. Can it pass it on? DeiT (Touvron et al. 2021) gives the transformer a second token, whose head learns what a convolutional
teacher says of each image, beside the class token that learns the label. We derive both ways to listen, soft and hard, and
measure on 300 digits what the teacher is worth.

:Prerequisites: :doc:`08_vit`, :doc:`10_data`
"""

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, nn, optim
from minivision.data.augment import resample, transforms
from minivision.data.dataset import stratified_split
from minivision.models.deit import hard_distillation_loss, soft_distillation_loss

mv.set_num_threads(1)  # so small networks are not worth a second thread
rng = np.random.default_rng(0)

# %%
# To listen softly
# ----------------
#
# A teacher's logits :math:`Z_t` say more than its decision: a 4 that could be a 9. *Soft* distillation (Hinton et al. 2015; eq.
# 2 of DeiT) takes its probabilities at a temperature :math:`\tau`, :math:`q = \operatorname{softmax}(Z_t / \tau)`, and asks the
# student's :math:`p = \operatorname{softmax}(Z_s / \tau)` to be like them:
#
# .. math:: L = (1 - \lambda)\, \mathrm{CE}(Z, y) + \lambda \tau^2 \sum_c q_c \log \frac{q_c}{p_c} .
#
# The logarithm of a softmax has the gradient :math:`\partial \log p_c / \partial Z_k = (\delta_{ck} - p_k) / \tau`; with
# :math:`\sum_c q_c = 1`,
#
# .. math:: \frac{\partial L}{\partial Z_s} = \lambda \tau (p - q), \qquad
#    \frac{\partial L}{\partial Z} = (1 - \lambda) (\operatorname{softmax}(Z) - y) .
#
# Why :math:`\tau^2`? At a high temperature :math:`p - q` is about :math:`(Z_s - Z_t) / (\tau C)`, if both have mean 0: without
# the factor a hot teacher would fall silent. *Hard* distillation (eq. 3) takes the teacher's decision for a second label:
# :math:`L = \frac12 \mathrm{CE}(Z, y) + \frac12 \mathrm{CE}(Z_s, \operatorname{argmax} Z_t)`.


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def cross_entropy(z, y):  # logits and probabilities (B, C) -> a mean over B, and its gradient
    return -np.sum(y * np.log(softmax(z))) / len(z), (softmax(z) - y) / len(z)


def soft(z, z_s, y, z_t, tau=3.0, lam=0.1):  # -> the loss, and its gradients for both heads
    p, q, (label, gradient) = softmax(z_s / tau), softmax(z_t / tau), cross_entropy(z, y)
    teacher = tau**2 * np.sum(q * np.log(q / p)) / len(z)
    return (1 - lam) * label + lam * teacher, (1 - lam) * gradient, lam * tau * (p - q) / len(z)


def hard(z, z_s, y, z_t, lam=0.5):
    (label, gradient), (teacher, other) = cross_entropy(z, y), cross_entropy(z_s, np.eye(z.shape[1])[z_t.argmax(1)])
    return (1 - lam) * label + lam * teacher, (1 - lam) * gradient, lam * other


z, z_s, z_t = 2 * rng.standard_normal((3, 6, 10))
y = rng.dirichlet(np.ones(10), 6)  # labels may be mixed, as below
for mine, library in (soft, soft_distillation_loss), (hard, hard_distillation_loss):
    heads = [mv.tensor(each, requires_grad=True) for each in (z, z_s)]
    loss = library(heads, y, mv.tensor(z_t))
    found = [loss.item(), *(g.numpy() for g in mv.grad(loss, heads))]
    for one, other in zip(mine(z, z_s, y, z_t), found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-14)
centred = (z_s - z_t) - (z_s - z_t).mean(1, keepdims=True)
cold, hot = soft(z, z_s, y, z_t, 1.0, 1.0)[2], soft(z, z_s, y, z_t, 1e4, 1.0)[2]
np.testing.assert_allclose(hot, centred / centred.size, atol=1e-4)  # as that of the squared error of the logits
print(f"the teacher's pull on the logits: {np.abs(cold).sum():.2f} at temperature 1, {np.abs(hot).sum():.2f} at 10,000")

# %%
# Two tokens, two heads
# ---------------------
#
# Class and distillation token enter alike and differ by their start and by what their heads are asked. In training the network
# gives both answers; later it gives their mean (section 4: "joint classifiers").

CONFIG = {"embed_dim": (D := 32), "depth": 2, "mlp_ratio": 2.0}


def student():
    model = mv.create_model("deit_digits", distilled_training=True, **CONFIG)
    for weight in (module.weight for module in model.modules() if isinstance(module, nn.Linear)):
        nn.init.xavier_uniform_(weight)
    nn.init.normal_(model.pos_embed, std=0.5)  # as in lesson 10: positions as large as tokens
    return model


model, x = student(), mv.tensor(rng.standard_normal((4, 1, 8, 8)).astype(np.float32))
first, second = model(x)
np.testing.assert_allclose(model.eval()(x).numpy(), (first.numpy() + second.numpy()) / 2, rtol=1e-5, atol=1e-6)
extra = mv.count_parameters(model) - mv.count_parameters(mv.create_model("vit_digits", **CONFIG))
assert extra == D + D + 10 * (D + 1)  # the token, its position, its head

# %%
# What is there to be told?
# -------------------------
#
# A teacher that knows the same images by heart repeats their labels: then its decision tells nothing new. But DeiT trains on
# images that are moved and *mixed* (CutMix, Yun et al. 2019): a window shows a part of another image, the label is shared by
# area, whatever there is to be seen. The teacher looks. Ours is a small convolutional network that learns from the same 300
# mixed digits; the mean over places at its end does not care where a stroke is.

SEEDS, COUNT, STEPS, THIN, WINDOW = (1, 100, 8, 8, 4) if lesson.quick() else (3, 300, 700, 1, 4)


def conv(inputs, outputs):
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()


def teacher():
    maps = *conv(1, 16), *conv(16, 16), nn.MaxPool2d(2), *conv(16, 32)
    return nn.Sequential(*maps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def moved(pixels, down, right):  # (N, 1, 8, 8), (N) each
    return resample(pixels, transforms(0.0 * down, 0.0 + down, 0.0 + right, down > 9))


def mixed(pixels, labels, rng):  # -> moved by up to a pixel, each with a window from another one; labels (N, 10)
    x, other = moved(pixels, *rng.integers(-1, 2, (2, len(pixels)))), rng.permutation(len(pixels))
    corner, y = rng.integers(0, 9 - WINDOW, (2, len(pixels), 1)), np.eye(10, dtype=np.float32)[labels]
    rows, columns = (np.arange(8) >= corner) & (np.arange(8) < corner + WINDOW)  # (N, 8) each
    share = WINDOW**2 / 64
    return np.where(rows[:, None, :, None] & columns[:, None, None], x[other], x), (1 - share) * y + share * y[other]


def places(data, pixels, labels):  # in all nine places: images (9 N, 1, 8, 8), labels
    steps, one = np.indices((3, 3)).reshape(2, -1).T - 1, np.ones(len(pixels))
    return data.standardise(np.concatenate([moved(pixels, y * one, x * one) for y, x in steps])), np.tile(labels, 9)


def answers(model, images):
    with mv.no_grad():
        return model.eval()(mv.tensor(images)).numpy().argmax(1)


def trained(make, loss, seed, lr, steps=STEPS):  # loss(logits, labels, images)
    mv.manual_seed(seed)
    model, draw, numbers = make(), np.random.default_rng(seed), chosen[seed][1]
    optimiser = optim.AdamW(model.parameters(), lr=lr, weight_decay=0.05)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = lr * min(1, 10 * (step + 1) / steps) * (1 - step / steps)
        batch = numbers[draw.integers(len(numbers), size=32)]
        x, y = mixed(digits[seed].train_pixels[batch], digits[seed].train_labels[batch], draw)
        x = mv.tensor(digits[seed].standardise(x))
        optimiser.zero_grad()
        loss(model(x), y, x).backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return model.eval()


digits = [mv.data.load("digits", seed) for seed in range(SEEDS)]
chosen = [stratified_split(d.train_labels, seed, (COUNT - 0.5) / len(d.train_labels)) for seed, d in enumerate(digits)]
test = [places(d, d.test_pixels[::THIN], d.test_labels[::THIN]) for d in digits]
teachers = [trained(teacher, lambda z, y, x: F.cross_entropy(z, y), seed, 0.01) for seed in range(SEEDS)]
told = [answers(model, images) for model, (images, _) in zip(teachers, test, strict=True)]
x, y = mixed(*(part[chosen[0][1]] for part in (digits[0].train_pixels, digits[0].train_labels)), np.random.default_rng(1))
said = answers(teachers[0], digits[0].standardise(x))
right = [np.mean(each == labels) for each, (_, labels) in zip(told, test, strict=True)]
print(f"teachers: {', '.join(f'{each:.1%}' for each in right)} of unseen digits right; the first calls "
      f"{np.mean(said == y.argmax(1)):.0%} of its mixed training digits by their larger label")  # fmt: skip
figure, axes = plt.subplots(1, 8, figsize=(7, 1.7), layout="constrained", subplot_kw={"xticks": [], "yticks": []})
for axis, image, label, name in zip(axes, x, y, said, strict=False):
    axis.imshow(image[0], cmap="gray_r")
    axis.set_title(" and ".join(str(digit) for digit in label.argsort()[::-1] if label[digit]) + f"\nsaid: {name}", fontsize=9)

# %%
# What the teacher is worth
# -------------------------
#
# The same network learns three times from each split: from the labels alone, with both heads; softly, with the paper's
# :math:`\tau = 3` and :math:`\lambda = 0.1`; and hard. Each kind has the learning rate that was best on held-out digits of the
# first split after a short training. The unseen digits are asked for in nine places each.

KINDS, RATES = {
    "labels alone": lambda teacher: lambda z, y, x: 0.5 * F.cross_entropy(z[0], y) + 0.5 * F.cross_entropy(z[1], y),
    "soft": lambda teacher: lambda z, y, x: soft_distillation_loss(z, y, teacher(x)),
    "hard": lambda teacher: lambda z, y, x: hard_distillation_loss(z, y, teacher(x)),
}, [0.005, 0.01]  # fmt: skip
rest = chosen[0][0][:: 4 * THIN]
held_out = places(digits[0], digits[0].train_pixels[rest], digits[0].train_labels[rest])
models, rates = {}, {}
for kind, make in KINDS.items():
    tried = [answers(trained(student, make(teachers[0]), 0, lr, STEPS // 4), held_out[0]) for lr in RATES]
    rates[kind] = RATES[int(np.argmax([np.mean(each == held_out[1]) for each in tried]))]
    models[kind] = [trained(student, make(each), seed, rates[kind]) for seed, each in enumerate(teachers)]
found = {kind: [answers(model, images) for model, (images, _) in zip(models[kind], test, strict=True)] for kind in KINDS}
right = {kind: np.array([np.mean(z == t) for z, (_, t) in zip(found[kind], test, strict=True)]) for kind in KINDS}
for kind in KINDS:
    agree = np.array([np.mean((z == u)[u != t]) for z, u, (_, t) in zip(found[kind], told, test, strict=True)])
    spans = [f"{each.mean():.1%} ({each.min():.1%} to {each.max():.1%})" for each in (right[kind], agree)]
    print(f"{kind:>12}, rate {rates[kind]:g}: right {spans[0]}; it shares {spans[1]} of the teacher's mistakes")
lead = {kind: 100 * (right[kind] - right["labels alone"]) for kind in ("soft", "hard")}
error = {kind: each.std(ddof=int(SEEDS > 1)) / SEEDS**0.5 for kind, each in lead.items()}
print("points above labels alone: " + "; ".join(f"{kind} {lead[kind].mean():.1f} ± {error[kind]:.1f}" for kind in lead))
figure, axis = plt.subplots(figsize=(6.5, 2.4), layout="constrained")
for row, kind in enumerate(KINDS):
    axis.plot(right[kind], np.full(SEEDS, row), "o", alpha=0.6)
    axis.plot(right[kind].mean(), row, "k|", markersize=16)
axis.set(title=f"Right answers on unseen digits, {SEEDS} seeds (bar: mean)", yticks=range(len(KINDS)), ylim=(2.5, -0.5))
axis.set_yticklabels(KINDS)
assert lesson.quick() or lead["hard"].mean() > max(0, lead["soft"].mean())

# %%
# The order is the paper's (table 3): soft distillation left DeiT as good as it was, hard made it one to two points better. On
# average hard students also share more of the teacher's mistakes: with its decisions they take over a part of its way to see.
#
# Do the two tokens become one?
# -----------------------------
#
# The paper's class and distillation token have a cosine of 0.06 at first and 0.93 in the last layer: they look for like things,
# not for the same. Two class tokens that both learn the label became one, 0.999 (section 4). Here, by depth:

figure, axis = plt.subplots(figsize=(6.5, 2.8), layout="constrained")
cosines = {}
for kind in KINDS:
    found = []
    for model, (images, _) in zip(models[kind], test, strict=True):
        with mv.no_grad():
            depths = [tokens := model.embed(mv.tensor(images)), *(tokens := block(tokens) for block in model.blocks)]
            a, b = np.moveaxis([each.numpy()[:, :2] for each in (*depths, model.norm(tokens))], 2, 0)  # (depths, N, D) each
        found.append(((a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)).mean(1))
    cosines[kind] = np.array(found)
    colour = axis.plot(np.mean(found, 0), "o-", label=kind)[0].get_color()
    axis.fill_between(range(4), np.min(found, 0), np.max(found, 0), color=colour, alpha=0.2)
    print(f"{kind:>12}: " + ", ".join(f"{value:.2f}" for value in cosines[kind].mean(0)))
axis.set(title="Class and distillation token", ylabel="cosine", xticks=range(4))
axis.set_xticklabels(["embedding", "block 1", "block 2", "last norm"])
axis.legend(fontsize=9)
assert lesson.quick() or all(np.all(each[:, 0] < each[:, -1]) for each in cosines.values())

# %%
# They draw near with depth here too. But two blocks and a short training do not make one token of two, whatever they learn.
#
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``deit-soft-loss``: what a teacher thinks likely. ``deit-hard-loss``: what it
# decides. ``deit-heads``: two tokens, two answers.
