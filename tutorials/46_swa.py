r"""
SWA: the mean of where SGD has been
===================================

SGD with a rate that stays high never arrives: it wanders about the bottom of a valley. Is the bottom not the mean of where it
has been? Stochastic weight averaging (Izmailov et al. 2018) keeps that mean over the last quarter of training. We compute what
it is worth for one noisy weight, and ask networks on digits whether their mean is better than where they end, and wider.

:Prerequisites: :doc:`06_normalisation`, :doc:`07_optimisers`
"""

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, nn, optim, schedule, train
from minivision.data.augment import resample, transforms
from minivision.swa import SWA, update_batch_norm

mv.set_num_threads(1)  # so small a network is not worth a second thread
rng = np.random.default_rng(0)

# %%
# One noisy weight
# ----------------
#
# Let the loss be :math:`\frac a2 w^2`, and each gradient have an error :math:`s\,\xi_t` of standard deviation :math:`s`. Once a
# weight has settled, its variance :math:`v` no longer changes:
#
# .. math:: w_{t+1} = w_t - \eta\,(a w_t + s\,\xi_t), \qquad
#           v = (1 - \eta a)^2\, v + \eta^2 s^2 = \frac{\eta\, s^2}{a\,(2 - \eta a)} :
#
# a smaller rate brings the weight nearer to 0, and takes longer. The mean needs no such bargain. Sum the first line over
# :math:`T` steps and divide by :math:`\eta a T`; the rate is left in a part alone whose variance falls with :math:`T^2`:
#
# .. math:: \bar w = \frac1T \sum_t w_t = -\frac{s}{a}\, \bar\xi - \frac{w_T - w_0}{\eta a T}, \qquad
#           \operatorname{Var} \bar w \approx \frac{s^2}{a^2 T} .
#
# For finite :math:`T` add up covariances: weights :math:`k` steps apart have :math:`\rho^k v` with :math:`\rho = 1 - \eta a`.


def law(lr, T):  # the variance of a weight that has settled, and of the mean of T
    rho, v = 1 - lr * A, lr * S**2 / (A * (2 - lr * A))
    return v, v / T * ((1 + rho) / (1 - rho) - 2 * rho * (1 - rho**T) / (T * (1 - rho) ** 2))


def walk(curvature, noise, lr, w, steps):  # -> SGD's path by the library (steps, *shape), and SWA's mean
    w = nn.Parameter(w)
    optimiser, path = SWA(optim.SGD([w], lr=lr), start=1), []
    for _ in range(steps):
        w.grad = mv.tensor(curvature * w.data + noise * rng.standard_normal(w.shape))
        optimiser.step()
        path.append(w.data.copy())
    optimiser.load_mean()
    return np.array(path), w.data


A, S, T, CHAINS, RATES = 1.0, 0.5, 200, 4000, np.array([0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 1.5])
wanted, found = np.array([law(lr, T) for lr in RATES]), []
for lr, (v, _) in zip(RATES, wanted, strict=True):
    path, library = walk(A, S, lr, v**0.5 * rng.standard_normal(CHAINS), T)  # as if they had walked for long already
    mean = 0.0
    for n, w in enumerate(path):
        mean += (w - mean) / (n + 1)  # Algorithm 1: no old weights are kept
    np.testing.assert_allclose(mean, library, rtol=1e-9, atol=1e-12)
    found.append((path[-1].var(), mean.var()))
np.testing.assert_allclose(found, wanted, rtol=6 * (2 / CHAINS) ** 0.5)  # sqrt(2 / CHAINS): the spread of a measured variance
assert np.isclose(law(0.1, 10**6)[1], S**2 / A**2 / 10**6, rtol=1e-4)
path, _ = walk(np.array([1.0, 8.0]), 2.0, 0.1, np.array([3.0, 0.5]), 30 + T)  # two weights
figure, axes = plt.subplots(1, 2, figsize=(7.4, 3.2), layout="constrained")
for column, dots, label in zip(wanted.T, np.array(found).T, ("last weight", f"mean of {T}"), strict=True):
    axes[0].loglog(RATES, column, label=label)
    axes[0].loglog(RATES, dots, "k.", markersize=5)
axes[0].axhline(S**2 / A**2 / T, color="k", linestyle=":", linewidth=1, label=r"$s^2 / (a^2 T)$")
axes[0].set(title=f"Lines: the law; dots: {CHAINS:,} weights", xlabel=r"learning rate $\eta$", ylabel="variance")
x, y = np.linspace(-2.2, 3.2, 80), np.linspace(-1.1, 1.1, 80)[:, None]
axes[1].contour(x, y[:, 0], x**2 + 8 * y**2, levels=np.linspace(0.2, 3, 7) ** 2, colors="lightgrey", linewidths=0.8)
axes[1].plot(*path.T, ".-", linewidth=0.4, markersize=3, alpha=0.5, label="SGD")
axes[1].plot(*np.cumsum(path[30:], 0).T / np.arange(1, T + 1), "C1", linewidth=2.5, label="its mean from step 31 on")
axes[1].set(title="Two weights, one rate", xlabel="$w_1$", ylabel="$w_2$")
_ = [axis.legend(fontsize=8, loc=place) for axis, place in zip(axes, ("upper left", "lower right"), strict=True)]

# %%
# Statistics are not weights
# --------------------------
#
# The averaged network needs running statistics. May one not average those too? The variance of :math:`y = w x` is
# :math:`w^2 \operatorname{Var} x`, and :math:`\overline{w^2} = \bar w^2 + \operatorname{Var} w`: the mean of the variances is
# too large for the mean of the weights, by all that SGD wandered. So one pass over the images measures anew, with a momentum
# that changes. When a batch of :math:`b` images comes after :math:`n` others,
#
# .. math:: r \leftarrow \Big(1 - \frac{b}{n + b}\Big)\, r + \frac{b}{n + b}\, m_b
#
# makes of :math:`r = \frac1n \sum_i b_i m_i` just :math:`\frac1{n + b} (\sum_i b_i m_i + b\, m_b)`: the mean over all so far,
# exactly, by induction. The first batch has momentum 1: what was there before is forgotten.

x, visited = rng.standard_normal(50), path[30:, 0]  # the first of the two weights
averaged, anew = np.mean([(w * x).var() for w in visited]), (visited.mean() * x).var()
np.testing.assert_allclose(averaged - anew, visited.var() * x.var())
print(f"variance of y for the mean weight: {anew:.3f}; mean of the variances: {averaged:.3f}")
batches, r, n = [rng.standard_normal((b, 3)) * b for b in (4, 9, 2)], np.full(3, 99.0), 0
for x in batches:
    r += len(x) / (n := n + len(x)) * (x.mean(0) - r)
update_batch_norm(norm := nn.BatchNorm1d(3).double(), batches)
np.testing.assert_allclose([r, norm.running_mean.numpy()], 2 * [np.concatenate(batches).mean(0)], rtol=1e-12)

# %%
# Digits, rightly and wrongly labelled
# ------------------------------------
#
# A small ResNet learns 1,000 digits, moved by up to a pixel, once with their labels and once with a fifth of them replaced by
# random ones, which keep every gradient noisy. After three quarters of the steps at a constant rate the road parts. The rate
# stays, and SWA takes every step; or it runs in cycles, and SWA takes the end of each; or, as is usual, it falls to 0 in a
# straight line. Beside these, a network whose rate falls by a cosine from the first step on. All take the same number of steps.

SEEDS, STEPS, COUNT, TIMES, CYCLE, RAYS = (1, 8, 200, 1, 1, 1) if lesson.quick() else (3, 360, 1000, 7, 18, 4)
LAST, SIZE = STEPS // 4, {"widths": (12, 24)}
WAYS = {"constant": (schedule.swa(0, 1.0), 1), "cyclic": (schedule.swa(0, 0.05, CYCLE), CYCLE),
        "falling": (lambda t: 1 - t / LAST, LAST), "cosine": (schedule.cosine(STEPS), STEPS)}  # fmt: skip


class Split:
    def __init__(self, seed, noise):
        self.data, self.seed, draw = (data := mv.data.load("digits", seed)), seed, np.random.default_rng(seed)
        self.pixels, rest = np.split(data.train_pixels, [COUNT])
        self.labels, truth = np.split(data.train_labels, [COUNT])
        self.labels = np.where(draw.random(COUNT) < noise, draw.integers(10, size=COUNT), self.labels)
        self.parts = {"training": (self.moved(self.pixels, draw), self.labels)}
        for name, x, t in ("held out", rest, truth), ("test", data.test_pixels, data.test_labels):
            self.parts[name] = self.moved(np.repeat(x, TIMES, 0), draw), np.repeat(t, TIMES)

    def moved(self, pixels, draw):  # each by up to a pixel, (N, 1, 8, 8)
        none, (down, right) = np.zeros(len(pixels)), draw.integers(-1, 2, (2, len(pixels)))
        return self.data.standardise(resample(pixels, transforms(none, none + down, none + right, none > 0)))

    def judged(self, state, *parts):  # -> (loss, share of right answers) of each part
        model, answers = mv.create_model("resnet_digits", **SIZE), []
        model.load_state_dict(state)
        update_batch_norm(model, [mv.tensor(self.parts["training"][0])])
        for x, t in map(self.parts.get, parts):
            z = train.predict(model.eval(), x, 512)
            answers.append((F.cross_entropy(mv.tensor(z), t).item(), np.mean(z.argmax(1) == t)))
        return np.array(answers)

    def descend(self, model, optimiser, factor, steps, stream):
        scheduler, draw = schedule.Scheduler(optimiser, factor), np.random.default_rng([self.seed, stream])
        for batch in draw.integers(COUNT, size=(steps, 32)):
            optimiser.zero_grad()
            F.cross_entropy(model(mv.tensor(self.moved(self.pixels[batch], draw))), self.labels[batch]).backward()
            optimiser.step()
            scheduler.step()

    def trained(self, ways, lr):  # -> the states at their ends, and SWA's means
        mv.manual_seed(self.seed)
        states, model = {}, mv.create_model("resnet_digits", **SIZE)
        optimiser = optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4)
        self.descend(model, optimiser, schedule.constant(), start := 0 if "cosine" in ways else STEPS - LAST, 0)
        fork, memory = model.state_dict(), optimiser.state_dict()
        for way in ways:
            factor, every = WAYS[way]
            model.load_state_dict(fork)
            optimiser.load_state_dict(memory)
            swa = SWA(optimiser, every, every)
            self.descend(model, swa, factor, STEPS - start, 1)
            states[way] = model.state_dict()
            swa.load_mean()
            states[f"mean, {way}"] = model.state_dict()
        return states


KINDS = ["mean, constant", "mean, cyclic", "constant", "falling", "cosine"]
LRS, found, runs = [0.1] if lesson.quick() else [0.1, 0.2], {}, {}
figure, axes = plt.subplots(1, 2, figsize=(7.4, 2.9), layout="constrained", sharey=True)
for axis, noise in zip(axes, (0.2, 0.0), strict=True):
    splits, states, told = [Split(seed, noise) for seed in range(SEEDS)], [], []
    for ways, decides in (["constant", "cyclic", "falling"], "mean, constant"), (["cosine"], "cosine"):
        tried = [splits[0].trained(ways, lr) for lr in LRS]
        best = int(np.argmin([splits[0].judged(ends[decides], "held out")[0, 0] for ends in tried]))
        states.append([tried[best], *(split.trained(ways, LRS[best]) for split in splits[1:])])
        print(f"{noise:.0%} wrong labels: rate {LRS[best]:g} for {', '.join(ways)} (held-out digits of the first split)")
    runs[noise] = [(split, one | other) for split, one, other in zip(splits, *states, strict=True)]
    for row, kind in enumerate(KINDS):
        found[kind] = np.array([split.judged(state[kind], "test", "training") for split, state in runs[noise]])
        (loss, share), (known, _) = found[kind].mean(0)  # found: (seeds, test and training, loss and share)
        told.append(f"{kind} {loss:.3f} ({known:.3f} in training) and {share:.1%}")
        axis.plot(found[kind][:, 0, 0], np.full(SEEDS, row), "o", alpha=0.6)
        axis.plot(loss, row, "k|", markersize=14)
    axis.set(title=f"{noise:.0%} wrong labels in training", xlabel=f"test loss ({SEEDS} seeds; bar: mean)", ylim=(4.5, -0.5))
    gaps = np.array([[found[other][:, 0] - found[kind][:, 0] for other in KINDS[2:]] for kind in KINDS[:2]])  # (2, 3, seeds, 2)
    lesson.claim("L8", f"{noise:.0%} wrong labels, test loss and right answers, {SEEDS} seeds: {'; '.join(told)}; seed by seed "
                 f"the means' loss is lower than the last three's in {np.sum(gaps[..., 0] > 0)} of {gaps[..., 0].size} cases",
                 "holds at this scale" if np.all(gaps.mean(2) * [1, -1] > 0) else "does not hold here")  # fmt: skip
    assert lesson.quick() or noise == 0 or gaps[0, ..., 0].min() > 0
axes[0].set_yticks(range(len(KINDS)), labels=KINDS)

# %%
# Is it a wider minimum?
# ----------------------
#
# Leave a solution along random rays (section 3.3): how does the loss rise? Batch normalisation leaves the scale of the weights
# before it free; so each tensor moves by a random one that is as long as itself, times the distance. Then along the line from
# SWA's solution to that of the falling rate, which came from the same fork.

FAR, LINE, model = np.linspace(0, 0.2, 5), np.linspace(-1, 2, 13), mv.create_model("resnet_digits", **SIZE)
NAMES, weights, rise = [name for name, _ in model.named_parameters()], mv.count_parameters(model), {}


def losses(split, state, step, ts):  # -> (ts, test and training)
    along = [state | {name: state[name] + np.float32(t) * step[name] for name in NAMES} for t in ts]
    return np.array([split.judged(each, "test", "training")[:, 0] for each in along])


def ray(split, state, number):
    draw = np.random.default_rng([split.seed, number])
    step = {name: draw.standard_normal(state[name].shape, np.float32) for name in NAMES}
    return losses(split, state, {n: d * np.linalg.norm(state[n]) / np.linalg.norm(d) for n, d in step.items()}, FAR)


figure, axes = plt.subplots(1, 2, figsize=(7.4, 3.2), layout="constrained")
for kind in ("mean, constant", "falling", "cosine"):
    rays = np.mean([[ray(split, state[kind], i) for i in range(RAYS)] for split, state in runs[0.2]], 1)[..., 1]  # (seeds, FAR)
    rise[kind] = rays - rays[:, :1]
    axes[0].plot(FAR, rise[kind].mean(0), "o-", markersize=4, label=kind)
    axes[0].fill_between(FAR, rise[kind].min(0), rise[kind].max(0), alpha=0.2)
axes[0].set(title=f"Random rays ({SEEDS} seeds)", xlabel="distance (share of each tensor)", ylabel="rise of the training loss")
between = [{n: state["falling"][n] - state["mean, constant"][n] for n in NAMES} for _, state in runs[0.2]]
line = np.array([losses(split, state["mean, constant"], d, LINE) for (split, state), d in zip(runs[0.2], between, strict=True)])
for part, label in enumerate(("test", "training")):
    axes[1].plot(LINE, (line - line[:, 4:5])[..., part].T, f"C{part}", label=[label, *[None] * (SEEDS - 1)])
axes[1].set(title="The line through both solutions", xlabel="0: SWA, 1: falling rate", ylabel="loss above that of SWA")
_ = [axis.legend(fontsize=8) for axis in axes]
lowest = LINE[line.argmin(1)]  # (seeds, test and training)
print(f"lowest on the line, seed by seed: test loss at {lowest[:, 0]}, training loss at {lowest[:, 1]}")
ends = {kind: each[:, -1] for kind, each in rise.items()}
wider = ends["mean, constant"].mean() < min(ends["falling"].mean(), ends["cosine"].mean())
lesson.claim("L8", f"{FAR[-1]:.0%} of each tensor away along the same random rays the training loss is higher by "
             f"{', '.join(f'{each.round(3)} from {kind}' for kind, each in ends.items())} (seed by seed, 20% wrong labels); "
             f"all have {weights:,} weights", "holds at this scale" if wider else "does not hold here")  # fmt: skip
assert lesson.quick() or (wider and lowest[:, 0].mean() < lowest[:, 1].mean())

# %%
# As in the paper, the training loss is lowest between the two solutions, and the test loss nearer to SWA's or beyond it. With
# right labels there is less noise to average out, and less to win.
#
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``swa-update``: a mean that needs no list. ``swa-schedule``: rates that stay
# high. ``swa-batch-norm``: a momentum that forgets nothing.
