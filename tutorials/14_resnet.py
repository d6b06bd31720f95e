r"""
ResNet: what depth breaks
=========================

A network with more layers can compute all that one with fewer can, and more. In 2015 it was found to learn *less*, even on the
images that it is trained on, and the gradients were not to blame. We watch gradients through depth, measure the degradation,
build a better deep network than training finds, and see the cure. Then ResNeXt splits a block: three forms, one function.

:Prerequisites: :doc:`04_convolution`, :doc:`06_normalisation`
"""

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, nn
from minivision.models.resnet import Bottleneck, ResNetConfig
from minivision.models.resnext import ConcatenatedPaths, SumOfPaths, block_weights, equal_width, split_groups, split_sum

mv.set_num_threads(1)  # so small a network is not worth a second thread
digits = mv.data.load("digits")
X, X_test = np.asarray(digits.train_images[:]), np.asarray(digits.test_images[:])
rng = np.random.default_rng(0)
SEEDS, EPOCHS, BLOCKS = (1, 1, (1, 2)) if lesson.quick() else (3, 3, (2, 6, 16))

# %%
# A product, and a sum of products
# --------------------------------
#
# In a plain chain :math:`x_l = F_l(x_{l-1})` the gradient at the bottom is a product of all Jacobians,
# :math:`J_1^\top J_2^\top \cdots J_L^\top c`: one small factor is enough to lose it. A residual block is
# :math:`x_l = x_{l-1} + F_l(x_{l-1})` (He et al. 2016, eq. 1), and its Jacobian is :math:`I + J_l`. Multiplied out,
#
# .. math:: \prod_{l} (I + J_l^\top)\, c = c + \sum_l J_l^\top c + \sum_{k<l} J_k^\top J_l^\top c + \dots
#
# is a sum over all :math:`2^L` choices of blocks to go through or around; the way around all of them hands on :math:`c` itself.

L, D = 5, 6
J, c = 0.5 * rng.standard_normal((L, D, D)) / np.sqrt(D), rng.standard_normal(D)
x = mv.tensor(np.zeros(D), requires_grad=True)
y = x
for j in J:
    y = y + mv.tensor(j) @ y
paths = [c]
for j in J[::-1]:  # each path so far goes on around the block, or through it
    paths += [j.T @ path for path in paths]
np.testing.assert_allclose(np.sum(paths, axis=0), mv.grad(y, [x], mv.tensor(c))[0].numpy(), rtol=1e-12)

# %%
# Signals and gradients before training
# -------------------------------------
#
# Chains of 36 layers, 8 channels wide, look at digits: without norms from PyTorch's default weights, which lose a factor
# :math:`\sqrt 6` in every layer (:doc:`06_normalisation`); with batch norm; and with batch norm and shortcuts. We keep what
# every block gives, and the loss's gradient there.


def network(blocks, residual, seed, normed=True):  # 2 (1 + blocks) + 2 layers
    mv.manual_seed(seed)
    model = mv.create_model("resnet_digits", depths=(1, blocks), widths=(8, 8), residual=residual)
    for made in [] if normed else [*model.layer1, *model.layer2]:
        made.bn1, made.bn2 = nn.Folded(), nn.Folded()  # the sum and the ReLU alone
        made.conv1.weight.data *= 6**-0.5
        made.conv2.weight.data *= 6**-0.5
    return model


def through(model):  # -> root mean squares of what each block of the second stage gives, and of the gradient there
    kept = []
    hooks = [each.register_forward_hook(lambda module, args, y: kept.append(y)) for each in model.layer2]
    gradients = mv.grad(F.cross_entropy(model(mv.tensor(X[:128])), digits.train_labels[:128]), kept)
    for hook in hooks:
        hook.remove()
    return np.array([[np.sqrt(np.mean(each.numpy() ** 2)) for each in some] for some in (kept, gradients)])


CHAINS = {"plain, no norm": (False, False), "plain, batch norm": (False, True), "residual, batch norm": (True, True)}
figure, panels = plt.subplots(1, 2, figsize=(6.8, 3.4), layout="constrained")
ratio = {}
for name, (residual, normed) in CHAINS.items():
    sizes = np.exp(np.mean([np.log(through(network(16, residual, seed, normed))) for seed in range(SEEDS)], axis=0))
    ratio[name] = sizes[1, 0] / sizes[1, -1]
    for panel, row in zip(panels, sizes, strict=True):
        panel.semilogy(range(1, 17), row, "o-", markersize=3, label=name)
panels[0].set(title="signal", xlabel="block", ylabel="root mean square")
panels[1].set(title="gradient of the loss", xlabel="block")
panels[1].legend(fontsize=8)
assert ratio["plain, no norm"] < 1e-6 < 1.0 < ratio["plain, batch norm"]

# %%
# Batch norm cures the vanishing. If that were what depth breaks, the plain network with batch norm would be fine now.
#
# The degradation
# ---------------
#
# Networks of three depths, all with batch norm, learn the digits by the same optimiser and steps. We look at the loss on
# *training* images: a deep network that is worse there does not overfit, it fails to fit.


def train(model, seed, epochs, rate=0.05, size=32):  # -> the mean training loss of the last epoch; the rate falls to 0
    order, optimiser, losses = np.random.default_rng(seed), mv.optim.SGD(model.parameters(), lr=rate, momentum=0.9), []
    batches = [batch for _ in range(epochs) for batch in np.array_split(order.permutation(len(X)), len(X) // size)]
    for i, batch in enumerate(batches):
        optimiser.param_groups[0]["lr"] = rate * (1 - i / len(batches))
        loss = F.cross_entropy(model(mv.tensor(X[batch])), digits.train_labels[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return np.mean(losses[-len(losses) // epochs :])


LAYERS = [2 * (1 + n) + 2 for n in BLOCKS]
models = {(r, n, s): network(n, r, s) for r in (False, True) for n in BLOCKS for s in range(SEEDS)}
last = np.reshape([train(model, seed, EPOCHS) for (*_, seed), model in models.items()], (2, len(BLOCKS), SEEDS))
axes = plt.subplots(figsize=(6.5, 3.4), layout="constrained")[1]
for kind, runs, style in zip(("plain", "residual"), last, ("s--", "o-"), strict=True):
    axes.errorbar(LAYERS, runs.mean(1), np.abs([runs.min(1), runs.max(1)] - runs.mean(1)), fmt=style, capsize=4, label=kind)
axes.set(title=f"Training loss, {EPOCHS} epochs: mean and range of {SEEDS} seeds", xlabel="layers", xticks=LAYERS, ylim=(0, None))
axes.legend()
healthy = min(through(models[False, BLOCKS[-1], s])[1, 0] / through(models[False, BLOCKS[-1], s])[1, -1] for s in range(SEEDS))
assert lesson.quick() or (last[0, -1].min() > last[0, 0].max() and last[1].max() < last[0, -1].min() and healthy > 1)
spans = [" and ".join(f"{runs.mean():.2f} ({runs.min():.2f} to {runs.max():.2f})" for runs in kind[[0, -1]]) for kind in last]
lesson.claim("C2", f"training loss, {LAYERS[0]} and {LAYERS[-1]} layers, {SEEDS} seeds: plain {spans[0]}; residual {spans[1]}. "
             f"All have batch norm; the gradient at the deep plain ones' first block is {healthy:.1f} times the last's or more",
             "holds at this scale")  # fmt: skip

# %%
# With more layers the plain network ends *higher* on images that it learns from, the residual one *lower*, and the gradient of
# the deep plain one is there. Batch norm cures vanishing gradients; it does not cure this.
#
# The deep network that training does not find
# --------------------------------------------
#
# Deep plain networks have better weights. Take a shallow one, trained, and put blocks behind it that hand on what they get: each
# convolution a 1 in the middle of its own channel, each norm without effect, and ReLUs of what is not negative (section 1).


def deepened(shallow, residual):  # as deep as the deepest, computing what the shallow one computes
    deep = network(BLOCKS[-1], residual, seed=0)
    for made in list(deep.layer2)[BLOCKS[0] :]:
        for conv, bn in ((made.conv1, made.bn1), (made.conv2, made.bn2)):
            conv.weight.data[:], conv.weight.data[:, :, 1, 1] = 0, np.eye(8)
            nn.init.constant_(bn.weight, (1 + bn.eps) ** 0.5)
        if residual:
            nn.init.zeros_(made.bn2.weight)  # all that a residual block needs to do nothing
    deep.load_state_dict(shallow.state_dict(), strict=False)
    return deep


def loss_of(model):  # on all training images, with the running means and variances
    with mv.no_grad():
        return F.cross_entropy(model.eval()(mv.tensor(X)), digits.train_labels).item()


for residual in (False, True):
    first, deepest = ([models[residual, n, s] for s in range(SEEDS)] for n in (BLOCKS[0], BLOCKS[-1]))
    shallow, deep = (np.array([loss_of(model) for model in some]) for some in (first, deepest))
    built = [loss_of(deepened(model, residual)) for model in first]
    np.testing.assert_allclose(built, shallow, rtol=1e-4)
    print(f"{'residual' if residual else 'plain':>8}: shallow {shallow}, the same made deep {built}, deep and trained {deep}")
    assert lesson.quick() or np.all(built < deep) != residual

# %%
# The deep plain network has these weights within its reach, and descent does not get there: to do nothing, two layers must learn
# the identity. A residual block does nothing with its branch at 0, near where it begins. The idea is one about *optimisation*.
#
# Many narrow paths
# -----------------
#
# ResNeXt's block (eq. 2 there) is a sum of :math:`C` bottlenecks, each :math:`d` channels wide. A matrix times stacked vectors is
# a sum, :math:`[W_1 \dots W_C] [y_1; \dots; y_C] = \sum_i W_i y_i`, so the last 1x1 convolutions are one. The first, stacked,
# are one as well; the 3x3 convolution between must not mix channels across paths, which is what groups are.

C, d, D = 8, 2, 32
x = rng.standard_normal((2, D, 8, 8))
inward, middle, outward = (rng.standard_normal(shape) for shape in ((C, d, D, 1, 1), (C, d, d, 3, 3), (C, D, d, 1, 1)))


def path(x, a, b, groups=1):
    return F.relu(F.conv2d(F.relu(F.conv2d(x, a)), b, padding=1, groups=groups))


summed = sum(F.conv2d(path(x, a, b), w) for a, b, w in zip(inward, middle, outward, strict=True))
back = np.concatenate(outward, axis=1)  # (D, C d, 1, 1)
joined = F.conv2d(np.concatenate([path(x, a, b) for a, b in zip(inward, middle, strict=True)], axis=1), back)
grouped = F.conv2d(path(x, np.concatenate(inward), np.concatenate(middle), groups=C), back)
np.testing.assert_allclose([joined, grouped], [summed] * 2, atol=1e-12 * np.abs(summed).max())

# %%
# With norms, which are split as channels are, the library's ``split_groups`` and ``split_sum`` hand weights from form to form.

block_c = Bottleneck(D, 8, 1, ResNetConfig("bottleneck", (1,), (8,), groups=C, base_width=8 * d)).double()
form_b, form_a = (kind(D, D, C, d).double() for kind in (ConcatenatedPaths, SumOfPaths))
state = split_groups({key: np.asarray(value) for key, value in block_c.state_dict().items()}, C)
_ = form_b.load_state_dict(state), form_a.load_state_dict(split_sum(state, C))
one, *others = [form(mv.tensor(x)).numpy() for form in (block_c.branch, form_b, form_a)]
gap = np.abs(np.subtract(others, one)).max() / np.abs(one).max()
assert gap < 1e-12
lesson.claim("C3", f"{C} paths summed, concatenated, or as {C} groups, norms included, are one function to {gap:.0e} of its size")

# %%
# What is the split worth?
# ------------------------
#
# A block of :math:`D` channels has :math:`C (D d + 9 d^2 + d D)` weights (eq. 4). They can go into paths, the width of
# one path, or twice as many blocks with a narrower path. The paper finds paths best on ImageNet (tables 3, 4; not checked here).

budget = block_weights(D, C, d)
WAYS = {  # (blocks, C, d)
    f"{C} paths": (2, C, d),
    "1 wide path": (2, 1, round(equal_width(D, 1, budget))),
    "twice as deep": (4, 1, round(equal_width(D, 1, budget / 2))),
}
RUNS, LONG = (1, 1) if lesson.quick() else (5, 5)  # seeds, epochs


def spend(blocks, cardinality, width, seed):  # -> training loss of the last epoch, test accuracy
    mv.manual_seed(seed)
    sizes = {"depths": (blocks,), "widths": (D // 4,), "groups": cardinality, "base_width": width * 8}
    model = mv.create_model("resnext_digits", **sizes)
    loss = train(model, seed, LONG)
    with mv.no_grad():
        return loss, np.mean(model.eval()(mv.tensor(X_test)).numpy().argmax(1) == digits.test_labels)


found = np.array([[spend(*way, seed) for seed in range(RUNS)] for way in WAYS.values()])  # (way, seed, 2)
figure, panels = plt.subplots(1, 2, figsize=(6.8, 2.6), layout="constrained", sharey=True)
for panel, values, title in zip(panels, np.moveaxis(found, -1, 0), ("training loss", "test accuracy"), strict=True):
    panel.plot(values, range(len(WAYS)), "o", color="C0", alpha=0.5)
    panel.plot(values.mean(1), range(len(WAYS)), "k|", markersize=16)
    panel.set(title=title, yticks=range(len(WAYS)), yticklabels=WAYS, ylim=(len(WAYS) - 0.5, -0.5))
if not lesson.quick():
    assert found[0, :, 0].max() < found[1, :, 0].min()  # every run against every run
    assert found[0, :, 1].min() > found[1, :, 1].max()
    assert found[0, :, 1].mean() > found[2, :, 1].mean()
told = [f"{name}: {row.mean():.1%} ({row.min():.1%} to {row.max():.1%})" for name, row in zip(WAYS, found[..., 1], strict=True)]
lesson.claim("C3", f"test digits right after {LONG} epochs, {RUNS} seeds, networks of about {2 * budget} weights in blocks: "
             f"{', '.join(told)}", "holds at this scale")  # fmt: skip

# %%
# Every run with paths beats every run with one wide path, on training and test images. Against depth the averages say the same,
# but the training losses overlap: five small runs at one learning rate do not tell these two apart for certain.
#
# Exercises
# ---------
#
# ``minivision exercise start ID``: ``pad-shortcut``, a shortcut that has no weights; ``equal-width``, eq. 4 solved for the width;
# ``split-groups``, from a grouped convolution to its paths.
