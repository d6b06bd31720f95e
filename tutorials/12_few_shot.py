r"""
Few shots and one solve
=======================

How good are the features of a network for classes that it has never seen? More training would answer, but slowly, and with a
dozen settings that could be blamed. The ViT paper asks with a handful of labelled images and *one linear solve*, which has a
single exact answer. We derive it, get every strength of regularisation from one decomposition and the leave-one-out error for
nothing, and then ask it of a digits transformer that was shown half of the digits.

:Prerequisites: :doc:`08_vit`
"""

from itertools import product

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import lesson, probe, train

mv.set_num_threads(1)  # so small a network is not worth a second thread

# %%
# Regularised least squares
# -------------------------
#
# Frozen features of :math:`N` labelled images are the rows of :math:`X`, shape :math:`(N, D)`; targets :math:`Y`, shape
# :math:`(N, K)`, are 1 in the column of an image's class and -1 elsewhere (Dosovitskiy et al. 2021, section 4.1). Minimise
#
# .. math:: \|XW - Y\|^2 + \lambda \|W\|^2 .
#
# Its gradient is :math:`2 X^\top (XW - Y) + 2 \lambda W`, and it is zero in one place only, for the matrix below is positive
# definite:
#
# .. math:: W = (X^\top X + \lambda I)^{-1} X^\top Y .
#
# No learning rate, no epochs, no seed. The tape agrees that this is the bottom.

rng = np.random.default_rng(0)
N, D, K = 60, 25, 5
X = rng.standard_normal((N, D)) @ rng.standard_normal((D, D))
Y = np.where(np.arange(K) == rng.integers(K, size=N)[:, None], 1.0, -1.0)


def direct(X, Y, penalty):
    return np.linalg.solve(X.T @ X + penalty * np.eye(X.shape[1]), X.T @ Y)


W = mv.tensor(direct(X, Y, 3.0), requires_grad=True)
loss = ((mv.tensor(X) @ W - mv.tensor(Y)) ** 2).sum() + 3.0 * (W**2).sum()
loss.backward()
assert np.abs(W.grad.data).max() < 1e-9 * np.abs(X.T @ Y).max()

# %%
# The whole path from one decomposition
# -------------------------------------
#
# How large should :math:`\lambda` be? Each value would be a solve of its own. But :math:`\lambda I` turns no eigenvector: with
# :math:`X^\top X = V \operatorname{diag}(s)\, V^\top`,
#
# .. math:: W(\lambda) = V \operatorname{diag}\!\left(\frac{1}{s_k + \lambda}\right) V^\top X^\top Y .
#
# The decomposition is done once, and every :math:`\lambda` after that costs two small products. Directions in which the features
# vary much, :math:`s_k \gg \lambda`, are kept; the others are shrunk towards 0.


def path(X, Y, penalties):  # -> W (L, D, K) for each of L penalties, and s, V
    s, V = mv.ops.linalg.eigenpairs(X.T @ X)
    turned = V.T @ (X.T @ Y)  # (D, K)
    return np.stack([V @ (turned / (s + penalty)[:, None]) for penalty in penalties]), s, V


PENALTIES = np.logspace(-3, 4, 43)
solved = np.array([direct(X, Y, penalty) for penalty in PENALTIES])
np.testing.assert_allclose(path(X, Y, PENALTIES)[0], solved, rtol=1e-6, atol=1e-9)

# %%
# Leaving one out, for nothing
# ----------------------------
#
# Which :math:`\lambda` predicts best what was not seen? Leave image :math:`i` out, solve, predict it; for each of :math:`N`
# images. It can be had from the one solve with all of them. Predictions are :math:`\hat Y = HY` with
# :math:`H = X (X^\top X + \lambda I)^{-1} X^\top`. Suppose image :math:`i` is left out, and put back with the target that was
# then predicted for it: the solution does not move. So the prediction :math:`p_i` satisfies
# :math:`p_i = \hat y_i + h_{ii} (p_i - y_i)`, and its error is
#
# .. math:: p_i - y_i = \frac{\hat y_i - y_i}{1 - h_{ii}}, \qquad h_{ii} = \sum_k \frac{(XV)_{ik}^2}{s_k + \lambda} .


def left_out(X, Y, penalties):  # -> the predictions for images that were left out, (L, N, K), and the path
    W, s, V = path(X, Y, penalties)
    h = (X @ V) ** 2 @ (1 / (s[:, None] + penalties))  # (N, L)
    return Y + (X @ W - Y) / (1 - h.T[:, :, None]), W


some = PENALTIES[::6]
brute = [[X[i] @ direct(np.delete(X, i, 0), np.delete(Y, i, 0), penalty) for i in range(N)] for penalty in some]
np.testing.assert_allclose(left_out(X, Y, some)[0], brute, rtol=1e-6, atol=1e-8)
gaps = [np.abs(path(X, Y, PENALTIES)[0] - solved).max(), np.abs(left_out(X, Y, some)[0] - brute).max()]
lesson.claim("V12", f"one decomposition gives {len(PENALTIES)} solves to {gaps[0]:.0e}, and predictions for each left-out image "
             f"as {N * len(some)} solves do, to {gaps[1]:.0e}")  # fmt: skip

# %%
# The library's ``probe.ridge`` is this path with a bias that no penalty holds down: the best bias for any :math:`W` takes the
# means of :math:`X` and :math:`Y` away. ``minivision few-shot`` prints its answers for any model and checkpoint.

centred = path(X - X.mean(0), Y - Y.mean(0), PENALTIES)[0]
np.testing.assert_allclose(probe.ridge(X, Y, PENALTIES)[0], centred, rtol=1e-6, atol=1e-9)

# %%
# A transformer that saw half of the digits
# -----------------------------------------
#
# A small ViT learns 0 to 4 from every other training image. The rest of the images, of all ten digits, are for the solves: five
# classes that it knows, on images that it does not, and five that it has never seen. Beside its features stand those of a
# transformer with random weights, and the bare pixels, which any features should beat to be worth their name.

digits = mv.data.load("digits")
SEEDS, DRAWS, EPOCHS = (1, 2, 2) if lesson.quick() else (3, 10, 40)
GROUPS, SHOTS = {"0 to 4, known": np.arange(5), "5 to 9, never seen": np.arange(5, 10)}, [1, 2, 5, 10, 20, 40]
KINDS = ["trained ViT", "random ViT", "pixels"]
shown = np.flatnonzero((np.arange(len(digits.train_labels)) % 2 == 0) & (digits.train_labels < 5))
pool, pool_labels = digits.train_images[1::2], digits.train_labels[1::2]
asked = digits.test_labels < 5
half = mv.data.Dataset(
    "0 to 4", digits.train_pixels[shown], digits.train_labels[shown], digits.test_pixels[asked], digits.test_labels[asked],
    classes=digits.classes[:5], white=digits.white, augmentation=digits.augmentation,
)  # fmt: skip


def features(model, images):  # (N, C, H, W) -> (N, D + 1): the class token after the last norm, or the pixels; and 1 for the bias
    with mv.no_grad():
        x = images if model is None else model.eval().forward_features(mv.tensor(images)).data[:, 0]
    return np.column_stack([x.reshape(len(x), -1), np.ones(len(x))]).astype(np.float64)


def few_shot(known, asked, classes, shots, draw):  # features of pool and test -> (L,) leave-one-out errors, and right answers
    order = np.random.default_rng(draw).permutation(len(pool))
    chosen = np.concatenate([order[pool_labels[order] == c][:shots] for c in classes])
    Y = np.where(pool_labels[chosen, None] == classes, 1.0, -1.0)
    predicted, W = left_out(known[chosen], Y, PENALTIES)
    test = np.isin(digits.test_labels, classes)
    answers = classes[(asked[test] @ W).argmax(-1)]  # (L, N)
    return ((predicted - Y) ** 2).mean((1, 2)), np.mean(answers == digits.test_labels[test], axis=1)


right = np.zeros((len(GROUPS), len(KINDS), len(SHOTS), SEEDS, DRAWS))
for seed in range(SEEDS):
    trainer = train.Trainer(train.Config("vit", epochs=EPOCHS, seed=seed), half)
    models = [trainer.model, mv.create_model("vit", num_classes=5), None]
    list(trainer.steps())  # an epoch after the other
    tables = [(features(model, pool), features(model, digits.test_images[:])) for model in models]
    print(f"seed {seed}: {trainer.rows[-1]['test_accuracy']:.1%} of unseen images of 0 to 4 right")
    for (g, classes), (k, table), (n, shots) in product(*map(enumerate, (GROUPS.values(), tables, SHOTS))):
        for draw in range(DRAWS):
            errors, answers = few_shot(*table, classes, shots, draw)
            right[g, k, n, seed, draw] = answers[errors.argmin()]  # the penalty is chosen without a look at the test
figure, axes = plt.subplots(1, 2, figsize=(6.8, 3.8), layout="constrained", sharey=True)
for axis, title, group in zip(axes, GROUPS, right, strict=True):
    for kind, runs in zip(KINDS, group.reshape(len(KINDS), len(SHOTS), -1), strict=True):
        colour = axis.semilogx(SHOTS, runs.mean(-1), "o-", label=kind)[0].get_color()
        axis.fill_between(SHOTS, *np.quantile(runs, [0.1, 0.9], axis=-1), color=colour, alpha=0.2)
    axis.set(title=title, xlabel="labelled images a class", xticks=SHOTS)
    axis.set_xticklabels(SHOTS)
    axis.minorticks_off()
axes[0].set(ylabel="right answers (shaded: 80 % of runs)")
axes[1].legend()

# %%
# Of classes that it knows, one image each calls up nearly all that the network can tell. For classes that it has never seen its
# features are better than random weights' and worse than no network at all: a few images of five digits, 8 x 8 pixels of ink, do
# not make features for the other five. The paper's networks had seen millions of images of thousands of classes (section 4.1).
# The solve is the same, and *exact*; what it measures is what a network was shown.

mean = right.mean((-1, -2))  # (group, kind, shots)
for group, table in zip(GROUPS, mean, strict=True):
    for kind, row in zip(KINDS, table, strict=True):
        print(f"{group:>18}, {kind:>11}: " + ", ".join(f"{shots}: {share:.0%}" for shots, share in zip(SHOTS, row, strict=True)))
if not lesson.quick():
    assert mean[0, 0, 0] > mean[0, 2, 0] + 0.05  # known classes, one shot: above pixels
    assert np.all(mean[1, 0, :4] > mean[1, 1, :4] + 0.05)  # never seen, up to ten shots: above random weights
    assert np.all(mean[1, 0] < mean[1, 2])  # and below pixels

# %%
# The path that chose
# -------------------
#
# The leave-one-out error needs no test image, and its lowest point is near the best of the test. Too small a penalty learns the
# noise of the few images, too large a one shrinks everything.

figure, axes = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
for shots in (2, 10, 40):
    errors, answers = few_shot(*tables[0], GROUPS["5 to 9, never seen"], shots, draw=0)
    colour = axes.semilogx(PENALTIES, answers, label=f"{shots} images a class")[0].get_color()
    axes.plot(PENALTIES[errors.argmin()], answers[errors.argmin()], "o", color=colour)
    print(f"{shots} shots: {answers[errors.argmin()]:.1%} right where leave-one-out is lowest, {answers.max():.1%} at best")
axes.set(title="The whole path (dot: chosen by leave-one-out)", xlabel="penalty λ", ylabel="right answers, 5 to 9")
axes.legend()

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``symmetric-part``: what a decomposition looks at. ``solve-gradient``: from
# :math:`Y = A^{-1} B`. ``eigenpairs``: eigenvectors with a sign of their own. ``inverse-gradient``: two products.
# ``eigenpairs-gradient``: how eigenvalues and eigenvectors move, and what happens where two eigenvalues meet.
