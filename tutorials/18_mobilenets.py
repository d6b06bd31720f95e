r"""
MobileNets: the same function for a ninth
=========================================

A phone has a tenth of a desktop's arithmetic and a battery. Where in a convolution does the work go, and how much of it can be
left out? We count what three papers leave out, see why a ReLU must not follow a narrow layer, and measure on digits what the
saving costs.

:Prerequisites: :doc:`04_convolution`
"""

from itertools import product

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, nn, optim
from minivision.models.mobilenet import DepthwiseSeparable, separable_share
from minivision.models.mobilenetv2 import InvertedResidual, has_shortcut, make_divisible
from minivision.models.mobilenetv3 import Block, SqueezeExcitation

# %%
# One convolution as two
# ----------------------
#
# A convolution of :math:`k \times k` from :math:`M` to :math:`N` channels on :math:`F \times F` pixels costs
# :math:`k^2 M N F^2` multiply-adds. MobileNet (Howard et al. 2017, section 3.1) filters each channel alone,
# :math:`k^2 M F^2`, and then combines channels pixel by pixel, :math:`M N F^2`. As a part of the whole:
#
# .. math:: \frac{k^2 M F^2 + M N F^2}{k^2 M N F^2} = \frac1N + \frac1{k^2} .
#
# What is given up: the filters from :math:`M` inputs to an output are one filter each, times a number: :math:`w_{nm} d_m`.

rng = np.random.default_rng(0)


def separable(x, d, w):  # x (B, M, H, W), d (M, k, k), w (N, M) -> (B, N, H, W)
    k = d.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (0, 0), (k // 2,) * 2, (k // 2,) * 2)), (k, k), (2, 3))
    filtered = np.einsum("bmhwij,mij->bmhw", windows, d)
    return np.einsum("bmhw,nm->bnhw", filtered, w)


x, layer = rng.standard_normal((2, 4, 7, 6)), DepthwiseSeparable(4, 5, 1).double()
d, w = layer.conv_dw.weight.numpy()[:, 0], layer.conv_pw.weight.numpy()[:, :, 0, 0]
mine = separable(x, d, w)
np.testing.assert_allclose(mine, layer.conv_pw(layer.conv_dw(mv.tensor(x))).numpy(), atol=1e-12)
np.testing.assert_allclose(mine, F.conv2d(x, w[:, :, None, None] * d, padding=1), atol=1e-12)  # one convolution, of few weights

cases = list(product((8, 64, 512), (3, 5, 7)))
for outputs, k in cases:
    full = nn.Conv2d(16, outputs, k, padding=k // 2, bias=False)
    two = nn.Sequential(nn.Conv2d(16, 16, k, padding=k // 2, groups=16, bias=False), nn.Conv2d(16, outputs, 1, bias=False))
    costs = [mv.profile(each, (16, 14, 14)).macs for each in (two, full)]
    assert costs[0] * outputs * k**2 == costs[1] * (outputs + k**2)  # exact, in integers
lesson.claim("C5", f"counted for {len(cases)} layers, exactly 1/N + 1/k^2; N = 512, k = 3: {separable_share(512, 3):.4f}")

# %%
# A ReLU in few dimensions
# ------------------------
#
# MobileNetV2 (Sandler et al. 2018, figure 1) draws a spiral, takes it to :math:`m` dimensions by a random :math:`T`, applies a
# ReLU, and comes back by the pseudoinverse of :math:`T`. A point is lost unless two coordinates stay active. Each is active with
# probability 1/2, so :math:`1 - (1 + m)/2^m` of the points are safe: a quarter at :math:`m = 2`, nearly all at 15.
#
# The error does not fall to 0, though. :math:`\mathrm{ReLU}(z) = z/2 + |z|/2`: the first half comes back as :math:`x/2`; the
# second, even in :math:`z`, averages out over many random rows. What is left is :math:`|x - x/2|^2 / |x|^2 = 1/4`: the scale, no
# information. The best linear map back, by least squares, shows that: its error does go to 0.

turn = np.linspace(0, 4 * np.pi, 400)
spiral = turn * np.stack([np.cos(turn), np.sin(turn)]) / turn[-1]  # (2, 400)
DIMENSIONS, SEEDS = (2, 3, 5, 15, 30), range(20)


def there_and_back(m, seed):  # -> by the pseudoinverse and by least squares, each (2, 400), and the share of safe points
    T = np.random.default_rng(seed).standard_normal((m, 2))
    y = np.maximum(T @ spiral, 0)
    fitted = np.linalg.lstsq(y.T, spiral.T, rcond=None)[0].T
    return np.linalg.pinv(T) @ y, fitted @ y, np.mean((y > 0).sum(0) >= 2)


def error(found):
    return np.sum((found - spiral) ** 2) / np.sum(spiral**2)


table = np.array([[[error(a), error(b), s] for a, b, s in (there_and_back(m, n) for n in SEEDS)] for m in DIMENSIONS])
mean, middle = table.mean(1), np.median(table, axis=1)
for m, row, half in zip(DIMENSIONS, mean, middle, strict=True):
    print(f"m = {m:2}: error {row[0]:5.2f} (median {half[0]:.2f}), by least squares {row[1]:.4f}; safe {row[2]:.3f}, "
          f"expected {1 - (1 + m) / 2**m:.3f}")  # fmt: skip
assert np.all(np.diff(mean[:, 0]) < 0)  # more dimensions, less error
assert abs(mean[-1, 0] - 0.25) < 0.05
assert mean[-1, 1] < 1e-3 < 0.2 < mean[0, 1]

figure, axes = plt.subplots(1, 5, figsize=(9, 2.2), layout="constrained", sharex=True, sharey=True)
axes[0].plot(*spiral)
axes[0].set(title="spiral")
for axis, m in zip(axes[1:], (2, 3, 5, 30), strict=True):
    axis.plot(*there_and_back(m, 1)[1])
    axis.set(title=f"back from m = {m}", aspect="equal")

# %%
# So a block carries few channels, expands them by 6 where the ReLU6 is, and projects with nothing behind it. It adds its input
# where that has the shape of the result. In ten lines:


def inverted_residual(block, x):
    expand, depthwise, project, norm = block.conv
    y = F.relu6(expand[1](expand[0](x)))  # 1x1, to 6 times the channels
    y = F.relu6(depthwise[1](depthwise[0](y)))  # 3x3, for each channel
    y = norm(project(y))  # 1x1, linear
    return y + x if block.shortcut else y


for inputs, outputs, stride in [(4, 4, 1), (4, 6, 1), (4, 4, 2)]:
    block, image = InvertedResidual(inputs, outputs, stride, 6).double().eval(), mv.tensor(rng.standard_normal((2, 4, 6, 6)))
    np.testing.assert_allclose(inverted_residual(block, image).numpy(), block(image).numpy(), atol=1e-12)
    assert block.conv[0][0].out_channels == 6 * inputs
    assert block.shortcut == has_shortcut(inputs, outputs, stride) == (inputs == outputs and stride == 1)
errors = ", ".join(f"m = {m}: {row[0]:.2f}" for m, row in zip(DIMENSIONS, mean, strict=True))
lesson.claim("C6", f"the block is the library's to 1e-12; spiral through a ReLU, error over {len(SEEDS)} seeds: {errors} "
             f"(towards 0.25; by least squares from {mean[0, 1]:.2f} to {mean[-1, 1]:.4f})")  # fmt: skip

# %%
# Activations for a phone
# -----------------------
#
# ReLU6 ends at 6, so eight bits over it are steps of :math:`6/255` whatever the image. h-swish,
# :math:`x\,\mathrm{ReLU6}(x + 3)/6`, stands for swish, :math:`x\,\sigma(x)`, without an exponential (Howard et al. 2019,
# section 5.2). Their difference is :math:`x` times that of two gates, largest where the hard gate has just ended, at
# :math:`|x| = 3`: there it is :math:`3(1 - \sigma(3))`.

z = np.linspace(-8, 8, 16001)
gap, bound = np.abs(F.hardswish(z) - F.silu(z)), 3 / (1 + np.exp(3))
assert [F.relu6(100 * z).min(), F.relu6(100 * z).max()] == [0, 6]
np.testing.assert_allclose([gap.max(), np.abs(z[gap.argmax()])], [bound, 3], rtol=1e-9)
lesson.claim(
    "C7", f"ReLU6 stays in [0, 6]: steps of {6 / 255:.4f} in 8 bits; |h-swish - swish| <= {gap.max():.4f}, reached at |x| = 3"
)
figure, axes = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained")
for name, function in {"swish": F.silu, "h-swish": F.hardswish, "ReLU6": F.relu6}.items():
    axes[0].plot(z, function(z), label=name)
axes[0].legend()
axes[1].plot(z, gap)
axes[1].set(title="|h-swish - swish|")

# %%
# What was cut by hand
# --------------------
#
# MobileNetV3 pools before its widest layer (section 5.1), begins with 16 filters where V2 has 32, and narrows to a quarter inside
# squeeze and excitation (5.3; here to multiples of 8).

v2, v3 = mv.create_model("mobilenet_v2"), mv.create_model("mobilenet_v3_large")
rows = {row.path: row for row in mv.profile(v3, (3, 224, 224)).rows}
height, width = rows["features.16"].output[-2:]
saved = mv.profile(nn.Conv2d(960, 1280, 1), (960, height, width)).macs // rows["classifier.0"].macs
squeezes = [each for _, each in v3.named_modules() if isinstance(each, SqueezeExcitation)]
assert all(each.fc1.out_channels == make_divisible(each.fc1.in_channels / 4) for each in squeezes)
stems = v2.features[0][0].out_channels, v3.features[0][0].out_channels
assert (height, saved, stems) == (7, height * width, (32, 16))
lesson.claim("C8", f"the layer costs 1/{saved} after pooling; {len(squeezes)} gates narrow to a quarter; "
             f"stem {stems[0]} to {stems[1]}; {sum(isinstance(each, Block) for each in v3.features)} blocks")  # fmt: skip

# %%
# What it costs in accuracy
# -------------------------
#
# Table 4 of the first paper sets MobileNet beside the same network with full convolutions. We do so on digits, at several widths.
# The paper reports 70.6 against 71.7 % on ImageNet (not checked here).

digits = mv.data.load("digits")
images, labels = digits.train_images[:], digits.train_labels
RUNS, EPOCHS, WIDTHS, BATCH = (1, 1, (0.25,), 64) if lesson.quick() else (3, 6, (0.25, 0.5, 1.0), 64)


def accuracy(seed, **options):
    mv.manual_seed(seed)
    model, order = mv.create_model("mobilenetv1_digits", **options), np.random.default_rng(seed)
    optimizer, steps = optim.AdamW(model.parameters(), lr=3e-3), EPOCHS * (len(images) // BATCH)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 + np.cos(np.pi * step / steps)) / 2
        chosen = order.choice(len(images), BATCH, replace=False)
        loss = F.cross_entropy(model(mv.tensor(images[chosen])), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with mv.no_grad():
        return np.mean(model.eval()(mv.tensor(digits.test_images[:])).numpy().argmax(-1) == digits.test_labels)


every = {}
figure, axis = plt.subplots(figsize=(5, 3.2), layout="constrained")
for separable_one, name in [(True, "depthwise separable"), (False, "full")]:
    found = np.array([[accuracy(n, separable=separable_one, width=a) for n in range(RUNS)] for a in WIDTHS])
    models = [mv.create_model("mobilenetv1_digits", separable=separable_one, width=a) for a in WIDTHS]
    macs = [mv.profile(each, (1, 8, 8)).macs for each in models]
    for a, cost, row in zip(WIDTHS, macs, found, strict=True):
        print(f"{name:>19}, width {a}: {cost:9,} multiply-adds, {row.mean():.1%} right, from {row.min():.1%} to {row.max():.1%}")
    every[name] = macs[-1], 100 * found[-1].mean()
    axis.errorbar(macs, found.mean(1), [found.mean(1) - found.min(1), found.max(1) - found.mean(1)], fmt="o-", label=name)
axis.set(xscale="log", xlabel="multiply-adds", ylabel="right answers (bar: all seeds)")
axis.legend()
(few, low), (many, high) = every.values()
print(f"at width {WIDTHS[-1]}: {many / few:.1f} times fewer multiply-adds for {high - low:.1f} points")

# %%
# On digits the saving costs more than the point that the paper reports, and a narrow network of full convolutions is better than
# a wide separable one that costs more. The training is short and the same for all, and what longer training would change was not
# measured. The share :math:`1/N + 1/k^2` is exact; the accuracy that is left depends on the data.
#
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``separable-share``: what is left of a convolution. ``make-divisible``: channels in
# multiples of 8. ``shortcut-rule``: where an input may be added.
