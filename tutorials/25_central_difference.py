r"""
Differences instead of pixels
=============================

Show a camera a photograph of a face, and what it sees has a face's eyes, colours and outline. What it lacks is fine: the shading
of a surface that has depth. And all of it moves with the lamp. Yu et al. (2020) let a convolution look at *differences to the
pixel in the middle*. We show that this is a convolution with one number changed, what that number buys when the light changes,
and then train a small network to see depth in rendered faces, and none in photographs of them.

:Prerequisites: :doc:`04_convolution`, :doc:`06_normalisation`
"""

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson
from minivision.models import cdcn

rng = np.random.default_rng(0)
digits = mv.data.load("digits")
SEEDS = 1 if lesson.quick() else 3
mv.set_num_threads(1)  # so small a network is not worth a second thread

# %%
# One number of nine
# ------------------
#
# With :math:`x_n` the nine pixels around :math:`x_0` and :math:`w_n` their weights, a central difference convolution (CDC,
# section 3.1 of the paper) mixes differences and pixels:
#
# .. math:: y = \theta \sum_n w_n (x_n - x_0) + (1 - \theta) \sum_n w_n x_n = \sum_n w_n x_n - \theta\, x_0 \sum_n w_n .
#
# The left side is the idea, the middle is how it is computed (a second convolution, of 1 x 1, whose weight is the sum). But
# :math:`x_0` is one of the nine. The same output comes from *one* convolution, whose weight in the middle is
# :math:`w_0 - \theta \sum_n w_n`. Its nine weights sum to :math:`(1 - \theta) \sum_n w_n`: a constant added to the image moves
# :math:`y` by that much, and at :math:`\theta = 1` by nothing.


def differences(x, w, theta):  # x (C, H, W), w (O, C, 3, 3): the idea, with zeros around the image
    around = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    y = 0.0
    for i, j in np.ndindex(3, 3):
        moved = around[:, i : i + x.shape[1], j : j + x.shape[2]]
        y = y + np.tensordot(w[:, :, i, j], theta * (moved - x) + (1 - theta) * moved, 1)
    return y


def one_convolution(x, w, theta):
    middle = w.copy()
    middle[:, :, 1, 1] -= theta * w.sum((2, 3))
    return F.conv2d(x[None], middle, padding=1)[0]


x, gaps, moved = rng.standard_normal((3, 9, 9)), [], []
layer = cdcn.CDConv2d(3, 4).double()
w = layer.conv.weight.numpy()
for theta in (0.0, 0.7, 1.0):
    layer.theta = theta
    y = differences(x, w, theta)
    for other in (
        one_convolution(x, w, theta),
        layer(mv.tensor(x[None])).numpy()[0],
        layer.fused()(mv.tensor(x[None])).numpy()[0],
    ):
        np.testing.assert_allclose(other, y, rtol=0, atol=1e-13)
        gaps.append(np.abs(other - y).max())
    moved.append((differences(x + 1.0, w, theta) - y)[:, 1:-1, 1:-1])
np.testing.assert_allclose(moved[1], (1 - 0.7) * moved[0], rtol=0, atol=1e-13)
np.testing.assert_allclose(moved[2], 0.0, rtol=0, atol=1e-13)
model = mv.create_model("cdcn", img_size=16 if lesson.quick() else 32)
macs = [mv.profile(each, model.config.input_shape).macs for each in (model, model.fused())]
assert 10 * macs[1] == 9 * macs[0]
lesson.claim("C13", f"a sum, two convolutions and one with an edited centre agree to {max(gaps):.0e}, borders "
             f"included; a constant 1 moves inner outputs at theta = 1 by {np.abs(moved[2]).max():.0e}, of a convolution by "
             f"{np.abs(moved[0]).max():.1f}; one convolution is {macs[1] / macs[0]:.2f} of the cost of two")  # fmt: skip

# %%
# The cost is nine taps in place of ten. The paper's network for images of 256 x 256 is counted below in both forms; training
# needs the two (or the edit on the tape), for the weight in the middle hangs on all nine.

whole = mv.models.entry("cdcn")
billions = whole.macs / 1e9
print(f"CDCN: {whole.params:,} parameters, {billions:.1f} G multiply-adds in two convolutions, {billions * 9 / 10:.1f} G in one")

# %%
# What it sees
# ------------
#
# The same kernel (a blur with a slant) on a digit, and on the digit under a lamp at its side. The plain convolution sees the
# lamp; at :math:`\theta = 1` the lamp is nearly gone, for over three pixels it is nearly a constant.

kernel = np.array([[0.2, 0.2, 0.0], [0.2, 0.3, 0.1], [0.0, 0.1, 0.0]])[None, None]
digit = digits.test_images[3][0].astype(np.float64)
lit = digit + np.linspace(0.0, 4.0, 8)
figure, axes = plt.subplots(2, 4, figsize=(7, 3.8), layout="constrained")
for row, image, name in zip(axes, (digit, lit), ("as it is", "lamp at the right"), strict=True):
    seen = [differences(np.pad(image, 1, mode="edge")[None], kernel, theta)[0, 1:-1, 1:-1] for theta in (0.0, 0.7, 1.0)]
    for axis, picture, title in zip(row, [image, *seen], ["image", "θ = 0", "θ = 0.7", "θ = 1"], strict=True):
        limits = {"vmin": -1, "vmax": 6} if title == "image" else {"vmin": -4, "vmax": 4}
        axis.imshow(picture, cmap="gray" if title == "image" else "RdBu_r", **limits)
        axis.set(title=title, xticks=[], yticks=[])
    row[0].set_ylabel(name)

# %%
# Digits in another light
# -----------------------
#
# Networks of a few CDC layers read scikit-learn's digits, each for another :math:`\theta`. They are trained in constant light
# and tested with a random constant added to every image, uniform in :math:`\pm a`. Around the images
# the border's pixels are repeated, where zeros would give the light away.

THETAS = [0.0, 0.7, 1.0] if lesson.quick() else [0.0, 0.5, 0.7, 1.0]
OFFSETS = np.array([0.0, 0.5, 1.0, 1.5, 2.0])


def train(model, x, targets, loss_of, epochs, seed, rate=5e-3, batch=64):
    order, optimiser = np.random.default_rng(seed), mv.optim.AdamW(model.parameters(), lr=rate)
    batches = [each for _ in range(epochs) for each in np.array_split(order.permutation(len(x)), len(x) // batch)]
    for i, chosen in enumerate(batches):
        optimiser.lr = rate * min(1.0, 4 * (1 - i / len(batches)))  # level, then down to 0
        loss = loss_of(model(mv.tensor(x[chosen])), targets[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def predict(model, x):
    with mv.no_grad():
        return model(mv.tensor(x)).numpy()


def offset_accuracy(theta, seed):
    mv.manual_seed(seed)
    model = mv.create_model("cdcn_digits", widths=(12, 24), theta=theta)
    train(model, digits.train_images[:], digits.train_labels, F.cross_entropy, 1 if lesson.quick() else 8, seed)
    light = np.random.default_rng(seed).uniform(-1, 1, (len(digits.test_labels), 1, 1, 1)).astype(np.float32)
    answers = [predict(model, digits.test_images[:] + np.float32(a) * light) for a in OFFSETS]
    if theta == 1.0:
        np.testing.assert_allclose(answers[-1], answers[0], rtol=0, atol=1e-3 * np.abs(answers[0]).max())
    return [np.mean(each.argmax(1) == digits.test_labels) for each in answers]


right = np.array([[offset_accuracy(theta, seed) for seed in range(SEEDS)] for theta in THETAS])  # (theta, seed, offset)
figure, axes = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
for theta, runs, shade in zip(THETAS, right, plt.cm.viridis(np.linspace(0, 0.9, len(THETAS))), strict=True):
    axes.plot(OFFSETS, runs.mean(0), "o-", color=shade, label=f"θ = {theta}")
    axes.fill_between(OFFSETS, runs.min(0), runs.max(0), color=shade, alpha=0.15)
    spread = zip(OFFSETS, runs.min(0), runs.max(0), strict=True)
    print(f"theta {theta}: " + ", ".join(f"offset {a}: {low:.0%} to {high:.0%}" for a, low, high in spread))
axes.set(title=f"Digits in another light ({SEEDS} seeds: mean and range)", xlabel="largest offset a", ylabel="right answers")
axes.legend(title=f"ink and paper: {np.ptp(digits.test_images[:]):.1f} apart")

# %%
# In the light of the training all are alike. In another one the plain convolution loses most of its answers, and differences keep
# theirs: at :math:`\theta = 1` all of them, whatever the constant is (the assertion above: the same logits, to rounding), for the
# first layer does not see it. At the paper's 0.7 three tenths of it get through each layer.
# Taking the mean off each image would do the same to a constant; to a lamp at the side, only a difference does.

assert lesson.quick() or right[1:, :, -1].min() > right[0, :, -1].max()
assert lesson.quick() or right[-1, :, -1].min() > right[0, :, -1].max() + 0.3

# %%
# A face, or a photograph of one
# ------------------------------
#
# The paper's network answers with a map of depth: that of the face, and 0 everywhere for a photograph (section 3.2). Here is its
# problem in small, procedural and with the truth known. A *face* is an ellipsoid with eyes, mouth and nose, whose depth :math:`z`
# is shaded by a lamp as its slope demands. A *photograph* is such a picture printed: of less contrast, with a printer's grid
# over it that is hardly seen, and with no depth. The light of a scene adds a constant, small in training and large in the test.

SIDE, MAP = 32, 8


def face(rng):  # -> image (SIDE, SIDE), depth (SIDE, SIDE)
    v, u = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j] + rng.uniform(-0.15, 0.15, (2, 1, 1))
    width, height = rng.uniform(0.55, 0.75), rng.uniform(0.7, 0.9)
    z = np.sqrt(np.maximum(1 - (u / width) ** 2 - (v / height) ** 2, 0.0)) + 0.25 * np.exp(-(u**2 / 0.01 + v**2 / 0.04))
    skin, place = rng.uniform(0.5, 0.9) * (z > 0) + 0.3 * (z <= 0), rng.uniform(0.2, 0.28)
    for centre, size in (((-place, -0.2), 0.008), ((place, -0.2), 0.008), ((0.0, 0.45), 0.012)):
        skin = skin * (1 - 0.6 * np.exp(-((u - centre[0]) ** 2 + (v - centre[1]) ** 2) / size))
    down, across = np.gradient(np.minimum(z, 0.9 + 0.1 * z), 2 / SIDE)
    lamp = rng.uniform(-0.5, 0.5, 2)
    shade = np.clip((1 - lamp[0] * across - lamp[1] * down) / np.sqrt(1 + across**2 + down**2), 0.0, 1.2)
    return skin * (0.3 + 0.7 * shade), z


def scene(rng, light):  # -> image (1, SIDE, SIDE), depth map (MAP, MAP), whether it is a face
    (image, z), real = face(rng), rng.random() < 0.5
    if not real:
        grid = np.cos(np.pi * np.add.outer(np.arange(SIDE), np.arange(SIDE) + rng.integers(2)))
        image, z = 0.15 + 0.75 * image + 0.03 * grid, 0.0 * z
    image = image + 0.02 * rng.standard_normal(image.shape) + light * rng.uniform(-1, 1)
    return image[None], z.reshape(MAP, SIDE // MAP, MAP, SIDE // MAP).mean((1, 3)), real


def scenes(count, seed, light):
    rng = np.random.default_rng(seed)
    images, depths, real = zip(*(scene(rng, light) for _ in range(count)), strict=True)
    return (4 * (np.array(images) - 0.4)).astype(np.float32), np.array(depths, np.float32), np.array(real)


PARTS = (0.0, 0.7)  # theta
COUNT, EPOCHS = (64, 1) if lesson.quick() else (256, 12)
LIGHTS = {"light of the training": 0.05, "another light": 0.6}
WIDTHS = {"stem": 8, "blocks": ((12, 12), (12, 12), (12, 12)), "head": (16, 8), "map_size": MAP, "in_chans": 1}
tests = {name: scenes(COUNT, 99, light) for name, light in LIGHTS.items()}
faces, kept = np.zeros((len(PARTS), SEEDS, len(LIGHTS))), {}
for (k, theta), seed in [(pair, seed) for pair in enumerate(PARTS) for seed in range(SEEDS)]:
    mv.manual_seed(seed)
    x, depth, real = scenes(COUNT, seed, LIGHTS["light of the training"])
    model = train(mv.create_model("cdcn", theta=theta, **WIDTHS), x, depth, cdcn.depth_loss, EPOCHS, seed, batch=32)
    middle = depth[real].mean() / 2
    kept[theta] = [predict(model, images) for images, _, _ in tests.values()]
    for i, (_, _, real) in enumerate(tests.values()):
        faces[k, seed, i] = np.mean((kept[theta][i].mean((1, 2)) > middle) == real)
for theta, runs in zip(PARTS, faces, strict=True):
    spread = zip(LIGHTS, runs.min(0), runs.max(0), strict=True)
    print(f"theta {theta}: " + ", ".join(f"{light}: {low:.0%} to {high:.0%}" for light, low, high in spread))
(images, depths, real), seen = tests["another light"], {theta: each[1] for theta, each in kept.items()}
chosen = [*np.flatnonzero(real)[:3], *np.flatnonzero(~real)[:3]]
figure, axes = plt.subplots(4, 6, figsize=(7, 4.9), layout="constrained")
for column, i in enumerate(chosen):
    pictures = {"image": images[i, 0], "true depth": depths[i], "θ = 0": seen[0.0][i], "θ = 0.7": seen[0.7][i]}
    for axis, (name, picture) in zip(axes[:, column], pictures.items(), strict=True):
        axis.imshow(picture, cmap="gray" if name == "image" else "magma", **({} if name == "image" else {"vmin": 0, "vmax": 1.1}))
        axis.set(xticks=[], yticks=[], ylabel=name if column == 0 else "")
    axes[0, column].set_title("face" if real[i] else "photograph", fontsize=10)
figure.suptitle("Another light (each image in its own grey scale)")

# %%
# In the light of the training both tell nearly all faces from photographs. In another light both get worse, and a few seeds do
# not tell which is worse: the ranges overlap (the picture is of one). What was exact in the first part is not here: at 0.7 three
# tenths of a constant pass each layer, and the zeros around every map stay as they are when the light changes. The paper finds
# 0.7 best on OULU-NPU and an error (ACER) of 1.0 % there, 0.2 % for CDCN++: reported by the paper, not checked here. Of the two
# losses that the map is learned from, the second sees relief only:

truth, p = rng.standard_normal((2, 6, 6)), mv.tensor(rng.standard_normal((2, 6, 6)), requires_grad=True)
cdcn.contrastive_depth_loss(p, mv.tensor(truth)).backward()
np.testing.assert_allclose(cdcn.contrastive_depth_gradient(p.numpy(), truth), p.grad.numpy(), rtol=0, atol=1e-14)
assert cdcn.contrastive_depth_loss(mv.tensor(truth + 5.0), mv.tensor(truth)).item() < 1e-25

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID``. ``edited-kernel``: one number of nine. ``central-difference``: the layer, with a gradient
# through both of its terms. ``contrastive-depth-gradient``: what relief pulls at.
