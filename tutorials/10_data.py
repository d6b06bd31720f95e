r"""
How much data does a transformer need?
======================================

A convolution knows before it has seen a single image that neighbours belong together, and that a stroke is a stroke wherever it
is. A transformer knows neither. What is this knowledge worth, counted in images? We first write it down exactly, as zeros and
equal numbers in a matrix, and count the images that it saves where all is linear. Then a ViT, a convolutional network and a hybrid
of both (Dosovitskiy et al. 2021, sections 3.1 and 4.3) learn from growing shares of scikit-learn's digits.

:Prerequisites: :doc:`04_convolution`, :doc:`08_vit`
"""

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


def convolve(x, w):  # (N, H, W), (K, K) -> (N, H, W)
    return F.conv2d(mv.tensor(x[:, None]), mv.tensor(w[None, None]), padding=K // 2).data[:, 0]


w, x = rng.standard_normal((K, K)), rng.standard_normal((5, H, W))
np.testing.assert_allclose(x.reshape(5, -1) @ dense(w).T, convolve(x, w).reshape(5, -1), rtol=1e-12, atol=1e-12)
taps = dense(np.arange(1, K * K + 1))  # which weight stands where
FREE = {"dense": taps.size, "local": np.count_nonzero(taps), "convolution": len(np.unique(taps[taps > 0]))}
assert FREE == {"dense": (H * W) ** 2, "local": (K * H - 2) * (K * W - 2), "convolution": K * K}
print("free weights: " + ", ".join(f"{name} {count:,}" for name, count in FREE.items()))

# %%
# How many images fix so many weights?
# ------------------------------------
#
# Each image gives :math:`HW` equations, one for each output pixel. Without sharing, a row of the matrix gets *one* equation of each
# image: it takes as many images as the row has unknowns, :math:`HW` for a dense layer and :math:`K^2` for a local one. With sharing
# all equations are about the same :math:`K^2` numbers: one image is enough. So it is, to the last digits: a filter is to be found by
# least squares from what it makes of :math:`N` random images.


def dense_fit(x, y, new):  # the shortest of all matrices that fit
    return new.reshape(len(new), -1) @ np.linalg.lstsq(x.reshape(len(x), -1), y.reshape(len(y), -1))[0]


def windows(x):  # (N, H, W) -> (N, H W, K K)
    return F.unfold(mv.tensor(x[:, None]), K, padding=K // 2).data.transpose(0, 2, 1)


def local_fit(x, y, new):  # a filter of its own for each pixel
    pairs = zip(windows(x).swapaxes(0, 1), y.reshape(len(y), -1).T, windows(new).swapaxes(0, 1), strict=True)
    return np.stack([unseen @ np.linalg.lstsq(seen, target)[0] for seen, target, unseen in pairs], axis=-1)


def shared_fit(x, y, new):  # one filter
    return windows(new) @ np.linalg.lstsq(windows(x).reshape(-1, K * K), y.ravel())[0]


NUMBERS, new = np.unique(np.geomspace(1, 128, 22).astype(int)), rng.standard_normal((50, H, W))
NUMBERS = np.union1d(NUMBERS, [K * K - 1, K * K, H * W - 1, H * W])
x = rng.standard_normal((NUMBERS[-1], H, W))
y, target = convolve(x, w), convolve(new, w).reshape(len(new), -1)
FITS = {"dense": (dense_fit, H * W), "local": (local_fit, K * K), "convolution": (shared_fit, 1)}
figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.7), layout="constrained")
axes[0].imshow(np.where(taps > 0, taps, np.nan), cmap="tab10", vmin=1, vmax=10, interpolation="nearest")
axes[0].set(title="A convolution as a matrix:\na colour for each of nine weights", xlabel="input pixel", ylabel="output pixel")
for name, (fit, needed) in FITS.items():
    error = np.array([np.linalg.norm(fit(x[:n], y[:n], new) - target) / np.linalg.norm(target) for n in NUMBERS])
    axes[1].loglog(NUMBERS, np.maximum(error, 1e-16), "o-", markersize=4, label=f"{name}: {FREE[name]:,} weights")
    assert error[NUMBERS >= needed].max() < 1e-9 and np.all(error[NUMBERS < needed] > 0.05)
    print(f"{name:>11}: exact from {NUMBERS[error < 1e-9][0]} images on")
axes[1].set(title="Learning it from N images", xlabel="N", ylabel="error on unseen images", xticks=[1, 9, 64])
axes[1].set_xticklabels([1, 9, 64])
axes[1].minorticks_off()
axes[1].legend(fontsize=9, loc="center right")

# %%
# Where the sharing comes from
# ----------------------------
#
# Say that a layer :math:`M` should not care where a thing is: to move the image and then apply it is to apply it and then move,
# :math:`M S_t = S_t M` for each move :math:`S_t`, pixels that leave coming in again at the other side. Element by element,
#
# .. math:: M_{i + t,\, j + t} = M_{ij} \quad \text{for all } t \qquad\Longrightarrow\qquad M_{ij} = w_{j - i} :
#
# one weight for each *difference* of places, a convolution. The reverse is as short. So *equivariance* to moves and shared weights are
# one and the same; locality is a second, separate belief, which cuts :math:`HW` weights down to :math:`K^2`. And any matrix
# becomes a convolution where it is averaged over all moves.

moves = [np.roll(np.arange(H * W).reshape(H, W), move, (0, 1)).ravel() for move in np.ndindex(H, W)]
M = rng.standard_normal((H * W, H * W))
mean = np.mean([M[np.ix_(move, move)] for move in moves], axis=0)
around = np.roll(
    mean[0].reshape(H, W), (H // 2, W // 2), (0, 1)
)  # its first row: the weights by difference, as a kernel of H x W
padded = F.pad(mv.tensor(new[:, None]), (W // 2, W // 2 - 1, H // 2, H // 2 - 1), "circular")
np.testing.assert_allclose(new.reshape(50, -1) @ mean.T, F.conv2d(padded, mv.tensor(around[None, None])).data.reshape(50, -1))

# %%
# On whole numbers, where no rounding can hide, the library's convolution of moved digits is the moved convolution, exactly. A
# transformer's encoder has a symmetry as well, and a far larger one: without positions *any* permutation of its tokens permutes the
# result. But to move an image by one pixel permutes no patches; it changes what is in them.

digits = mv.data.load("digits")
pixels = mv.tensor(digits.test_pixels.astype(np.float64))
layer = nn.Conv2d(1, 8, K, padding=1, padding_mode="circular", bias=False).double()
layer.weight.data[:] = rng.integers(-9, 10, layer.weight.shape)
moved, answer = mv.tensor(np.roll(pixels.data, (1, 2), (2, 3))), layer(pixels).data
np.testing.assert_array_equal(layer(moved).data, np.roll(answer, (1, 2), (2, 3)))
mv.manual_seed(0)
vit = mv.create_model("vit_digits").double().eval()
vit.pos_embed.data[:] = 0.0
tokens, order = vit.embed(pixels).data, rng.permutation(17)
np.testing.assert_allclose(
    vit.blocks(mv.tensor(tokens[:, order])).data, vit.blocks(mv.tensor(tokens)).data[:, order], rtol=1e-9, atol=1e-9
)
patch = mv.tensor(np.roll(pixels.data, vit.config.patch_size, 3))
np.testing.assert_allclose(vit(patch).data, vit(pixels).data, rtol=1e-9, atol=1e-9)  # a whole patch: a permutation of tokens
assert np.abs(vit(moved).data - vit(pixels).data).max() > 1e-3 * np.abs(vit(pixels).data).max()

# %%
# Three networks of one size
# --------------------------
#
# The ViT has patches of 2 x 2, 16 tokens. The convolutional network has as many weights, but all are 3 x 3 filters, and the mean over
# all places is read. The hybrid has two convolutions, and then a ViT whose patches are 1 x 1 on a map of 4 x 4. Nobody gets
# augmentation: it would teach by examples what the convolution is born with.


def convolutions(*channels):
    pairs = zip(channels[:-1], channels[1:], strict=True)
    return [each for i, o in pairs for each in (nn.Conv2d(i, o, K, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU())]


def vit(D=32, **config):
    return mv.create_model("vit_digits", embed_dim=D, depth=2, **config)


def cnn(c=28):
    pool = nn.MaxPool2d(2)
    return nn.Sequential(
        *convolutions(1, c, c), pool, *convolutions(c, 2 * c), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * c, 10)
    )


def hybrid(D=30, c=14):
    return nn.Sequential(*convolutions(1, c, c), nn.MaxPool2d(2), vit(D, num_heads=3, img_size=4, patch_size=1, in_chans=c))


def parameters(model):
    return sum(p.size for p in model.parameters())


NETWORKS = {"convolutions": cnn, "hybrid": hybrid, "ViT": vit}
sizes = {name: parameters(make()) for name, make in NETWORKS.items()}
print("parameters: " + ", ".join(f"{name} {size:,}" for name, size in sizes.items()))
assert max(sizes.values()) < 1.1 * min(sizes.values())

# %%
# Each run takes the same number of steps, however few its images are, with AdamW, warm-up and cosine. The learning rate is chosen
# for each network on training images that no run learns from; the test is not looked at.

STEPS, SEEDS, BATCH = (12, 1, 16) if lesson.quick() else (200, 3, 32)
SHARES, RATES = ([60, 960], [0.003]) if lesson.quick() else ([60, 120, 240, 480, 960], [0.001, 0.003, 0.01])
labels = digits.train_labels
pool, held_out = stratified_split(labels, seed=1, fraction=1 - SHARES[-1] / len(labels))
MOVES = {"in place": [(0, 0)], "one pixel away": [(-1, 0), (1, 0), (0, -1), (0, 1)]}


def some(count, seed):  # the numbers of `count` images, of each class in proportion
    return pool if count == len(pool) else pool[stratified_split(labels[pool], seed, (count - 0.5) / len(pool))[1]]


def trained(make, numbers, lr, seed):
    mv.manual_seed(seed)
    model, draw, count = make(), np.random.default_rng(seed), STEPS * BATCH
    scheduler = schedule.Scheduler(
        mv.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.05), schedule.cosine(STEPS, STEPS // 10)
    )
    order = np.concatenate([draw.permutation(numbers) for _ in range(-(-count // len(numbers)))])
    for batch in order[:count].reshape(STEPS, BATCH):
        scheduler.optimizer.zero_grad()
        F.cross_entropy(model(mv.tensor(digits.train_images[batch])), labels[batch]).backward()
        scheduler.optimizer.step()
        scheduler.step()
    return model.eval()


def right(model, images, labels):
    with mv.no_grad():
        return np.mean(model(mv.tensor(images)).data.argmax(1) == labels)


def shifted(down, right):  # the test digits moved by whole pixels, black comes in
    count = len(digits.test_labels)
    matrices = transforms(np.zeros(count), np.full(count, float(down)), np.full(count, float(right)), np.zeros(count, bool))
    return digits.standardise(resample(digits.test_pixels, matrices))


TESTS = [[shifted(*move) for move in moves] for moves in MOVES.values()]


def chosen(make):
    asked = digits.train_images[held_out], labels[held_out]
    return max(RATES, key=lambda lr: np.mean([right(trained(make, some(count, 9), lr, 9), *asked) for count in SHARES[1:3]]))


def grown(make, shares):  # -> right answers, (in place or moved, shares, seeds), each with its own images and weights
    lr = chosen(make)
    runs = np.zeros((2, len(shares), SEEDS))
    for i, seed in np.ndindex(runs.shape[1:]):
        model = trained(make, some(shares[i], seed), lr, seed)
        runs[:, i, seed] = [np.mean([right(model, images, digits.test_labels) for images in test]) for test in TESTS]
    return runs, lr
