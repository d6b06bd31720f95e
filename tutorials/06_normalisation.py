r"""
Normalisation: one formula, five layers, one gradient
=====================================================

Batch, layer, group, instance and RMS normalisation fill a page each in the handbooks. They are one formula over different axes,
with one gradient, which is derived here in a few lines. Then the question that matters: what do they do for a deep network? They
hold the scale of the activations, which is measured first; and batch normalisation does something more, which is measured last.

:Prerequisites: :doc:`01_tape`, :doc:`02_gradients`
"""

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, nn

digits = mv.data.load("digits")
X, X_test = (np.asarray(images).reshape(-1, 64) for images in (digits.train_images, digits.test_images))
rng = np.random.default_rng(0)

# %%
# Why: scales multiply
# --------------------
#
# A layer of :math:`n` ReLU units with weights from :math:`N(0, 2g^2/n)` multiplies the size of what goes through by :math:`g`: an
# output sums :math:`n` products, and ReLU throws half of their squares away (He et al. 2015, section 2.2). :math:`L` layers make
# that :math:`g^L`, and the gradient on its way back meets the same factors: fifty do not forgive a :math:`g` that is off by a
# fifth. Where each layer is normalised, :math:`g` does not matter.


def normalise(x, axes, eps=1e-5, centre=True):
    m = x.mean(axes, keepdims=True) if centre else 0.0
    r = 1.0 / np.sqrt(np.mean((x - m) ** 2, axes, keepdims=True) + eps)
    return (x - m) * r, r


figure, axes = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
for gain in (0.8, 1.0, 1.25):
    sizes, h, same = [], X[:200].astype(np.float64), X[:200].astype(np.float64)
    for _ in range(50):
        W = gain * rng.standard_normal((h.shape[1], 256)) * np.sqrt(2.0 / h.shape[1])
        h, same = np.maximum(h @ W, 0.0), np.maximum(normalise(same @ W, -1)[0], 0.0)
        sizes.append((np.sqrt(np.mean(h * h)), np.sqrt(np.mean(same * same))))
    plain, normed = np.transpose(sizes)
    rate = (plain[-1] / plain[0]) ** (1 / 49)
    print(f"g = {gain}: measured factor a layer {rate:.3f}; last over first, normalised: {normed[-1] / normed[0]:.2f}")
    np.testing.assert_allclose([rate / gain, normed[-1] / normed[0]], 1.0, atol=0.05)
    (line,) = axes.semilogy(plain, label=f"plain, g = {gain}")
    axes.semilogy(plain[0] * gain ** np.arange(50), ":", color=line.get_color())
axes.semilogy(normed, "k--", label="layer norm, any g")
axes.set(title="Size of the activations through fifty layers", xlabel="layer (dotted: the prediction)", ylabel="root mean square")
axes.legend(fontsize=9)

# %%
# One formula
# -----------
#
# .. math:: h = (x - m)\, r, \qquad m = \operatorname{mean} x, \qquad r = 1 / \sqrt{\operatorname{mean} (x - m)^2 + \varepsilon}
#
# and then :math:`y = wh + b` with learned :math:`w, b`. What differs is the set over which the means are taken, and RMS norm has
# :math:`m = 0`. For images (N, C, H, W):

x = rng.standard_normal((4, 6, 8, 8)) * 3 + 1
KINDS = {  # the axes, whether centred, and the library's
    "batch": ((0, 2, 3), True, lambda x: F.batch_norm(x, None, None, training=True)),
    "layer": ((1, 2, 3), True, lambda x: F.layer_norm(x, x.shape[1:])),
    "instance": ((2, 3), True, F.instance_norm),
    "RMS": ((1, 2, 3), False, lambda x: F.rms_norm(x, x.shape[1:], eps=1e-5)),
}
for axes, centre, library in KINDS.values():
    np.testing.assert_allclose(normalise(x, axes, centre=centre)[0], library(x), rtol=1e-10, atol=1e-12)
pairs = x.reshape(4, 3, 2, 8, 8)  # (N, C / 2, 2, H, W)
np.testing.assert_allclose(normalise(pairs, (2, 3, 4))[0].reshape(x.shape), F.group_norm(x, 3), rtol=1e-10, atol=1e-12)

image, channel = np.indices((4, 6))
shared = {"batch": channel, "layer and RMS": image, "instance": 6 * image + channel, "group of 2": 3 * image + channel // 2}
figure, panels = plt.subplots(2, 2, figsize=(6.5, 4.6), layout="constrained", sharex=True, sharey=True)
figure.suptitle("Cells of one number share a mean: every cell is an image's channel")
for axes, (name, numbers) in zip(panels.flat, shared.items(), strict=True):
    axes.imshow((numbers * 7) % (numbers.max() + 1), cmap="Pastel1" if numbers.max() < 9 else "Pastel2", aspect="auto")
    for (i, j), number in np.ndenumerate(numbers):
        axes.text(j, i, number, ha="center", va="center")
    axes.set(title=name, xlabel="channel", ylabel="image")
    axes.label_outer()

# %%
# The gradient
# ------------
#
# Let :math:`n` elements share a mean, and :math:`v = \operatorname{mean}(x - m)^2`. Then :math:`\partial m / \partial x_i = 1/n`,
# and :math:`\partial v / \partial x_i = 2 (x_i - m) / n` (the mean's own movement drops out: deviations sum to 0), so
# :math:`\partial r / \partial x_i = -\frac12 r^3 \cdot 2 (x_i - m)/n = -r^2 h_i / n`, and
#
# .. math:: \frac{\partial h_j}{\partial x_i} = r \Big(\delta_{ij} - \frac1n - \frac{h_i h_j}{n}\Big), \qquad
#    \bar x = r \big( \bar h - \operatorname{mean} \bar h - h \operatorname{mean}(\bar h h) \big) .
#
# Without the centring, the middle term goes. These lines are the gradient of all five:


def normalise_vjp(dy, h, r, axes, centre=True):
    mean = dy.mean(axes, keepdims=True) if centre else 0.0
    return r * (dy - mean - h * np.mean(dy * h, axes, keepdims=True))


dy = rng.standard_normal(x.shape)
for axes, centre, library in KINDS.values():
    tensor = mv.tensor(x, requires_grad=True)
    library(tensor).backward(dy)
    mine = normalise_vjp(dy, *normalise(x, axes, centre=centre), axes, centre)
    np.testing.assert_allclose(mine, tensor.grad.numpy(), rtol=1e-9, atol=1e-12)

# %%
# Read as geometry, the matrix takes away two directions: the constant vector and :math:`h` itself, the shift and the stretch that
# the layer undoes; no gradient may point along them. And since :math:`f(ax) = f(x)`, the gradient at :math:`ax` is :math:`1/a` of
# that at :math:`x`. For a weight before a normalisation this has a consequence that no one put in: its gradient is at right
# angles to it, so every plain step makes it longer, and a longer weight is turned less.

h, r = normalise(x, (1, 2, 3), eps=0.0)
dx = normalise_vjp(dy, h, r, (1, 2, 3))
np.testing.assert_allclose([dx.sum((1, 2, 3)), (dx * h).sum((1, 2, 3))], 0.0, atol=1e-11)
np.testing.assert_allclose(normalise_vjp(dy, *normalise(8.0 * x, (1, 2, 3), eps=0.0), (1, 2, 3)), dx / 8.0, rtol=1e-9, atol=1e-12)
W = mv.tensor(rng.standard_normal((32, 64)), requires_grad=True)
F.batch_norm(F.linear(mv.tensor(X.astype(np.float64)), W), None, None, training=True, eps=0.0).tanh().mean().backward()
w, g = W.data, W.grad.data
np.testing.assert_allclose(((w - 5.0 * g) ** 2).sum(1), (w**2).sum(1) + 25.0 * (g**2).sum(1), rtol=1e-12)

# %%
# Training and evaluation
# -----------------------
#
# Batch norm alone mixes images: what comes out for one depends on who else is in the batch. So it has a second mode, which uses
# running averages of the means and variances met in training. Here one digit is seen in many random batches; what the others
# change of it falls as :math:`1/\sqrt{B}`, and in evaluation it is nothing.

norm, sizes, spreads = nn.BatchNorm1d(64), [4, 8, 16, 32, 64, 128, 256], []
for size in sizes:
    seen = [norm(mv.tensor(np.concatenate([X[:1], X[rng.choice(len(X), size - 1)]]))).data[0] for _ in range(200)]
    spreads.append(np.sqrt(np.mean(np.var(seen, axis=0))))
slope = np.polyfit(np.log(sizes), np.log(spreads), 1)[0]
norm.eval()
np.testing.assert_allclose(norm(mv.tensor(X[:1])).data, norm(mv.tensor(X[:100])).data[:1], rtol=1e-5, atol=1e-6)
assert lesson.quick() or -0.6 < slope < -0.4
figure, axes = plt.subplots(figsize=(6.5, 3), layout="constrained")
axes.loglog(sizes, spreads, "o-", label=f"measured, B to the {slope:.2f}")
axes.loglog(sizes, spreads[-1] * np.sqrt(sizes[-1] / np.array(sizes)), "k:", label="one over the root of B")
axes.set(title="What the rest of the batch changes of one image", xlabel="batch size B", ylabel="standard deviation")
axes.legend()

# %%
# The variance that is negative
# -----------------------------
#
# :math:`E[x^2] - E[x]^2` is the same variance in one pass, and many an implementation has it. In floating point it subtracts two
# numbers of size :math:`\mu^2`, each off by :math:`u \mu^2`: at a mean of a few thousand, float32 has no digit of the variance
# left. The library takes deviations first, in NumPy as in C:
#
# .. literalinclude:: ../../minivision/ops/norm.py
#    :pyobject: _layer_norm
#    :caption: minivision/ops/norm.py

means, off = np.logspace(0, 5, 21), []
for mean in means:
    x = (rng.standard_normal((100, 256)) + mean).astype(np.float32)
    one_pass, two_pass = np.mean(x * x, axis=1) - np.mean(x, axis=1) ** 2, np.var(x, axis=1)
    off.append([np.sqrt(np.mean((v / np.var(x, axis=1, dtype=np.float64) - 1.0) ** 2)) for v in (one_pass, two_pass)])
    exact = normalise(x.astype(np.float64), -1)[0]
    assert np.max(np.abs(F.layer_norm(x, (256,)) - exact)) < 4 * 2.0**-24 * (mean + 4.0)  # x itself is no better known
print(f"at a mean of {mean:.0f}, {np.mean(one_pass <= 0):.0%} of the one-pass variances are not positive")
assert off[-1][0] > 1.0 > 1e-3 > off[-1][1]
figure, axes = plt.subplots(figsize=(6.5, 3), layout="constrained")
axes.loglog(means, off, "o-", markersize=4, label=["one pass", "deviations first"])
axes.loglog(means, 2.0**-24 * means**2, "k:", label="u times the mean squared")
axes.set(title="Error of the variance in float32, deviation 1", xlabel="mean of the data", ylabel="relative error")
axes.legend()

# %%
# Twelve layers on real digits
# ----------------------------
#
# Twelve linear layers with ReLU, on scikit-learn's digits, trained at seven learning rates from three seeds: plain from PyTorch's
# default weights (:math:`g = 1/\sqrt 6`), plain from He's (:math:`g = 1`), the default with layer norm, and with batch norm.

LAYER = {"layer norm": nn.LayerNorm, "batch norm": nn.BatchNorm1d}
STYLES = {"plain": "x:", "plain, He": "o--", "layer norm": "^-.", "batch norm": "s-"}


def build(kind, seed):
    mv.manual_seed(seed)
    norm = LAYER.get(kind, nn.Identity)
    layers = [layer for _ in range(11) for layer in (nn.Linear(64, 64), norm(64), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(64, 10))
    for weight in [p for p in model.parameters() if kind == "plain, He" and p.ndim == 2]:
        nn.init.kaiming_normal_(weight, nonlinearity="relu")
    return model


def accuracy(kind, rate, seed, epochs):
    model, order = build(kind, seed), np.random.default_rng(seed)
    optimiser = mv.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    for _ in range(epochs):
        for batch in np.array_split(order.permutation(len(X)), len(X) // 128):
            loss = F.cross_entropy(model(mv.tensor(X[batch])), digits.train_labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    model.eval()
    with mv.no_grad():
        return np.mean(model(mv.tensor(X_test)).data.argmax(axis=1) == digits.test_labels)


rates = [0.01, 0.1] if lesson.quick() else [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0]
seeds, epochs = (1, 1) if lesson.quick() else (3, 10)
wide, (figure, axes) = {}, plt.subplots(figsize=(6.5, 3.6), layout="constrained")
for kind, style in STYLES.items():
    scores = np.array([[accuracy(kind, rate, seed, epochs) for seed in range(seeds)] for rate in rates])
    (line,) = axes.semilogx(rates, scores.mean(axis=1), style, label=kind)
    axes.fill_between(rates, scores.min(axis=1), scores.max(axis=1), color=line.get_color(), alpha=0.2)
    wide[kind] = [rate for rate, row in zip(rates, scores, strict=True) if row.min() > 0.9]
axes.set(title="Accuracy on test digits, three seeds: mean and range", xlabel="learning rate", ylabel="accuracy")
axes.legend()
print("learning rates at which every seed reads more than nine of ten:", wide)
assert lesson.quick() or len(wide["batch norm"]) > max(len(wide["plain, He"]), len(wide["layer norm"])) > len(wide["plain"]) == 0

# %%
# Its scale explains why the first does not train, and not why batch norm has so much more of the range than layer norm. So look
# at *directions*. ReLU makes any two vectors more alike, and a chain of layers makes all images one vector, which no loss can
# tell apart. Layer norm sees one image and cannot help; batch norm subtracts what images have in common, at each layer
# (Daneshmand et al. 2020). Transformers, which have layer norm, keep images apart by residual paths. Before training:

figure, axes = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
for kind, style in STYLES.items():
    h, alike = mv.tensor(X[:300]), []
    for layer in build(kind, 0):
        h = layer(h)
        if isinstance(layer, nn.Linear):
            unit = h.data / np.linalg.norm(h.data, axis=1, keepdims=True)
            alike.append(np.mean(unit @ unit.T))
    axes.plot(range(1, len(alike) + 1), alike, style, label=kind)
    assert (alike[-2] < 0.6) == (kind == "batch norm")
axes.set(title="How alike two images are (mean cosine), before training", xlabel="linear layer", ylabel="mean cosine")
axes.legend()

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID``: ``rms-norm-gradient`` and ``running-average`` to begin with; ``layer-norm-gradient``, as
# derived above; ``variance``, without cancellation; ``batch-norm-gradient``, with a residual and a ReLU behind it.
