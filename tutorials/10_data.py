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
rng, (H, W, K) = np.random.default_rng(0), (8, 8, 3)

# %%
# A convolution is a matrix with few numbers in it
# ------------------------------------------------
#
# Any linear layer from images of :math:`H \times W` pixels to such images is a matrix of :math:`(HW)^2` weights. A convolution is
# one: output pixel :math:`(p, q)` takes pixel :math:`(p + r, q + s)` times :math:`w_{rs}`. So its matrix is *local*, 0 but where
# the two pixels are neighbours, and *shared*: the same :math:`w_{rs}` for every output pixel.


def dense(w):  # (K, K) -> (H W, H W), zeros around the image
    matrix = np.zeros((H, W, H, W))
    for p, q, r, s in np.ndindex(H, W, K, K):
        h, v = p + r - K // 2, q + s - K // 2
        if 0 <= h < H and 0 <= v < W:
            matrix[p, q, h, v] = w[r, s]
    return matrix.reshape(H * W, H * W)


def convolve(x, w):  # (N, H W), (K, K) -> (N, H W)
    return F.conv2d(mv.tensor(x.reshape(-1, 1, H, W)), mv.tensor(w[None, None]), padding=K // 2).data.reshape(x.shape)


w, x = rng.standard_normal((K, K)), rng.standard_normal((128, H * W))
y = convolve(x, w)
np.testing.assert_allclose(x @ dense(w).T, y, rtol=1e-12, atol=1e-12)
taps = dense(np.arange(1, K * K + 1).reshape(K, K))  # which weight stands where
FREE = {"dense": taps.size, "local": np.count_nonzero(taps), "convolution": len(np.unique(taps)) - 1}
assert [*FREE.values()] == [(H * W) ** 2, (K * H - 2) * (K * W - 2), K * K]

# %%
# How many images fix so many weights?
# ------------------------------------
#
# An image gives one equation for each output pixel. Without sharing they are about the unknowns of different rows: it takes as
# many images as a row has unknowns, :math:`HW` in a dense layer, :math:`K^2` in a local one. With sharing all are about the same
# :math:`K^2` numbers: one image is enough. So it is, to the last digits, in least squares on what a convolution makes of images.


def windows(x):  # (N, H W) -> (N, H W, K K)
    return F.unfold(mv.tensor(x.reshape(-1, 1, H, W)), K, padding=K // 2).data.transpose(0, 2, 1)


FORMS = {  # inputs (..., equations, unknowns) and outputs (..., equations, outputs) of the equations; images needed
    "dense": (lambda x: x, lambda y: y, H * W),
    "local": (lambda x: windows(x).swapaxes(0, 1), lambda y: y.T[..., None], K * K),
    "convolution": (lambda x: windows(x).reshape(-1, K * K), lambda y: y.reshape(-1, 1), 1),
}
NUMBERS, new = np.array([1, 2, 4, 6, K * K - 1, K * K, 16, 32, 48, H * W - 1, H * W, 128]), rng.standard_normal((50, H * W))
figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.9), layout="constrained")
axes[0].imshow(np.where(taps > 0, taps, np.nan), cmap="tab10", vmin=1, vmax=10, interpolation="nearest")
axes[0].set(title="A convolution as a matrix:\na colour for each of nine weights", xlabel="input pixel", ylabel="output pixel")
for name, (inputs, outputs, needed) in FORMS.items():
    learned, target = [np.linalg.pinv(inputs(x[:n])) @ outputs(y[:n]) for n in NUMBERS], outputs(convolve(new, w))
    error = np.array([np.linalg.norm(inputs(new) @ weights - target) / np.linalg.norm(target) for weights in learned])
    axes[1].loglog(NUMBERS, error, "o-", markersize=4, label=f"{name}: {FREE[name]:,} weights")
    np.testing.assert_array_equal(error < 1e-6, needed <= NUMBERS)
    print(f"{name:>11}: exact from {NUMBERS[error < 1e-6][0]} images on")
axes[1].set(title="Learning it from N random images", xlabel="N", ylabel="error on unseen images")
axes[1].set_xticks([1, K * K, H * W], [1, K * K, H * W])
axes[1].minorticks_off()
axes[1].legend(fontsize=9, loc="center right")

# %%
# Where the sharing comes from
# ----------------------------
#
# Let a layer :math:`M` not care where a thing is: :math:`M S_t = S_t M` for every move :math:`S_t` of the image by :math:`t`,
# where what leaves on one side comes in on the other. Element by element:
#
# .. math:: M_{i + t,\, j + t} = M_{ij} \quad \text{for all } t \qquad\Longleftrightarrow\qquad M_{ij} = w_{j - i} ,
#
# one weight for each *difference* of places: a convolution. *Equivariance* to moves and shared weights are the same thing;
# locality is a second belief, which leaves :math:`K^2` of these :math:`HW` weights.
#
# In whole numbers, where no rounding hides anything, the library's convolution of moved digits *is* the moved convolution. A
# transformer's encoder has a symmetry too, and a far larger one: without positions, tokens in *any* other order give the same
# results in that order. But an image moved by one pixel is no other order of its patches: each patch holds other pixels.

mv.manual_seed(0)
digits = mv.data.load("digits")
pixels = digits.test_pixels.astype(np.float64)
layer = nn.Conv2d(1, 8, K, padding=1, padding_mode="circular", bias=False).double()
layer.weight.data[:] = rng.integers(-9, 10, layer.weight.shape)
answer, of_moved = (layer(mv.tensor(np.roll(pixels, move, (2, 3)))).data for move in ((0, 0), (1, 2)))
np.testing.assert_array_equal(of_moved, np.roll(answer, (1, 2), (2, 3)))
model = mv.create_model("vit_digits").double().eval()
model.pos_embed.data[:] = 0.0
tokens, order = model.embed(mv.tensor(pixels[:20])), rng.permutation(17)
assert np.allclose(model.blocks(tokens[:, order]).data, model.blocks(tokens).data[:, order], rtol=1e-9, atol=1e-9)
answer, by_patch, by_pixel = (model(mv.tensor(np.roll(pixels[:20], move, 3))).data for move in (0, 2, 1))
np.testing.assert_allclose(by_patch, answer, rtol=1e-9, atol=1e-9)  # a patch's width: another order of tokens
assert np.abs(by_pixel - answer).max() > 1e-3 * np.abs(answer).max()

# %%
# Three networks of one size
# --------------------------
#
# The ViT reads 2 x 2 patches, 16 tokens, with one block; the convolutional network reads the mean over all places of its filters'
# answers; the hybrid's ViT reads a map of 4 x 4 that two convolutions and pooling leave. None sees augmented images: they would
# teach by example what a convolution is born with. The usual start of ViTs, 0.02 in all weights, is made for widths of 768 and
# long training; here the weights start by their fans, and positions as large as tokens.


def convs(*channels):
    return [f for i, o in pairwise(channels) for f in (nn.Conv2d(i, o, K, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU())]


def vit(D=32, **config):
    model = mv.create_model("vit_digits", embed_dim=D, depth=1, global_pool="avg", **config)
    for weight in (module.weight for module in model.modules() if isinstance(module, nn.Linear)):
        nn.init.xavier_uniform_(weight)
    nn.init.normal_(model.pos_embed, std=0.5)
    return model


def hybrid(D=32):  # the MLPs give up what the convolutions cost
    reader = vit(D, img_size=4, patch_size=1, in_chans=D // 2, mlp_ratio=2.5)
    return nn.Sequential(*convs(1, D // 2, D // 2), nn.MaxPool2d(2), reader)


def cnn(c=22):
    maps = *convs(1, c, c), nn.MaxPool2d(2), *convs(c, 2 * c)
    return nn.Sequential(*maps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * c, 10))


NETWORKS = {"convolutions": cnn, "hybrid": hybrid, "ViT": vit}
SMALL = {name: partial(NETWORKS[name], D=12) for name in ("hybrid", "ViT")}  # for the end of the lesson
for networks in (NETWORKS, SMALL):
    sizes = {name: mv.profile(make(), digits.image_shape).parameters for name, make in networks.items()}
    print("parameters: " + ", ".join(f"{name} {size:,}" for name, size in sizes.items()))
    assert max(sizes.values()) < 1.05 * min(sizes.values())

# %%
# Now they learn from growing shares. Every run takes the same number of steps, however few its images, with AdamW, warm-up and
# cosine; the learning rate is chosen on training images that no run learns from. Test digits are also moved by one pixel.

STEPS, SEEDS, BATCH = (8, 1, 16) if lesson.quick() else (200, 3, 32)
SHARES, RATES = ([60, 960], [0.01]) if lesson.quick() else ([60, 150, 380, 960], [0.003, 0.01])
labels, pixels, zero = digits.train_labels, digits.test_pixels, np.zeros(len(digits.test_labels))
TESTS = [(resample(pixels, transforms(zero, zero, zero + right, zero > 0)), digits.test_labels) for right in (0, -1, 1)]
pool, held_out = stratified_split(labels, seed=1, fraction=1 - (SHARES[-1] + 0.5) / len(labels))


def trained(make, count, lr, seed, tests):  # -> right answers on each test; the seed draws images, by class, and weights
    mv.manual_seed(seed)
    model, draw = make(), np.random.default_rng(seed)
    numbers = pool if count == len(pool) else pool[stratified_split(labels[pool], seed, (count - 0.5) / len(pool))[1]]
    optimiser = mv.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.05)
    scheduler = schedule.Scheduler(optimiser, schedule.cosine(STEPS, warmup=STEPS // 10))
    order = np.concatenate([draw.permutation(numbers) for _ in range(-(-STEPS * BATCH // count))])
    for batch in order[: STEPS * BATCH].reshape(STEPS, BATCH):
        optimiser.zero_grad()
        F.cross_entropy(model(mv.tensor(digits.train_images[batch])), labels[batch]).backward()
        optimiser.step()
        scheduler.step()
    with mv.no_grad():
        return [np.mean(model.eval()(mv.tensor(digits.standardise(x))).data.argmax(1) == y) for x, y in tests]


def grown(make, lr, shares):  # -> right answers: where they are and moved, shares, seeds
    runs = np.array([[trained(make, count, lr, seed, TESTS) for seed in range(SEEDS)] for count in shares])
    return np.stack([runs[..., 0], runs[..., 1:].mean(-1)])


held = [(digits.train_pixels[held_out], labels[held_out])]
rates = {name: max(RATES, key=lambda lr, make=make: trained(make, SHARES[1], lr, 9, held)) for name, make in NETWORKS.items()}
runs = {name: grown(make, rates[name], SHARES) for name, make in NETWORKS.items()}
figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.9), layout="constrained", sharey=True)
panels = zip(axes, ("where they are", "one pixel to the left or right"), (0, 1), strict=True)
for (name, each), (axis, title, part) in product(runs.items(), panels):
    colour = axis.semilogx(SHARES, each[part].mean(1), "o-", label=name)[0].get_color()
    axis.fill_between(SHARES, each[part].min(1), each[part].max(1), color=colour, alpha=0.2)
    axis.set(title=f"Test digits\n{title}", xlabel="training images")
    axis.set_xticks(SHARES, SHARES)
    axis.minorticks_off()
    print(f"{name:>12}, {title}: " + ", ".join(f"{n}: {a:.1%}" for n, a in zip(SHARES, each[part].mean(1), strict=True)))
axes[0].set(ylabel=f"right answers (mean and range, {SEEDS} seeds)")
axes[0].legend()

# %%
# *Does the gap close?* In right answers it does, and it must, for none can be more than always right. So we also count the images
# with which the ViT does what convolutions do with the fewest, and the wrong answers that are left.

ahead, behind = runs["convolutions"][0], runs["ViT"][0]  # (shares, seeds); the same seed, the same images
gap, error = (ahead - behind).mean(1), (ahead - behind).std(1, ddof=int(SEEDS > 1)) / SEEDS**0.5
needs = np.exp(np.interp(ahead[0].mean(), behind.mean(1), np.log(SHARES), right=np.inf))
told = [f"by {100 * gap[i]:.1f} ± {100 * error[i]:.1f} points with {SHARES[i]} digits (wrong are {1 - ahead[i].mean():.1%} and"
        f" {1 - behind[i].mean():.1%})" for i in (0, -1)]  # fmt: skip
lesson.claim("V3", f"convolutions lead the ViT {' and '.join(told)}; what they do with {SHARES[0]}, it does with {needs:.0f}",
             "holds at this scale" if gap[0] > 2 * error[0] and gap[-1] < gap[0] / 2 else "does not hold here")  # fmt: skip
assert lesson.quick() or (ahead[0].min() > behind[0].max() and gap[-1] < gap[0])

# %%
# *And one pixel to the side?* The mean over places makes a convolutional network nearly blind to the move; borders and pooling
# keep it from being wholly so. The ViT meets patches that it has not learned, and more digits in their old places help it little.

kept = {name: each[1, -1] / each[0, -1] for name, each in runs.items()}
print(", ".join(f"{name} {part.mean():.0%}" for name, part in kept.items()) + " of right answers are kept, "
      f"{1 - pixels[..., [0, -1]].sum() / pixels.sum() / 2:.1%} of the ink")  # fmt: skip
assert lesson.quick() or kept["convolutions"].min() > kept["hybrid"].max() > kept["hybrid"].min() > kept["ViT"].max()

# %%
# Convolutions before the transformer
# -----------------------------------
#
# The paper's hybrids lead its ViTs at small sizes alone (section 4.4). Ours? A lead below two standard errors counts as none.

ENDS = [SHARES[0], SHARES[-1]]
small = {name: grown(make, rates[name], ENDS)[0] for name, make in SMALL.items()}
leads = np.array([small["hybrid"] - small["ViT"], (runs["hybrid"] - runs["ViT"])[0, [0, -1]]])  # (sizes, ends, seeds)
lead, error = leads.mean(-1), leads.std(-1, ddof=int(SEEDS > 1)) / SEEDS**0.5
cells = zip(product(("small", "large"), ENDS), lead.flat, error.flat, strict=True)
told = [f"{size} networks, {n} digits {100 * mean:.1f} ± {100 * deviation:.1f}" for (size, n), mean, deviation in cells]
holds = (lead > 2 * error).ravel().tolist() == [True, True, True, False]  # lost in large networks with all digits alone
lesson.claim("V4", f"points of the hybrid above the ViT: {'; '.join(told)}",
             "holds at this scale" if holds else "does not hold here")  # fmt: skip

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID``: ``fans``, ``stratified-split``, ``moving-images`` backwards, ``bilinear-resampling``; and of
# the paper's hybrid ``same-padding``, the border that TensorFlow has, and ``standardised-filters``, of mean 0 and variance 1.
