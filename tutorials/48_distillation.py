r"""
Distillation: what the wrong answers know
=========================================

A label says that this is a 4. A network that has seen many digits says more: a 4, and if not, then a 9, hardly ever a 0.
Hinton, Vinyals and Dean (2015) train a small network on such answers in place of labels, made soft by a temperature. We derive
the gradient and its limit, and ask what they are worth: to a student with few images, and for a digit that it never saw.

:Prerequisites: :doc:`02_gradients`, :doc:`07_optimisers`
"""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, nn, optim, schedule, train
from minivision.data.augment import resample, transforms
from minivision.data.dataset import few_of_each

mv.set_num_threads(1)  # so small networks are not worth a second thread
rng = np.random.default_rng(0)

# %%
# A temperature
# -------------
#
# A teacher's logits :math:`v` divided by a temperature :math:`\tau` give softer probabilities
# :math:`q = \operatorname{softmax}(v / \tau)`, and the student's logits :math:`z` are to give the same at the same temperature,
# :math:`p = \operatorname{softmax}(z / \tau)` (section 2):
#
# .. math:: L = \tau^2 \sum_c q_c \log \frac{q_c}{p_c}, \qquad
#           \frac{\partial \log p_c}{\partial z_k} = \frac1\tau (\delta_{ck} - p_k) \;\Rightarrow\;
#           \frac{\partial L}{\partial z} = \tau\, (p - q) .
#
# What happens at high temperatures? With :math:`e^x \approx 1 + x` each of :math:`C` probabilities is
# :math:`\frac1C (1 + \frac{z_c - \bar z}{\tau})` but for terms of :math:`\tau^{-2}`, and so
#
# .. math:: \frac{\partial L}{\partial z_c} = \frac1C \big( (z_c - \bar z) - (v_c - \bar v) \big) + O(\tau^{-1}) :
#
# distillation becomes the squared error of the centred logits (section 2.1). :math:`\tau` cancels, which is what the factor
# :math:`\tau^2` is for: beside a loss for labels the teacher keeps its weight.


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def distill(z, v, tau):  # logits (B, C) -> the loss, its gradient
    p, q = softmax(z / tau), softmax(v / tau)
    return tau**2 * np.sum(q * np.log(q / p)) / len(z), tau * (p - q) / len(z)


z, v, TAUS = *2 * rng.standard_normal((2, 6, 10)), 2.0 ** np.arange(11)
gradients = []
for tau in TAUS:
    leaf = mv.tensor(z, requires_grad=True)
    loss = F.distillation_loss(leaf, v, tau)
    gradients.append(mv.grad(loss, leaf).numpy())
    np.testing.assert_allclose(loss.item(), distill(z, v, tau)[0], rtol=1e-8)
    np.testing.assert_allclose(gradients[-1], distill(z, v, tau)[1], rtol=1e-8, atol=1e-12)
    step = 1e-5 * rng.standard_normal(z.shape)  # and by a central difference along one direction
    slope = distill(z + step, v, tau)[0] - distill(z - step, v, tau)[0]
    np.testing.assert_allclose(slope, 2 * np.sum(step * gradients[-1]), rtol=1e-4)
d = z - v
limit = (d - d.mean(1, keepdims=True)) / d.size
gap = np.array([np.linalg.norm(each - limit) for each in gradients]) / np.linalg.norm(limit)
np.testing.assert_allclose(gap[-1] / gap[-2], 0.5, rtol=0.01)  # of the order 1 / tau: half at twice the temperature,
np.testing.assert_allclose(2 * gradients[-1] - gradients[-2], limit, atol=1e-5 * np.abs(limit).max())  # and here it cancels

# %%
# A teacher and its students
# --------------------------
#
# The teacher, a small ResNet, learns 1,100 digits that are moved by up to a pixel. The students are perceptrons of 64 hidden
# units, twice. What does the teacher say of its training images? At temperature 1 little but their label.

SEEDS, COUNT, LONG, STEPS, RATES = (1, 400, 20, 4, [0.01]) if lesson.quick() else (3, 1100, 400, 300, [0.003, 0.01])


def descend(model, optimiser, loss, count, steps, seed):  # loss(numbers of a batch)
    scheduler, draw = schedule.Scheduler(optimiser, schedule.cosine(steps, steps // 10)), np.random.default_rng(seed)
    for batch in draw.integers(count, size=(steps, 32)):
        optimiser.zero_grad()
        loss(batch, draw).backward()
        optimiser.step()
        scheduler.step()
    return model.eval()


def taught(loss, x, seed, lr):  # a student; loss(its logits, numbers of a batch)
    mv.manual_seed(100 + seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimiser = optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    return descend(model, optimiser, lambda batch, _: loss(model(mv.tensor(x[batch])), batch), len(x), STEPS, seed)


class Split:  # images and labels: the teacher's, held out, and of the test; the teacher and what it says
    def __init__(self, seed):
        self.seed, data = seed, mv.data.load("digits", seed)
        self.x, self.held = np.split(data.train_images[:], [COUNT])
        self.t, self.truth = np.split(data.train_labels, [COUNT])
        self.test, self.asked = data.test_images[:], data.test_labels
        mv.manual_seed(seed)
        self.teacher, pixels = mv.create_model("resnet_digits"), data.train_pixels
        optimiser = optim.SGD(self.teacher.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)

        def loss(batch, draw):
            none, (down, right) = np.zeros(len(batch)), draw.integers(-1, 2, (2, len(batch)))
            x = data.standardise(resample(pixels[batch], transforms(none, none + down, none + right, none > 0)))
            return F.cross_entropy(self.teacher(mv.tensor(x)), self.t[batch])

        descend(self.teacher, optimiser, loss, COUNT, LONG, seed)
        self.said = train.predict(self.teacher, self.x, 512)  # (COUNT, 10)


def right(model, x, t):
    return np.mean(train.predict(model, x, 512).argmax(1) == t)


splits = [Split(seed) for seed in range(SEEDS)]
best = np.array([right(split.teacher, split.test, split.asked) for split in splits])
agree = np.mean([split.said.argmax(1) == split.t for split in splits])
print(f"teachers: {', '.join(f'{each:.1%}' for each in best)} of unseen digits right; {agree:.1%} of their training digits")
shown = np.argsort(softmax(splits[0].said).max(1))[[len(splits[0].t) // 8, len(splits[0].t) // 3]]
figure, axes = plt.subplots(1, 4, figsize=(7.4, 2.6), layout="constrained", width_ratios=[2, 0.8, 1.6, 1.6])
axes[0].loglog(TAUS, gap, "o-", markersize=4)
axes[0].loglog(TAUS, gap[-1] * TAUS[-1] / TAUS, "k--", linewidth=1, label=r"$\propto 1 / \tau$")
axes[0].set(title="Gradient and limit", xlabel=r"temperature $\tau$", ylabel="distance (share of the limit)")
axes[0].legend(fontsize=8)
axes[1].imshow(np.concatenate([np.pad(splits[0].x[number, 0], 1, constant_values=np.nan) for number in shown]), cmap="gray_r")
axes[1].set(title="seen", xticks=[], yticks=[])
for axis, number in zip(axes[2:], shown, strict=True):
    for tau, width in (1, 0.9), (4, 0.6), (16, 0.3):
        axis.bar(range(10), softmax(splits[0].said[number] / tau), width, label=rf"$\tau = {tau}$")
    axis.set(title=f"said of the {'upper' if number == shown[0] else 'lower'}", xticks=range(10), yticks=[0, 0.5, 1])
    axis.tick_params(labelsize=8)
axes[3].legend(fontsize=7)

# %%
# Few images
# ----------
#
# A student with few images learns from their labels or from the teacher's soft answers. Is it the softness that helps, which
# keeps a student from being too sure, or what the answers say? Two controls: labels smoothed by a fifth (Szegedy et al. 2016),
# and soft answers whose wrong classes change places, image by image. Learning rate and temperature are those that are best on
# held-out digits; the shuffled answers take the soft ones'.


def shuffled(v):  # the largest logit stays, the others change places
    order = np.argsort(-v, 1)
    order[:, 1:] = np.random.default_rng(0).permuted(order[:, 1:], axis=1)
    mixed = np.empty_like(v)
    np.put_along_axis(mixed, order, -np.sort(-v, 1), 1)
    return mixed


def student(split, numbers, kind, tau, lr):
    t, v = split.t[numbers], split.said[numbers] if kind == "soft answers" else shuffled(split.said[numbers])
    if "labels" in kind:
        loss = partial(F.cross_entropy, label_smoothing=0.2 if kind == "smoothed labels" else 0.0)
        return taught(lambda z, b: loss(z, t[b]), split.x[numbers], split.seed, lr)
    return taught(lambda z, b: F.distillation_loss(z, v[b], tau), split.x[numbers], split.seed, lr)


KINDS = ["labels", "smoothed labels", "soft answers", "shuffled answers"]
DRAWS, found, picked = {"50": 50, "100": 100, "300": 300, "5 of each": None, "all": COUNT}, {}, {}
for name, count in DRAWS.items():
    drawn = [np.random.default_rng(s.seed).permutation(COUNT)[:count] if count else few_of_each(s.t, 5, s.seed) for s in splits]
    for kind in KINDS:
        if kind != "shuffled answers":
            choices = [(tau, lr) for tau in ((1,) if "labels" in kind or lesson.quick() else (2, 8)) for lr in RATES]
        runs = {each: [student(split, n, kind, *each) for split, n in zip(splits, drawn, strict=True)] for each in choices}
        held = {each: np.mean([right(m, s.held, s.truth) for m, s in zip(runs[each], splits, strict=True)]) for each in choices}
        picked[name, kind], *_ = choices = [max(held, key=held.get)]  # choices for the shuffled answers, which come next
        found[name, kind] = np.array([right(m, s.test, s.asked) for m, s in zip(runs[choices[0]], splits, strict=True)])
    print(f"{name:>9}: " + ", ".join(f"{kind} {found[name, kind].mean():.1%}" for kind in KINDS))
lead = {name: 100 * (found[name, "soft answers"] - np.array([found[name, kind] for kind in KINDS])) for name in DRAWS}
for name, each in lead.items():  # (kinds, seeds)
    print(f"{name:>9}: soft answers are above labels by {each[0].round(1)} points, above smoothed ones by {each[1].round(1)}")
assert lesson.quick() or (min(lead["50"][0].min(), lead["100"][0].min()) > 0 and lead["50"].mean(1)[[1, 3]].min() > 0)

# %%
# From few images, drawn as they come, a student learns far more by soft answers than by labels, as in the paper (section 6:
# with 3 % of the speech data 57.0 % of frames right against 44.5 %; by labels of all 58.9 %). A part is softness, for smoothed
# labels help too; the rest is what the answers say, and goes when they change places. They are worth most where the draw is
# uneven: with five of each class little is left. With all images soft answers end where labels do, behind smoothed ones.
#
# A digit that was never shown
# ----------------------------
#
# The paper's boldest test (section 3) leaves out every 3 of the student's images. No image of it comes, and no label; all that
# is left of it is what the teacher says of other digits. We do so for each digit in turn. The student learns that this class is
# rare: so its bias is raised, as is best on held-out digits. The same is done for a student of labels.

DIGITS, BIASES = range(3 if lesson.quick() else 10), np.linspace(0, 20, 81)


def without(split, digit, kind):  # -> right on the digit and on all, before and after its bias is raised
    model = student(split, np.flatnonzero(split.t != digit), kind, *picked["all", kind])
    held, asked = (train.predict(model, x, 512) for x in (split.held, split.test))
    raised = np.where(np.arange(10) == digit, BIASES[:, None, None], 0)  # (biases, 1, 10)
    best = np.mean((held + raised).argmax(2) == split.truth, 1).argmax()
    hits = [(asked + raised[i]).argmax(1) == split.asked for i in (0, best)]
    return [[np.mean(each[split.asked == digit]), np.mean(each)] for each in hits]


unseen = {}  # (seeds, digits, before and after, the digit and all)
for kind in ("labels", "soft answers"):
    unseen[kind] = np.array([[without(split, digit, kind) for digit in DIGITS] for split in splits])
    (one, each), (then, each_then) = unseen[kind].mean((0, 1))
    spread = ", ".join(f"{value:.1%}" for value in unseen[kind][:, :, 1, 0].mean(1))
    print(f"{kind}: {one:.1%} of a digit never shown, {then:.1%} once its bias is raised ({spread} by seeds); "
          f"of all digits {each:.1%} and {each_then:.1%}")  # fmt: skip
gain = unseen["soft answers"] - unseen["labels"]
assert lesson.quick() or (gain[..., 1, 0].mean(1).min() > 0.1 and gain[..., 1, 1].mean(1).min() > 0)

figure, axes = plt.subplots(1, 2, figsize=(7.4, 3.2), layout="constrained")
names = [name for name in DRAWS if name != "5 of each"]
for kind in KINDS:
    values = np.array([found[name, kind] for name in names])
    axes[0].plot(names, values.mean(1), "o-", markersize=4, label=kind)
    axes[0].fill_between(names, values.min(1), values.max(1), alpha=0.15)
axes[0].axhline(best.mean(), color="k", linestyle=":", linewidth=1, label="teacher")
axes[0].set(title=f"Unseen digits (shaded: {SEEDS} seeds)", xlabel="the student's images", ylabel="right answers")
for kind, colour in zip(unseen, ("C0", "C2"), strict=True):
    for when, style, word in (0, "x", ""), (1, "o", ", bias raised"):
        axes[1].plot(DIGITS, unseen[kind][:, :, when, 0].mean(0), f"{colour}{style}", label=kind + word)
axes[1].set(title="A digit that was never shown", xlabel="the digit", ylabel="right answers on it", xticks=DIGITS)
axes[1].set(ylim=(-0.05, 1.35), yticks=[0, 0.25, 0.5, 0.75, 1])
axes[1].legend(fontsize=7, ncols=2, loc="upper center", columnspacing=0.6, handletextpad=0.1)
axes[0].legend(fontsize=8)

# %%
# Once its bias was raised the paper's student knew 98.6 % of MNIST's 3s, from tens of thousands of images of other digits.
# From a thousand it is less here, and yet far more than the same gives a student of labels: other digits' answers describe it.
#
# DeiT (:doc:`33_deit`) found the teacher's bare decision better than its soft answers. There images are mixed, and the decision
# says what a label does not. Here the teacher's decisions are the labels, nearly all: what they do not say, softness must.
#
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``distillation-loss``: what a teacher thinks likely, at a temperature.
# ``distillation-divergence``: the divergence of Kullback and Leibler. ``distillation-soft-labels``: targets that are shared.
