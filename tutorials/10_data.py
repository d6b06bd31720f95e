r"""
How much data does a transformer need?
======================================

A convolution knows, before it sees any image, that neighbours belong together and that a stroke is a stroke wherever it is. A
transformer knows neither. What is this knowledge worth, counted in images? We first write it down exactly, as zeros and equal
numbers in a matrix, and count the images that it saves where all is linear. Then a ViT, a convolutional network and a hybrid of
both (Dosovitskiy et al. 2021, sections 3.1 and 4.3) learn from growing shares of scikit-learn's digits.

:Prerequisites: :doc:`04_convolution`, :doc:`08_vit`
"""

from functools import partial
from itertools import pairwise, product

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, nn, schedule
from minivision.data.augment import resample, transforms
from minivision.data.dataset import stratified_split

mv.set_num_threads(1)  # so small networks are not worth a second thread
rng = np.random.default_rng(0)

# %%
# A convolution is a matrix with few numbers in it
# ------------------------------------------------
#
# Lay the pixels of an image of :math:`H \times W` out in a row: any linear layer that makes an image of it is a matrix of
# :math:`(HW)^2` weights. A convolution is one of them. Output pixel :math:`(p, q)` takes from pixel :math:`(p + r, q + s)` the
# weight :math:`w_{rs}`; so its matrix is *local*, 0 but where the two pixels are neighbours, and *shared*, for :math:`w_{rs}` is
# the same in every row.

H, W, K = 8, 8, 3


def dense(w):  # (K, K) -> (H W, H W), zeros around the image
    matrix = np.zeros((H, W, H, W))
    for p, q, r, s in np.ndindex(H, W, K, K):
        h, v = p + r - K // 2, q + s - K // 2
        if 0 <= h < H and 0 <= v < W:
            matrix[p, q, h, v] = w[r, s]
    return matrix.reshape(H * W, H * W)


def flat(x):  # (N, H, W) -> (N, H W)
    return x.reshape(len(x), -1)


def convolve(x, w):  # (N, H, W), (K, K) -> (N, H, W)
    return F.conv2d(mv.tensor(x[:, None]), mv.tensor(w[None, None]), padding=K // 2).data[:, 0]


w, x = rng.standard_normal((K, K)), rng.standard_normal((5, H, W))
np.testing.assert_allclose(flat(x) @ dense(w).T, flat(convolve(x, w)), rtol=1e-12, atol=1e-12)
taps = dense(np.arange(1, K * K + 1).reshape(K, K))  # which weight stands where
FREE = {"dense": taps.size, "local": np.count_nonzero(taps), "convolution": len(np.unique(taps)) - 1}
assert [*FREE.values()] == [(H * W) ** 2, (K * H - 2) * (K * W - 2), K * K]
print("free weights: " + ", ".join(f"{name} {count:,}" for name, count in FREE.items()))

# %%
# How many images fix so many weights?
# ------------------------------------
#
# Each image gives :math:`HW` equations, one for each output pixel. Without sharing, a row of the matrix gets *one* of them; it
# takes as many images as the row has unknowns: :math:`HW` for a dense layer, :math:`K^2` for a local one. With sharing all
# equations are about the same :math:`K^2` numbers, and one image is enough. So it is, to the last digits, where the layer is to
# be found by least squares from what a convolution makes of :math:`N` random images.


def windows(x):  # (N, H, W) -> (N, H W, K K)
    return F.unfold(mv.tensor(x[:, None]), K, padding=K // 2).data.transpose(0, 2, 1)


FORMS = {  # what the equations' inputs and outputs are: (..., equations, unknowns), (..., equations, outputs)
    "dense": (flat, flat, H * W),
    "local": (lambda x: windows(x).swapaxes(0, 1), lambda y: flat(y).T[..., None], K * K),
    "convolution": (lambda x: windows(x).reshape(-1, K * K), lambda y: y.reshape(-1, 1), 1),
}
NUMBERS = np.array([1, 2, 4, 6, K * K - 1, K * K, 16, 32, 48, H * W - 1, H * W, 128])
x, new = rng.standard_normal((NUMBERS[-1], H, W)), rng.standard_normal((50, H, W))
y, target = convolve(x, w), convolve(new, w)
figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.9), layout="constrained")
axes[0].imshow(np.where(taps > 0, taps, np.nan), cmap="tab10", vmin=1, vmax=10, interpolation="nearest")
axes[0].set(title="A convolution as a matrix:\na colour for each of nine weights", xlabel="input pixel", ylabel="output pixel")
for name, (inputs, outputs, needed) in FORMS.items():
    learned = [inputs(new) @ (np.linalg.pinv(inputs(x[:n])) @ outputs(y[:n])) for n in NUMBERS]
    error = np.array([np.linalg.norm(guess - outputs(target)) / np.linalg.norm(target) for guess in learned])
    axes[1].loglog(NUMBERS, error, "o-", markersize=4, label=f"{name}: {FREE[name]:,} weights")
    np.testing.assert_array_equal(error < 1e-6, needed <= NUMBERS)
    print(f"{name:>11}: exact from {NUMBERS[error < 1e-6][0]} images on")
axes[1].set(title="Learning it from N random images", xlabel="N", ylabel="error on unseen images", xticks=[1, K * K, H * W])
axes[1].set_xticklabels([1, K * K, H * W])
axes[1].minorticks_off()
axes[1].legend(fontsize=9, loc="center right")

# %%
# Where the sharing comes from
# ----------------------------
#
# Say that a layer :math:`M` must not care where a thing is: to move the image and then apply :math:`M` is to apply it and then
# move, :math:`M S_t = S_t M` for each move :math:`S_t`, and what leaves on one side comes in on the other. Element by element,
#
# .. math:: M_{i + t,\, j + t} = M_{ij} \quad \text{for all } t \qquad\Longleftrightarrow\qquad M_{ij} = w_{j - i} :
#
# one weight for each *difference* of places. That is a convolution: *equivariance* to moves and shared weights are the same
# thing. Locality is a second belief, which leaves :math:`K^2` of these :math:`HW` weights.
#
# In whole numbers, where no rounding hides anything, the library's convolution of moved digits *is* the moved convolution. A
# transformer's encoder has a symmetry too, and a far larger one: without positions, tokens in *any* other order give the same
# results in that order. But an image moved by one pixel is no other order of its patches: each patch holds other pixels.

digits = mv.data.load("digits")
pixels = digits.test_pixels.astype(np.float64)
layer = nn.Conv2d(1, 8, K, padding=1, padding_mode="circular", bias=False).double()
layer.weight.data[:] = rng.integers(-9, 10, layer.weight.shape)
moved = np.roll(pixels, (1, 2), (2, 3))
np.testing.assert_array_equal(layer(mv.tensor(moved)).data, np.roll(layer(mv.tensor(pixels)).data, (1, 2), (2, 3)))
mv.manual_seed(0)
vit = mv.create_model("vit_digits").double().eval()
vit.pos_embed.data[:] = 0.0
tokens, order = vit.embed(mv.tensor(pixels[:20])).data, rng.permutation(17)
ordered = vit.blocks(mv.tensor(tokens)).data[:, order]
np.testing.assert_allclose(vit.blocks(mv.tensor(tokens[:, order])).data, ordered, rtol=1e-9, atol=1e-9)
answer, by_patch, by_pixel = (vit(mv.tensor(np.roll(pixels[:20], move, 3))).data for move in (0, 2, 1))
np.testing.assert_allclose(by_patch, answer, rtol=1e-9, atol=1e-9)  # a patch's width: another order of tokens
assert np.abs(by_pixel - answer).max() > 1e-3 * np.abs(answer).max()

# %%
# Three networks of one size
# --------------------------
#
# The ViT cuts patches of 2 x 2, and one block reads these 16 tokens. The convolutional network has filters of 3 x 3 alone, and its
# answer is read from their mean over all places. The hybrid's ViT reads what two convolutions and pooling leave, a map of 4 x 4.
# None is shown augmented images: they would teach by example what a convolution is born with. ViTs usually start at 0.02 in all
# weights, which is made for widths of 768 and long training; ours start by their fans, and positions as large as tokens.


def convolutions(*channels):
    each = [(nn.Conv2d(i, o, K, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU()) for i, o in pairwise(channels)]
    return [layer for three in each for layer in three]


def vit(D=32, **config):
    model = mv.create_model("vit_digits", embed_dim=D, depth=1, global_pool="avg", **config)
    for weight in (module.weight for module in model.modules() if isinstance(module, nn.Linear)):
        nn.init.xavier_uniform_(weight)
    nn.init.normal_(model.pos_embed, std=0.5)
    return model


def hybrid(D=32):  # the MLPs give up what the convolutions cost
    stem = *convolutions(1, D // 2, D // 2), nn.MaxPool2d(2)
    return nn.Sequential(*stem, vit(D, img_size=4, patch_size=1, in_chans=D // 2, mlp_ratio=2.5))


def cnn(c=22):
    stem = *convolutions(1, c, c), nn.MaxPool2d(2), *convolutions(c, 2 * c)
    return nn.Sequential(*stem, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * c, 10))


def alike(*networks):  # -> the number of parameters of each, about the same
    counts = [mv.profile(make(), digits.image_shape).parameters for make in networks]
    assert max(counts) < 1.05 * min(counts)
    return ", ".join(f"{count:,}" for count in counts)


NETWORKS = {"convolutions": cnn, "hybrid": hybrid, "ViT": vit}
print(f"parameters of {', '.join(NETWORKS)}: {alike(*NETWORKS.values())}")

# %%
# Growing shares
# --------------
#
# Every run takes the same number of steps, however few its images are, with AdamW, warm-up and cosine. Each network's learning
# rate is chosen on training images that no run learns from, not on the test. Then we also move the test digits by one pixel.

STEPS, SEEDS, BATCH = (8, 1, 16) if lesson.quick() else (200, 3, 32)
SHARES, RATES = ([60, 960], [0.01]) if lesson.quick() else ([60, 150, 380, 960], [0.003, 0.01])
MOVES = {"where they are": [0], "one pixel to the left or right": [-1, 1]}
labels = digits.train_labels
zero = np.zeros(len(digits.test_labels))
TESTS = [
    [resample(digits.test_pixels, transforms(zero, zero, zero + across, zero > 0)) for across in move] for move in MOVES.values()
]
pool, held_out = stratified_split(labels, seed=1, fraction=1 - SHARES[-1] / len(labels))


def some(count, seed):  # the numbers of so many images, each class in proportion
    return pool if count == len(pool) else pool[stratified_split(labels[pool], seed, (count - 0.5) / len(pool))[1]]


def trained(make, numbers, lr, seed):
    mv.manual_seed(seed)
    model, draw = make(), np.random.default_rng(seed)
    optimiser = mv.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.05)
    scheduler = schedule.Scheduler(optimiser, schedule.cosine(STEPS, warmup=STEPS // 10))
    order = np.concatenate([draw.permutation(numbers) for _ in range(-(-STEPS * BATCH // len(numbers)))])
    for batch in order[: STEPS * BATCH].reshape(STEPS, BATCH):
        optimiser.zero_grad()
        F.cross_entropy(model(mv.tensor(digits.train_images[batch])), labels[batch]).backward()
        optimiser.step()
        scheduler.step()
    return model.eval()


def right(model, pixels, labels):
    with mv.no_grad():
        return np.mean(model(mv.tensor(digits.standardise(pixels))).data.argmax(1) == labels)


def grown(make, lr, shares):  # -> right answers (where they are and moved, shares, seeds); a seed draws images and weights
    runs = np.zeros((len(TESTS), len(shares), SEEDS))
    for i, seed in np.ndindex(runs.shape[1:]):
        model = trained(make, some(shares[i], seed), lr, seed)
        runs[:, i, seed] = [np.mean([right(model, moved, digits.test_labels) for moved in test]) for test in TESTS]
    return runs


asked, few = (digits.train_pixels[held_out], labels[held_out]), some(SHARES[1], seed=9)
rates = {name: max(RATES, key=lambda lr: right(trained(make, few, lr, 9), *asked)) for name, make in NETWORKS.items()}  # noqa: B023
runs = {name: grown(make, rates[name], SHARES) for name, make in NETWORKS.items()}
figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.9), layout="constrained", sharey=True)
for (name, each), (axis, title, part) in product(runs.items(), zip(axes, MOVES, (0, 1), strict=True)):
    colour = axis.semilogx(SHARES, each[part].mean(1), "o-", label=name)[0].get_color()
    axis.fill_between(SHARES, each[part].min(1), each[part].max(1), color=colour, alpha=0.2)
    axis.set(title=f"Test digits\n{title}", xlabel="training images", xticks=SHARES)
    axis.set_xticklabels(SHARES)
    axis.minorticks_off()
    print(f"{name:>12}, {title}: " + ", ".join(f"{n}: {a:.1%}" for n, a in zip(SHARES, each[part].mean(1), strict=True)))
axes[0].set(ylabel=f"right answers (mean and range, {SEEDS} seeds)")
axes[0].legend()

# %%
# *Does the gap close?* In right answers it does, and must, as none can be more than always right; so we also count the images that
# the ViT needs to do what convolutions do with the fewest, and the wrong answers that are left.


def lead(better, worse):  # -> mean over seeds, and its standard error, for each share
    spread = better.var(-1, ddof=int(SEEDS > 1)) + worse.var(-1, ddof=int(SEEDS > 1))
    return (better - worse).mean(-1), np.sqrt(spread / SEEDS)


ahead, behind = runs["convolutions"][0], runs["ViT"][0]
gap, error = lead(ahead, behind)
needs = np.exp(np.interp(ahead[0].mean(), behind.mean(1), np.log(SHARES), right=np.inf))
lesson.claim("V3", f"convolutions lead the ViT by {gap[0]:.1%} ± {error[0]:.1%} with {SHARES[0]} digits, {gap[-1]:.1%} ± {error[-1]:.1%}"
             f" with {SHARES[-1]}; what they do with {SHARES[0]}, it does with {needs:.0f}; with {SHARES[-1]} they are wrong in"
             f" {1 - ahead[-1].mean():.1%}, it in {1 - behind[-1].mean():.1%}",
             "holds at this scale" if gap[0] > 2 * error[0] and gap[-1] < gap[0] / 2 else "does not hold here")  # fmt: skip
assert lesson.quick() or (ahead[0].min() > behind[0].max() and gap[-1] < gap[0])

# %%
# *And one pixel to the side?* Hardly any ink leaves the picture, and the mean over places makes a convolutional network nearly
# blind to the move; borders and pooling keep it from being wholly so. The ViT meets patches that it has not learned, and more
# digits in the same places do not help.

print(f"{digits.test_pixels[..., [0, -1]].sum() / digits.test_pixels.sum() / 2:.1%} of the ink is lost")
kept = {name: each[1, -1] / each[0, -1] for name, each in runs.items()}
print(", ".join(f"{name} keep {part.mean():.0%}" for name, part in kept.items()) + " of their right answers")
assert lesson.quick() or kept["convolutions"].min() > kept["hybrid"].max() > kept["hybrid"].min() > kept["ViT"].max()

# %%
# Convolutions before the transformer
# -----------------------------------
#
# The paper's hybrids lead its ViTs at small sizes and are caught up with at large ones (section 4.4). Ours, at two sizes and the
# two ends of the data:

SMALL = {name: partial(NETWORKS[name], D=12) for name in ("hybrid", "ViT")}
ends = [SHARES[0], SHARES[-1]]
pairs = {alike(*SMALL.values()): [grown(make, rates[name], ends)[0] for name, make in SMALL.items()]}
pairs[alike(hybrid, vit)] = [runs[name][0][[0, -1]] for name in SMALL]
leads, errors = np.array([lead(*pair) for pair in pairs.values()]).swapaxes(0, 1)  # (sizes, ends) each
figure, axes = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
for i, (size, values, error) in enumerate(zip(pairs, leads, errors, strict=True)):
    axes.bar(np.arange(2) + 0.3 * i, values, 0.28, yerr=error, capsize=4, label=f"{size} parameters")
axes.set(title="Lead of the hybrid over the ViT", xlabel="training images", ylabel="in right answers (± standard error)")
axes.set_xticks(np.arange(2) + 0.15, ends)
axes.legend()
helps, fades = np.all(leads[:, 0] > 2 * errors[:, 0]) and leads[0, 1] > 2 * errors[0, 1], leads[1, 1] < leads[0, 1] / 2
told = [f"{size}: {a:.1%} ± {b:.1%}" for size, a, b in zip(product(pairs, ends), leads.ravel(), errors.ravel(), strict=True)]
lesson.claim(
    "V4", "the hybrid leads the ViT by " + ", ".join(told), "holds at this scale" if helps and fades else "does not hold here"
)

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``fans``: how many products meet in an output, by which weights start.
# ``stratified-split``: a fair part of every class, drawn the same on every machine. ``moving-images``: mirror, turn and move,
# backwards. ``bilinear-resampling``: what lies between four pixels, for a batch at once.
