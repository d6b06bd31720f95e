r"""
What remains when attention goes
================================

A transformer's block lets tokens exchange, then works on each alone. The exchange is attention, the rest is held for its frame.
Which of the two does the work? MLP-Mixer (Tolstikhin et al. 2021) puts an MLP in attention's place, PoolFormer (Yu et al. 2022)
a mean over neighbours, and even nothing. We build both, count what they learn, and put five mixers into one frame.

:Prerequisites: :doc:`08_vit`, :doc:`09_vit_digits`
"""

from dataclasses import replace
from math import erf

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, models, nn, schedule, train
from minivision.models import poolformer
from minivision.models.token_mixers import Pooling

mv.set_num_threads(1)  # so small a network is not worth a second thread
rng = np.random.default_rng(0)

# %%
# Two MLPs
# --------
#
# An image's :math:`S` patches are the rows of a table :math:`X`, its :math:`C` channels the columns. A block of Mixer has one
# MLP for the columns, the same for all of them, and one for the rows (section 2, eq. 1):
#
# .. math:: U_{*i} = X_{*i} + W_2\sigma(W_1\mathrm{LN}(X)_{*i}), \quad Y_{j*} = U_{j*} + W_4\sigma(W_3\mathrm{LN}(U)_{j*}).


def norm(x, w, b):  # of each row
    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-6) * w + b


def mlp(x, w1, b1, w2, b2):  # of each row, with the exact GELU
    h = x @ w1.T + b1
    return h * (1 + np.vectorize(erf)(h / 2**0.5)) / 2 @ w2.T + b2


def mixer_block(x, p):  # (S, C) and the block's parameters, in their order -> (S, C)
    u = x + mlp(norm(x, *p[:2]).T, *p[2:6]).T
    return u + mlp(norm(u, *p[6:8]), *p[8:])


block = mv.create_model("mixer_digits").double().blocks[0]
for parameter in block.parameters():
    nn.init.normal_(parameter, std=0.3)
weights = [parameter.numpy() for parameter in block.parameters()]
x = rng.standard_normal((16, 64))
np.testing.assert_allclose(mixer_block(x, weights), block(mv.tensor(x[None])).numpy()[0], rtol=1e-10, atol=1e-12)

# %%
# What it learns
# --------------
#
# That is all there is between the patches' embedding and the classifier, but for norms. We count, by the parameters' names:

big = mv.create_model("mixer_s16_224")
parts = dict.fromkeys(("stem", "mlp_tokens", "mlp_channels", "norm", "head"), 0)
for name, parameter in big.named_parameters():
    parts[next(part for part in parts if part in name)] += np.prod(parameter.shape)
S, C, D_S, D_C, depth = 196, 512, 256, 2048, 8
assert parts["mlp_tokens"] == depth * (2 * S * D_S + D_S + S)
assert parts["mlp_channels"] == depth * (2 * C * D_C + D_C + C)
blocks, norms = parts["mlp_tokens"] + parts["mlp_channels"], parts["norm"] - 2 * C  # the last norm stands after the blocks
assert blocks + norms == mv.profile(big.blocks, (S, C)).parameters
print(", ".join(f"{name} {count:,}" for name, count in parts.items()))

# %%
# Nothing is said of a patch's place. :math:`W_1` and :math:`W_2` know it: each has a column or a row for every patch. So let
# :math:`P` permute the patches. With :math:`W_1 P^\top`, :math:`P W_2` and the bias :math:`P b_2`, the same comes out,
# permuted; with the weights as they were, something else. A self-attention would not have noticed.

order = rng.permutation(16)
moved = [*weights]
moved[2], moved[4], moved[5] = weights[2][:, order], weights[4][order], weights[5][order]
y = mixer_block(x, weights)[order]
gap, otherwise = (np.abs(mixer_block(x[order], p) - y).max() for p in (moved, weights))
assert gap < 1e-12 < 0.1 < otherwise
across, along = parts["mlp_tokens"], parts["mlp_channels"]
lesson.claim("M1", f"of {blocks + norms:,} parameters in Mixer-S/16's blocks, {across:,} are in MLPs across patches, "
             f"{along:,} in MLPs across channels, {norms:,} in norms. Patches and the first MLP's weights permuted alike: the "
             f"same to {gap:.0e}")  # fmt: skip

# %%
# What it mixes
# -------------
#
# A row of :math:`W_1` has a weight for each patch: it is a picture. For one with many pixels we take each pixel as a patch,
# and begin with small weights, so that what is seen was learned. Digits are moved by about a pixel here.

QUICK = lesson.quick()
STEPS, SEEDS = (4, (0,)) if QUICK else (90, (0, 1, 2))
digits = {seed: mv.data.load("digits", seed) for seed in SEEDS}


def fit(network, steps, lr, batch):  # AdamW and a cosine, on what batch() gives
    optimiser = mv.optim.AdamW(train.trainer.groups(network, train.Config("mixer_digits", lr=lr)), lr=lr)
    scheduler = schedule.Scheduler(optimiser, schedule.cosine(steps, warmup=steps // 10))
    for _ in range(steps):
        images, labels = batch()
        optimiser.zero_grad()
        F.cross_entropy(network(mv.tensor(images)), labels, label_smoothing=0.1).backward()
        mv.optim.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        scheduler.step()
    return network


def right(network, images, labels):  # the share of right answers
    return np.mean(train.predict(network, images, 512).argmax(1) == labels)


mv.manual_seed(0)
mixer = mv.create_model("mixer_digits", patch_size=1, embed_dim=32, depth=2, mlp_ratio=(0.5, 2.0))
for each in mixer.blocks:
    each.mlp_tokens.fc1.weight.data *= 0.05
stream = (batch for _ in range(99) for batch in mv.data.batches(digits[0], 64, rng))
fit(mixer, 2 * STEPS, 0.01, lambda: next(stream))
rows = np.array([each.mlp_tokens.fc1.weight.numpy() for each in mixer.blocks])  # (2, D_S, S)
orders = [np.arange(64), *(rng.permutation(64) for _ in range(999))]
maps = (rows[:, :, each].reshape(-1, 8, 8) for each in orders)
alike = np.array([np.mean(w[:, 1:] * w[:, :-1]) + np.mean(w[:, :, 1:] * w[:, :, :-1]) for w in maps]) / np.mean(rows**2) / 2
print(f"right {right(mixer, digits[0].test_images, digits[0].test_labels):.1%}; how alike neighbours' weights are: "
      f"{alike[0]:.2f}; with the patches shuffled {alike[1:].mean():.2f}, at most {alike[1:].max():.2f}")  # fmt: skip
assert QUICK or alike[0] > 2 * alike[1:].max()
figure, axes = plt.subplots(4, 8, figsize=(7, 3.8), layout="constrained", subplot_kw={"xticks": [], "yticks": []})
for axis, row in zip(axes.flat, rows.reshape(-1, 8, 8), strict=True):
    axis.imshow(row / np.abs(row).max(), cmap="RdBu_r", vmin=-1, vmax=1)
figure.suptitle("Rows of $W_1$ as pictures, red +, blue -; block 1 above, block 2 below", fontsize=11)

# %%
# No one told it that patches have neighbours; it found weights that are smooth over the image.
#
# A gap to be filled
# ------------------
#
# Attention and the first MLP stand in the same place. A *MetaFormer* (section 3.1 of the second paper) leaves it open:
#
# .. math:: Y = X + \mathrm{TokenMixer}(\mathrm{Norm}(X)), \qquad Z = Y + W_2\, \sigma(W_1\, \mathrm{Norm}(Y)).
#
# PoolFormer fills it with a mean over :math:`K \times K` places, less the place itself, which the shortcut adds again (eq.
# 4). At the border the mean is of the places inside.


def pooling(x, k):  # (H, W) -> the same
    mean = np.empty_like(x)
    for i, j in np.ndindex(x.shape):
        mean[i, j] = x[max(i - k // 2, 0) : i + k // 2 + 1, max(j - k // 2, 0) : j + k // 2 + 1].mean()
    return mean - x


x = rng.standard_normal((7, 9))
for k in (3, 5):
    np.testing.assert_allclose(pooling(x, k), Pooling(k)(mv.tensor(x[None, None])).numpy()[0, 0], rtol=1e-12, atol=1e-14)

# %%
# It learns nothing. A constant becomes 0, at the border too: so it cannot see how bright a map is, only where it changes.
# With eq. 4 as printed, where the sum is always divided by :math:`K^2`, it would see its border.

constant, digit = np.full((8, 8), 0.75), digits[0].test_pixels[3, 0] / 16
printed = F.avg_pool2d(mv.tensor(constant[None, None]), 3, stride=1, padding=1).numpy()[0, 0] - constant
np.testing.assert_array_equal(pooling(constant, 3), 0)
figure, axes = plt.subplots(1, 5, figsize=(7.5, 2), layout="constrained", subplot_kw={"xticks": [], "yticks": []})
titles = "a constant", "pooled", "pooled as printed", "a digit", "pooled"
for axis, title, panel in zip(axes, titles, (constant, pooling(constant, 3), printed, digit, pooling(digit, 3)), strict=True):
    shown = axis.imshow(panel, cmap="RdBu_r", vmin=-1, vmax=1)
    axis.set_title(title, fontsize=10)
figure.colorbar(shown, ax=axes, shrink=0.8)

# %%
# What fills it
# -------------
#
# *Attention*, with positions, looks everywhere and chooses. A *spatial MLP*, as in Mixer, looks everywhere with learned
# weights, *pooling* at neighbours. *Random* is a matrix whose rows are softmaxes of :math:`U(0, 1)`, nearly the mean of all
# places, and never learned. *Identity* is nothing. But tokens meet there too (and not in the norms' statistics alone): stem
# and downsampling are convolutions that overlap. A kernel of :math:`k` after strides of product :math:`s` sees :math:`(k -
# 1)\,s` pixels more.

SMALL = {"dims": (16, 32), "depths": (1, 1), "stem": (3, 2, 1), "head_dim": 8, "layer_scale_init": 1.0}
SMALL = replace(models.entry("poolformer_digits").config, **SMALL)  # so shallow a network need not begin as the identity
for config in models.entry("metaformer_id_s12").config, SMALL:
    kernel, stride, _ = config.stem
    seen = kernel + sum(2 * stride * 2**stage for stage in range(len(config.dims) - 1))
    print(f"with nothing in its gaps, a place of the last map sees {seen} of {config.img_size} pixels across")

# %%
# So we ask two things. *One digit*: which is it? *One of four*: of four digits in a square, which is at the top left? There
# places far apart count. Each mixer has its own learning rate, chosen with a fifth of the training images that is held out.

MIXERS, RATES = ("attention", "spatial_mlp", "pooling", "random", "identity"), (0.01,) if QUICK else (0.005, 0.015, 0.045)


def drawn(images, labels, side, rng, count=None):  # (B, 1, 8 side, 8 side): squares of digits, and the digits at the top left
    chosen = np.argsort(rng.random((side * side, len(labels))), axis=1)[:, :count]  # each place has each image once at most
    squares = images[chosen].reshape(side, side, -1, 8, 8).transpose(2, 0, 3, 1, 4)
    return squares.reshape(-1, 1, 8 * side, 8 * side), labels[chosen[0]]


def trained(side, kind, lr, seed):  # -> right answers on held-out images, on unseen ones
    mv.manual_seed(seed)
    network = poolformer.build(replace(SMALL, token_mixers=kind, img_size=8 * side))
    for layer in (each for each in network.modules() if isinstance(each, (nn.Conv2d, nn.Linear))):
        nn.init.normal_(layer.weight, std=np.prod(layer.weight.shape[1:]) ** -0.5)  # variance 1/D, as in the lesson on ViT
    data, rng = digits[seed], np.random.default_rng(seed)
    images, labels, fifth = data.train_images[:], data.train_labels, np.arange(len(data.train_labels)) % 5 == 0
    fit(network, STEPS, lr, lambda: drawn(images[~fifth], labels[~fifth], side, rng, 64))
    sets = (images[fifth], labels[fifth]), (data.test_images[:], data.test_labels)
    return [right(network, *drawn(*each, side, rng)) for each in sets]


figure, axes = plt.subplots(1, 2, figsize=(7, 2.8), sharey=True, layout="constrained")
told = {}
for side, axis, title in zip((1, 2), axes, ("one digit", "one of four"), strict=True):
    scores = np.zeros((len(MIXERS), len(SEEDS)))
    for row, kind in zip(scores, MIXERS, strict=True):
        first = {lr: trained(side, kind, lr, SEEDS[0]) for lr in RATES}
        lr = max(RATES, key=lambda lr: first[lr][0])
        row[:] = first[lr][1], *(trained(side, kind, lr, seed)[1] for seed in SEEDS[1:])
        print(f"{title:>11}, {kind:>11} at {lr:g}: " + ", ".join(f"{each:.1%}" for each in row))
    means, seeds = scores.mean(1), np.ptp(scores, axis=1).max()
    axis.plot(100 * scores, MIXERS, "o", color="C0", alpha=0.6)
    axis.plot(100 * means, MIXERS, "|", color="C1", markersize=18)
    axis.set(title=title, xlabel="right answers, %", xlim=(40, 100), ylim=(4.5, -0.5))
    found = ", ".join(f"{kind} {mean:.1%}" for kind, mean in zip(MIXERS, means, strict=True))
    told[f"{title}, right answers of {len(SEEDS)} seeds: {found}; {100 * np.ptp(means):.1f} points between means, up to "
         f"{100 * seeds:.1f} between seeds"] = np.ptp(means) <= seeds  # fmt: skip
figure.suptitle(f"Five mixers in one frame: {len(SEEDS)} seeds (dots), their mean (bar)", fontsize=11)
for words, alike in told.items():
    lesson.claim("M2", words, "holds at this scale" if alike else "does not hold here")
assert QUICK or means[:2].min() > 0.9 > means[2] > means[3:].max() + 0.1  # of the second

# %%
# For one digit it holds: no mixer stands out from the seeds, and the identity is as good as attention. But there the
# convolutions have seen nearly all of the image. Where the answer hangs on what is far away, it does not: what looks far
# *and* knows places is good, neighbours are half way, the random matrix is hardly better than nothing. On ImageNet the paper
# reports 77.2 % with pooling and 74.3 % with nothing, which there sees the 63 pixels counted above.
#
# Exercises
# ---------
#
# ``minivision exercise start ID``. ``mixer-tokens``: the MLP across patches; ``mixer-block``: both, and their shortcuts;
# ``pooling-mixer``: neighbours less the token; ``metaformer-block``: the frame; ``metaformer-head``: two orders that differ.
