r"""
Inception: a square is two lines
================================

A convolution of 7 x 7 has 49 weights for each pair of maps. Inception-v4 has none: where it looks that far, a row of 1 x 7 is
followed by a column of 7 x 1. What is lost, and what is not? There is an exact answer, and it is the rank of a matrix. Then the
paper's other half, Inception-ResNet, where what a module finds is multiplied by 0.1 before it is added: what does a factor do
that the weights behind it could do as well?

:Prerequisites: :doc:`04_convolution`, :doc:`06_normalisation`
"""

from itertools import product

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, nn
from minivision.models.inception_resnet_v2 import Residual, block17
from minivision.models.inception_v4 import COLUMN, ROW, ConvNorm, Layers

mv.set_num_threads(1)  # so small networks are not worth a second thread
digits, rng = mv.data.load("digits"), np.random.default_rng(0)
X, X_test = np.asarray(digits.train_images), np.asarray(digits.test_images)

# %%
# A row, then a column
# --------------------
#
# A row :math:`r` of shape :math:`(M, C, n)` makes :math:`M` maps of :math:`C`, and a column :math:`k` of shape :math:`(O, M, n)`
# makes :math:`O` of those. With nothing between them,
#
# .. math:: y_o(u, v) = \sum_{m, i} k_{omi} \sum_{c, j} r_{mcj}\, x_c(u + i, v + j)
#    = \sum_{c, i, j} \underbrace{\Big(\sum_m k_{omi}\, r_{mcj}\Big)}_{K_{ocij}} x_c(u + i, v + j) ,
#
# which is a convolution with the square kernel :math:`K`: a sum of outer products for each pair of maps. Zeros around the image
# change nothing, for a row of zeros gives zeros. Here are the two layers as Inception-v4 has them, without their norms and ReLUs:


def square(row, column):  # (M, C, 1, n), (O, M, n, 1) -> (O, C, n, n)
    return np.einsum("omi,mcj->ocij", column[..., 0], row[:, :, 0])


row, column = (layer.conv for layer in Layers().chain(6, (5, ROW), (4, COLUMN)).double())
x = mv.tensor(rng.standard_normal((2, 6, 12, 11)))
K = square(row.weight.numpy(), column.weight.numpy())
gap = np.abs(column(row(x)).numpy() - F.conv2d(x, mv.tensor(K), padding=3).numpy()).max()
assert gap < 1e-13

# %%
# The square costs :math:`n^2` multiply-adds for each pair of maps and pixel, the lines :math:`n + n`: a share of :math:`2/n`, for
# as many maps in the middle as before and behind. The profiler counts both.

for n in (3, 5, 7):
    made = [Layers().conv(16, 16, n), Layers().chain(16, (16, (1, n)), (16, (n, 1)))]
    whole, two = (mv.profile(each, (16, 17, 17)).macs for each in made)
    assert n * two == 2 * whole
lesson.claim("C14", f"1 x 7 and then 7 x 1 equal one 7 x 7 to {gap:.0e}, for {two / whole:.1%} of its multiply-adds")

# %%
# Which squares are two lines?
# ----------------------------
#
# Read :math:`K_{ocij}` as a matrix with rows :math:`(o, i)` and columns :math:`(c, j)`. The sum over :math:`m` above is then a
# product of an :math:`(On) \times M` and an :math:`M \times (Cn)` matrix. So
#
#     *an n x n convolution is a row and a column with M maps between them exactly if this matrix has rank M or less.*
#
# For one map in and out it is the kernel itself, and with :math:`M = 1` it must be an outer product. And if the rank is larger?
# The singular value decomposition gives the nearest pair of lines (Eckart and Young 1936).


def lines(K, M):  # (O, C, n, n) -> row (M, C, 1, n), column (O, M, n, 1)
    O, C, n, _ = K.shape
    U, s, V = np.linalg.svd(K.transpose(0, 2, 1, 3).reshape(O * n, C * n))  # the matrix of (o, i) and (c, j)
    root = np.sqrt(s[:M])
    return (root[:, None] * V[:M]).reshape(M, C, 1, n), (U[:, :M] * root).reshape(O, n, M).transpose(0, 2, 1)[..., None]


np.testing.assert_allclose(square(*lines(K, 5)), K, atol=1e-13)  # five maps were between them: found again
u = np.arange(-3, 4)
bell, far = np.exp(-(u**2) / 4.0), np.hypot(*np.meshgrid(u, u))
KERNELS = {
    "Gaussian": np.outer(bell, bell),
    "edge (Sobel)": np.outer(bell, u * bell),
    "Laplacian of a Gaussian": (far**2 - 4.0) * np.outer(bell, bell),
    "ring": np.exp(-((far - 2.0) ** 2)),
    "diagonal": np.eye(7),
}
figure, panels = plt.subplots(3, len(KERNELS), figsize=(7.5, 4.6), layout="constrained")
for (name, kernel), (top, middle, bottom) in zip(KERNELS.items(), panels.T, strict=True):
    s = np.linalg.svd(kernel, compute_uv=False)
    one = square(*lines(kernel[None, None], 1))[0, 0]
    rank, largest = np.sum(s > 1e-12 * s[0]), np.abs(kernel).max()
    np.testing.assert_allclose(np.sum((kernel - one) ** 2), np.sum(s[1:] ** 2), atol=1e-12)  # what is lost: the other values
    for axes, image in (top, kernel), (middle, one):
        axes.imshow(image, cmap="RdBu", vmin=-largest, vmax=largest)
        axes.set(xticks=[], yticks=[])
    top.set_title(f"{name}\nrank {rank}", fontsize=9)
    middle.set_title(f"{np.sum(s[1:] ** 2) / np.sum(s**2):.0%} is lost", fontsize=9)
    bottom.bar(range(1, 8), s / s[0])
    bottom.set(xticks=[1, 4, 7], yticks=[0, 1], xlabel="number")
for axes, name in zip(panels[:, 0], ["kernel", "nearest lines", "singular\nvalues"], strict=True):
    axes.set_ylabel(name)

# %%
# The diagonal is the worst there is: no line along the axes says anything about it. What training finds is somewhere between. A
# network of two 7 x 7 convolutions learns digits; then its second one is replaced by lines with fewer and fewer maps between,
# without any further training. Its matrix is 112 x 112; at 16 maps the lines cost 2/7 of the square.


def learn(model, groups, seed, steps):  # -> the losses of SGD on random batches of 64
    order, losses, dtype = np.random.default_rng(seed), [], next(model.parameters()).dtype
    optimiser = mv.optim.SGD(groups, lr=0.1, momentum=0.9)
    for _ in range(steps):
        batch = order.choice(len(X), 64, replace=False)
        loss = F.cross_entropy(model(mv.tensor(X[batch].astype(dtype))), digits.train_labels[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def accuracy(model):
    with mv.no_grad():
        return np.mean(model.eval()(mv.tensor(X_test)).data.argmax(axis=1) == digits.test_labels)


mv.manual_seed(0)
model = nn.Sequential(ConvNorm(1, 16, 7), ConvNorm(16, 16, 7), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10))
untrained = model[1].conv.weight.numpy().copy()
learn(model, model.parameters(), 0, 10 if lesson.quick() else 180)
trained, whole = model[1].conv.weight.numpy().copy(), accuracy(model)
counts, right = [1, 2, 4, 8, 12, 16, 24, 32, 48, 112], []
for count in counts:
    model[1].conv.weight.assign(square(*lines(trained, count)))
    right.append(accuracy(model))
figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.2), layout="constrained")
for name, weight in ("before training", untrained), ("trained", trained):
    s = np.linalg.svd(weight.transpose(0, 2, 1, 3).reshape(112, 112), compute_uv=False)
    axes[0].plot(range(1, 113), np.cumsum(s**2) / np.sum(s**2), label=f"{name}: {np.sum(s[:16] ** 2) / np.sum(s**2):.0%} in 16")
axes[0].axvline(16, color="k", linestyle=":")
axes[0].set(title="Share of the 7 x 7 kernel in lines", xlabel="maps between row and column", ylabel="share of the squares")
axes[0].legend()
axes[1].semilogx(counts, right, "o-", label="replaced by lines")
axes[1].axhline(whole, color="k", linestyle=":", label="the square kernel")
axes[1].set(title="Right answers on test digits", xlabel="maps between row and column")
axes[1].legend()
print(f"with {counts[5]} maps between them, the lines read {right[5]:.1%} of the test digits, the square {whole:.1%}")
assert abs(right[-1] - whole) < 0.01  # all 112 are the square again
assert lesson.quick() or right[0] < whole - 0.2

# %%
# What training finds is closer to lines than chance is, and with sixteen maps between row and column, for 2/7 of the cost, the
# lines read about as many digits as the square. Inception-v4 has no square to replace: it trains the two lines from the start,
# with a norm and a ReLU between them.
#
# A tenth of what was found
# -------------------------
#
# The modules of Inception-ResNet end in a 1 x 1 convolution with weights :math:`W` and a bias, and add a part :math:`s` of it:
#
# .. math:: y = \operatorname{ReLU}(x + s\,(W h(x) + b)), \qquad s = 0.1 \dots 0.3 \;\text{(section 3.3)} .
#
# The paper reports that wide residual networks "died" in training without the factor, and that neither a lower learning rate nor
# more norms saved them (not checked here, where nothing is so wide). As a function the factor is nothing: :math:`s W` and
# :math:`s b` could be the weights. All of the network's modules, with the factor and with it folded in:


def fold(model):  # s into W and b of every module
    for block in [each for each in model.modules() if isinstance(each, Residual)]:
        for parameter in block.conv2d.parameters():
            parameter.assign(block.scale * parameter.numpy())
        block.scale = 1.0
    return model


mv.manual_seed(0)
model = mv.create_model("inception_resnet_v2_digits").double().eval()
some = mv.tensor(X_test[:50].astype(np.float64))
np.testing.assert_allclose(model(some).numpy(), fold(model)(some).numpy(), atol=1e-12)

# %%
# In training it is something. By the chain rule the loss's gradient for :math:`W` is :math:`s` times that for :math:`W' = sW`. A
# step of gradient descent, :math:`W \leftarrow W - \eta\, s\, \partial / \partial W'`, therefore moves what counts by
#
# .. math:: W' \leftarrow W' - \eta\, s^2\, \frac{\partial}{\partial W'} .
#
# The factor is a learning rate: **these layers alone learn** :math:`s^2` **times as fast**, from a start that is :math:`s` times
# as large. Momentum is linear, and changes nothing about it. So modules with :math:`s = 0.1` at :math:`\eta`, and modules without
# a factor, folded at the start and with :math:`\eta / 100` for their last convolutions, are one run:


def build(scale, seed, blocks=8):
    mv.manual_seed(seed)
    first, last = ConvNorm(1, 34, 3, 2), nn.Linear(34, 10)  # 4 x 4 pixels; the paper's 1088 maps over 32
    modules = (block17(Layers(32), scale) for _ in range(blocks))
    return nn.Sequential(first, *modules, nn.AdaptiveAvgPool2d(1), nn.Flatten(), last)


losses = []
for folding in (False, True):
    model = build(0.1, 0, blocks=2).double()
    if folding:
        fold(model)
    rates = {False: 0.1, True: 0.1 * 0.1**2 if folding else 0.1}  # of the last convolutions: True
    groups = {slow: [p for name, p in model.named_parameters() if ("conv2d" in name) == slow] for slow in rates}
    losses.append(learn(model, [{"params": groups[slow], "lr": rates[slow]} for slow in rates], 0, 6))
np.testing.assert_allclose(losses[0], losses[1], rtol=1e-10)

# %%
# A high rate, with and without
# -----------------------------
#
# Eight modules of figure 17, a thirty-second as wide as the paper's, learn digits for sixty steps, at rising learning rates.

STEPS, SEEDS, RATES = (1, 1, [1.0]) if lesson.quick() else (60, 3, [0.03, 0.1, 0.3, 1.0])
final, curves = {scale: np.zeros((len(RATES), SEEDS)) for scale in (0.1, 1.0)}, {}
for scale, (i, rate), seed in product(final, enumerate(RATES), range(SEEDS)):
    model = build(scale, seed)
    curves[scale, seed] = learn(model, [{"params": list(model.parameters()), "lr": rate}], seed, STEPS)
    final[scale][i, seed] = np.mean(curves[scale, seed][-10:])
figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.4), layout="constrained", sharey=True)
for (scale, table), colour in zip(final.items(), ("C0", "C1"), strict=True):
    axes[0].semilogx(RATES, table.mean(axis=1), "o-", color=colour, label=f"s = {scale}")
    axes[0].fill_between(RATES, table.min(axis=1), table.max(axis=1), color=colour, alpha=0.2)
    for seed in range(SEEDS):
        axes[1].plot(curves[scale, seed], color=colour, linewidth=1)
    print(f"s = {scale}, losses at the highest rate: {table[-1].min():.2f} to {table[-1].max():.2f}")
axes[0].axhline(np.log(10), color="k", linestyle=":", label="knowing nothing")
axes[0].set(title="Loss after sixty steps: three seeds", xlabel="learning rate", ylabel="loss")
axes[1].set(title=f"Every step at learning rate {RATES[-1]}", xlabel="step")
axes[0].legend()
if not lesson.quick():
    assert final[0.1][-1].max() < 1.0 < final[1.0][-1].min()  # at the highest rate the factor is needed
    assert final[1.0][1].max() < final[0.1][1].min()  # at a tenth of it, it is in the way

# %%
# Both halves of it are seen. At the highest rate the modules without a factor leap in their first steps and do not recover, from
# any of the seeds, while those with 0.1 learn. At low rates the factor only delays, as a learning rate a hundred times smaller in
# one layer of five should. That a lower rate cannot stand in for it, as the paper says of wide networks, is not so at this width.
#
# Exercises
# ---------
#
# ``minivision exercise start ID``: ``residual-scaling`` is the module with its factor; ``inception-forks`` the module C of
# figure 6, where a row and a column of three stand side by side.
