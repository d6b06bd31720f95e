r"""
Convolution, and both its gradients
===================================

A stroke of a pen looks the same wherever it is on the paper. A layer that knows this needs few weights and sees every stroke
everywhere: it slides small filters over the image. Seven loops say so. How does one matrix product do the same work, and what are
its gradients, in the filters and in the image?

:Prerequisites: :doc:`03_matmul`
"""

import tempfile
import time
import timeit
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from numpy.lib.stride_tricks import as_strided

import minivision as mv
from minivision import functional as F
from minivision import lesson, nn
from minivision.classroom.c_file import build_steps  # compiles a step, one C file, with the kernels' flags

# %%
# The definition
# --------------
#
# Filters :math:`w` of shape :math:`(O, I, R, S)` over an image :math:`x` of shape :math:`(I, H, W)`: with stride :math:`u`,
# dilation :math:`d`, and :math:`t` zeros put around the image,
#
# .. math:: y_{opq} = \sum_{i,r,s} w_{oirs}\, x_{i,\;pu + rd - t,\;qu + sd - t}, \qquad
#    P = \left\lfloor \frac{H + 2t - d(R - 1) - 1}{u} \right\rfloor + 1 .
#
# The filter reaches over :math:`d(R - 1) + 1` pixels, and :math:`P` counts the places where it fits. (It is not turned around as
# in mathematics' convolution; where the filters are learned, that is a matter of taste.)


def places(shape, taps, u, t, d):  # (P, Q)
    return [(side + 2 * t - d * (count - 1) - 1) // u + 1 for side, count in zip(shape[-2:], taps, strict=True)]


def convolution(x, w, u=1, t=0, d=1):
    x, y = np.pad(x, ((0, 0), (t, t), (t, t))), np.zeros((len(w), *places(x.shape, w.shape[2:], u, t, d)))
    for o, p, q in np.ndindex(y.shape):
        for i, r, s in np.ndindex(w.shape[1:]):
            y[o, p, q] += w[o, i, r, s] * x[i, p * u + r * d, q * u + s * d]
    return y


rng = np.random.default_rng(0)
x, w = rng.standard_normal((3, 9, 8)), rng.standard_normal((4, 3, 3, 2))  # no two sides alike: a mix-up would show
CASES = [(1, 0, 1), (1, 1, 1), (2, 1, 1), (1, 2, 3), (3, 2, 2)]  # stride, padding, dilation
for u, t, d in CASES:
    np.testing.assert_allclose(convolution(x, w, u, t, d), F.conv2d(x, w, None, u, t, d), rtol=1e-12, atol=1e-12)

# %%
# Windows as rows of a matrix
# ---------------------------
#
# Each output is an inner product of a filter with a *window* of the image. Write the windows one below the other, and all outputs
# are one matrix product, with all that :doc:`its lesson <03_matmul>` won for it. To find the windows costs nothing: an array is
# memory and *strides*, the bytes from one element to the next along each axis, and windows are the same memory with other
# strides. Only making a matrix of them copies, every pixel up to :math:`RS` times.
#
# .. literalinclude:: ../../minivision/ops/conv.py
#    :pyobject: _conv2d
#    :caption: minivision/ops/conv.py


def im2col(x, taps, u, t, d):  # (I, H, W) -> (P Q, I R S)
    x = np.pad(x, ((0, 0), (t, t), (t, t)))
    (p, q), (i, h, w) = places(x.shape, taps, u, 0, d), x.strides
    windows = as_strided(x, (p, q, len(x), *taps), (u * h, u * w, i, d * h, d * w), writeable=False)
    assert np.shares_memory(windows, x)
    return windows.reshape(p * q, -1)


for u, t, d in CASES:
    cols = im2col(x, (3, 2), u, t, d)
    np.testing.assert_array_equal(cols.T, F.unfold(x, (3, 2), d, t, u))
    np.testing.assert_allclose((cols @ w.reshape(4, -1).T).T.ravel(), convolution(x, w, u, t, d).ravel(), rtol=1e-12, atol=1e-12)

digits = mv.data.load("digits")
image, edge = digits.train_pixels[3].astype(float), np.array([[-1.0, -2, -1], [0, 0, 0], [1, 2, 1]])  # Sobel's, 3 x 3
cols = im2col(image, (3, 3), 1, 0, 1)
figure, panels = plt.subplots(1, 4, figsize=(6.5, 3), width_ratios=[3, 2, 0.4, 3], layout="constrained")
figure.suptitle("Windows become rows; rows times a filter are the image of its edges")
shown = {"image": image[0], "36 windows": cols, "filter": edge.reshape(9, 1), "result": (cols @ edge.ravel()).reshape(6, 6)}
for axes, (title, picture) in zip(panels, shown.items(), strict=True):
    axes.imshow(picture, cmap="gray" if picture.min() >= 0 else "PuOr", aspect="auto" if picture.shape[1] in (1, 9) else "equal")
    axes.set(title=title, xticks=[], yticks=[])
for axes, corner, size in [(panels[0], (1.5, 2.5), (3, 3)), (panels[1], (-0.5, 19.5), (9, 1)), (panels[3], (1.5, 2.5), (1, 1))]:
    axes.add_patch(plt.Rectangle(corner, *size, fill=False, edgecolor="tab:orange", linewidth=2.5))

# %%
# Both gradients
# --------------
#
# Let :math:`X` be the matrix of windows and :math:`W` the filters as :math:`(O, IRS)`. The layer is :math:`Y = X W^T`, so
#
# .. math:: \bar W = \bar Y^T X, \qquad \bar X = \bar Y W, \qquad \bar x = \operatorname{col2im}(\bar X).
#
# The last step goes back through the copying. A pixel that was copied to nine windows moved the loss nine ways, and collects nine
# cotangents: the gradient of *copying* is *adding*. So col2im puts each number back where im2col took it, and adds up what meets.
# The two are each other's transpose, :math:`\langle \operatorname{im2col} x, c \rangle = \langle x, \operatorname{col2im} c
# \rangle`, which is asserted on whole numbers, without any rounding.


def col2im(cols, shape, taps, u, t, d):  # (P Q, I R S) -> (I, H, W)
    (p, q), x = places(shape, taps, u, t, d), np.pad(np.zeros(shape), ((0, 0), (t, t), (t, t)))
    for r, s in np.ndindex(*taps):
        tap = cols.reshape(p, q, len(x), *taps)[..., r, s]  # (P, Q, I)
        x[:, r * d : r * d + u * p : u, s * d : s * d + u * q : u] += np.moveaxis(tap, 2, 0)
    return x[:, t : t + shape[1], t : t + shape[2]]


for u, t, d in CASES:
    cols = im2col(x, (3, 2), u, t, d)
    a, c = (rng.integers(-9, 10, shape).astype(float) for shape in (x.shape, cols.shape))
    assert np.sum(im2col(a, (3, 2), u, t, d) * c) == np.sum(a * col2im(c, x.shape, (3, 2), u, t, d))
    tx, tw = (mv.tensor(each, requires_grad=True) for each in (x, w))
    y = F.conv2d(tx, tw, None, u, t, d)
    y.backward(dy := rng.standard_normal(y.shape))
    rows = dy.reshape(4, -1).T  # (P Q, O)
    dw, dx = rows.T @ cols, col2im(rows @ w.reshape(4, -1), x.shape, (3, 2), u, t, d)
    np.testing.assert_allclose(tw.grad.data, dw.reshape(w.shape), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(tx.grad.data, dx, rtol=1e-11, atol=1e-12)

# %%
# The layer as one large matrix
# -----------------------------
#
# A convolution is linear in its image, so there is a matrix :math:`M` with :math:`y = Mx`, and its columns are what it makes of
# images with a single 1. Nearly all of it is zero (pixels that are not near each other do not meet), and the same nine weights
# run down its diagonals. The gradient is :math:`\bar x = M^T \bar y`. That is all that a *transposed convolution* is, the layer
# by which networks make images larger: a convolution's gradient, used forwards.

ones, nine = np.eye(64).reshape(64, 1, 8, 8), np.arange(1.0, 10.0).reshape(1, 1, 3, 3)
M, back = (layer(ones, nine, padding=1).reshape(64, 64).T for layer in (F.conv2d, F.conv_transpose2d))
np.testing.assert_array_equal(back, M.T)
print(f"{M.size} numbers, {np.count_nonzero(M)} of them not zero, {len(np.unique(M[M != 0]))} different ones")
figure, panels = plt.subplots(1, 2, figsize=(6.5, 3.3), layout="constrained")
figure.suptitle("A 3 x 3 filter on 8 x 8 pixels as a matrix, and its transpose")
for axes, matrix, title in zip(panels, (M, back), ("convolution", "transposed convolution"), strict=True):
    axes.imshow(np.where(matrix == 0, np.nan, matrix), cmap="viridis")
    axes.set(title=title, xlabel="pixel in", ylabel="pixel out")

# %%
# What is the same everywhere
# ---------------------------
#
# If every pixel of an image moves by :math:`(a, b)`, so does every number of the result: *translation equivariance*, exact, and
# asserted so on a digit with room around it. With stride 2 it holds for even steps; moved by one, a digit becomes another.

wide = np.pad(image, ((0, 0), (6, 6), (6, 6)))
filters = rng.integers(-9, 10, (5, 1, 3, 3)).astype(float)
moved = partial(np.roll, axis=(-2, -1))
for by in [(1, 0), (0, 1), (2, -3), (-4, 4)]:
    np.testing.assert_array_equal(F.conv2d(moved(wide, by), filters), moved(F.conv2d(wide, filters), by))
coarse = F.conv2d(wide, filters, stride=2)
np.testing.assert_array_equal(F.conv2d(moved(wide, (2, -4)), filters, stride=2), moved(coarse, (1, -2)))
others = [F.conv2d(moved(wide, (1, 0)), filters, stride=2) - moved(coarse, by) for by in np.ndindex(9, 9)]
assert all(np.abs(other).max() > 0 for other in others)

# %%
# Two special cases, and what they save
# -------------------------------------
#
# With :math:`1 \times 1` filters a window is a pixel, and the convolution is a matrix product of channels, pixel by pixel. A
# *depthwise* convolution is the opposite: one filter for each channel, and no mixing. The one after the other is a *separable*
# convolution, which costs :math:`1/N + 1/k^2` of a whole one with :math:`N` filters of :math:`k \times k` (Howard et al. 2017,
# section 3.1). And depth saves as well: three layers of :math:`3 \times 3` see what one of :math:`7 \times 7` sees (Simonyan &
# Zisserman 2015, section 2.3). What a number "sees" is where its gradient is not zero.

x, mix, own = (rng.standard_normal(shape) for shape in [(2, 6, 9, 9), (8, 6), (6, 1, 3, 3)])
np.testing.assert_allclose(F.conv2d(x, mix[:, :, None, None]), np.einsum("oi,nihw->nohw", mix, x), rtol=1e-12, atol=1e-12)
alone = [F.conv2d(x[:, i : i + 1], own[i : i + 1]) for i in range(6)]
np.testing.assert_allclose(F.conv2d(x, own, groups=6), np.concatenate(alone, axis=1), rtol=1e-12, atol=1e-12)
layers = [nn.Conv2d(64, 128, 3, padding=1)], [nn.Conv2d(64, 64, 3, padding=1, groups=64), nn.Conv2d(64, 128, 1)]
whole, separable = (mv.profile(nn.Sequential(*each), (64, 56, 56)).macs for each in layers)
assert separable * 128 * 3**2 == whole * (128 + 3**2)  # the formula, in whole numbers
lesson.claim("C5", f"{separable:,} multiply-adds for {whole:,}, a share of {separable / whole:.4f} = 1/128 + 1/9")

stacks = [nn.Sequential(*[nn.Conv2d(8, 8, k, bias=False) for _ in range(count)]) for k, count in [(3, 3), (7, 1)]]
for stack in stacks:
    x = mv.tensor(rng.standard_normal((1, 8, 13, 13)), requires_grad=True, dtype=np.float32)
    stack(x)[0, 0, 3, 3].backward()
    np.testing.assert_array_equal(np.argwhere(np.abs(x.grad.data[0]).sum(0)), np.argwhere(np.ones((7, 7))) + 3)
three, one = map(mv.count_parameters, stacks)
lesson.claim("C1", f"{three} weights in three 3 x 3 layers and {one} in one 7 x 7 see the same 7 x 7 pixels: {three / one:.0%}")

# %%
# In C
# ----
#
# The matrix of windows is many times as large as the image, and goes to memory and back. The third step copies a few rows of it
# at a time, just before the product reads them, and never has the whole. The library does the same. (``csrc/steps/conv_*.c``)

print("In C:" if (ready := build_steps.compiler() is not None) else "There is no C compiler here: the steps are not timed.")
side = 14 if lesson.quick() else 56
x, w = (rng.standard_normal(shape, dtype=np.float32) for shape in [(2, side, side, 64), (3, 3, 64, 64)])
turned = [(part(x).transpose(0, 3, 1, 2), part(w).transpose(3, 2, 0, 1)) for part in (np.float64, np.abs)]
exact, size = (F.conv2d(*pair, padding=1).transpose(0, 2, 3, 1) for pair in turned)
ku, times, room = 9 * 64 * 2.0**-24, [], []
for name in build_steps.names("conv") if ready else []:
    with tempfile.TemporaryDirectory() as folder:
        call = build_steps.load(build_steps.HERE / f"{name}.c", Path(folder)).conv(x, w, 1, 1)
    times.append(min(timeit.repeat(call.run, timer=time.thread_time, repeat=3, number=1)))
    room.append(call.space.nbytes)
    assert np.all(np.abs(call.result - exact) <= ku / (1 - ku) * size)  # the bound of the lesson before
    print(f"{name:<16} {2 * 9 * 64 * exact.size / times[-1] / 1e9:6.1f} GFLOP/s, {room[-1] / 1e6:5.1f} MB of room")
if ready and not lesson.quick():
    assert times[0] > 3 * max(times[1:])
    assert room[1] > 5 * room[2]

# %%
# On digits
# ---------
#
# Two convolutions and a linear layer. Nobody told the filters what to look for: the gradient made edges and corners of noise.

mv.manual_seed(0)
features = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU())
model = nn.Sequential(features, nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))
optimiser, rng = mv.optim.AdamW(model.parameters(), lr=3e-3), np.random.default_rng(0)
for _ in range(1 if lesson.quick() else 12):
    for images, labels in mv.data.batches(digits, 64, rng):
        optimiser.zero_grad()
        F.cross_entropy(model(mv.tensor(images)), labels).backward()
        optimiser.step()
right = np.mean(np.argmax(model(mv.tensor(np.asarray(digits.test_images))).data, axis=1) == digits.test_labels)
print(f"{mv.count_parameters(model):,} weights, {right:.1%} of the unseen digits are right")
assert lesson.quick() or right > 0.92
maps = features(mv.tensor(digits.test_images[:1])).data[0]
figure, panels = plt.subplots(2, 9, figsize=(6.5, 2), layout="constrained")
figure.suptitle("A digit, eight learned filters, and what each finds in it")
pictures = [digits.test_pixels[0, 0], *features[0].weight.data[:, 0], np.full((8, 8), np.nan), *maps]
for axes, picture in zip(panels.flat, pictures, strict=True):
    axes.imshow(picture, cmap="PuOr" if len(picture) == 3 else "viridis")
    axes.axis("off")

# %%
# Exercises
# ---------
#
# ``minivision exercise start im2col``, then ``col2im``; ``conv-filter-gradient`` and ``conv-gradient`` put them together. In C:
# ``conv-direct`` is the definition, ``conv-window`` copies one window, and ``conv-implicit`` is the third step.
