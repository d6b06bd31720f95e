r"""
Which skips to keep
===================

Dense networks join every earlier map to every later one. It trains well and has few weights, but each layer reads all that was
ever computed, and a machine waits for memory. SelecSLS, the backbone of XNect (Mehta et al. 2020), keeps two kinds of skips:
short ones inside a block, and one long one a stage. We count what that saves, build a block, time the networks against
ResNet-50 on this machine, and then take the long skip away to see what it was good for.

:Prerequisites: :doc:`04_convolution`, :doc:`06_normalisation`
"""

import time

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson
from minivision.models.selecsls import SelecSLSBlock

rng = np.random.default_rng(0)

# %%
# Counting what is joined
# -----------------------
#
# Let a stage have :math:`n` blocks whose maps are :math:`c` channels wide. If block :math:`i` reads all before it, as in
# DenseNet, it reads :math:`ic` channels, and the stage :math:`c\,n(n+1)/2`. If it reads the block before it and the *first* of
# the stage, it reads :math:`2c`, and the stage :math:`c\,(2n - 1)`: linear in depth. Below, a row is a block and a column what
# it reads (the second block's two are the same map).

N = 9
reads = {
    "plain": np.eye(N),
    "dense": np.tri(N),
    "selective": np.maximum(np.eye(N), np.arange(N) == 1) * np.tri(N),
}
figure, panels = plt.subplots(1, 3, figsize=(7, 2.9), layout="constrained", sharey=True)
for axis, (name, matrix) in zip(panels, reads.items(), strict=True):
    axis.imshow(matrix, cmap="Blues", vmax=1.4)
    axis.set(title=f"{name}: {matrix.sum():.0f} maps read", xlabel="map (0: what comes in)", xticks=[0, 4, 8], yticks=[0, 4, 8])
panels[0].set_ylabel("block")
assert reads["dense"].sum() == N * (N + 1) / 2
assert reads["selective"].sum() == 2 * N - 2  # the first block has no long skip, and the second's is the map before it anyway

# %%
# Inside, a block is a chain of five convolutions, 3 x 3 and 1 x 1 in turn. Its first map, of :math:`m` channels, and its third
# and fifth, of :math:`m/2` each, are joined (the short skips), with the long skip of :math:`s` channels if there is one; a last
# 1 x 1 convolution sees :math:`2m + s` channels, however deep the stage is. All have a batch norm and a ReLU behind them. In
# ten lines:


def unit(x, weight, stride=1):  # a fresh norm in evaluation mode divides by sqrt(1 + eps)
    y = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
    return F.relu(y / np.sqrt(1.0 + 1e-5))


def block(x, skip, weights, stride):
    first = unit(x, weights[0], stride)
    second = unit(unit(first, weights[1]), weights[2])
    third = unit(unit(second, weights[3]), weights[4])
    joined = np.concatenate([first, second, third, *([] if skip is None else [skip])], axis=1)
    return unit(joined, weights[5])


for channels, stride in ((0, 2), (5, 1)):
    library = SelecSLSBlock(6, channels, 8, 7, stride).double().eval()
    x = rng.standard_normal((2, 6, 9, 9))
    skip = rng.standard_normal((2, channels, 9, 9)) if channels else None
    wanted = library(mv.tensor(x), None if skip is None else mv.tensor(skip)).numpy()
    weights = [p.numpy() for p in library.parameters() if p.ndim == 4]
    np.testing.assert_allclose(block(x, skip, weights, stride), wanted, rtol=0, atol=1e-13)

# %%
# The published networks
# ----------------------
#
# The shapes, counted while an image goes through. The long skip is always the output of its stage's first block: the very same
# array, which costs nothing to keep, for the stage's next block needs it anyway.

SIZE = 64 if lesson.quick() else 224
model, rows = mv.create_model("selecsls60", img_size=SIZE).eval(), []
for each in model.features:
    each.register_forward_hook(lambda each, args, y: rows.append((each, *args, y)))
with mv.no_grad():
    model(mv.tensor(rng.standard_normal((1, 3, SIZE, SIZE)).astype(np.float32)))
for i, (each, x, skip, y) in enumerate(rows):
    middle, seen = each.conv1[0].out_channels, each.conv6[0].in_channels
    assert seen == 2 * middle + each.skip
    if each.skip == 0:
        first = y
    assert each.skip == 0 or skip is first
    joined = f"{2 * middle:3} + {each.skip:3} = {seen:3}"
    print(f"block {i}: {x.shape[1]:3} channels in, joined {joined}, {y.shape[1]:3} out, side {y.shape[2]}")

# %%
# Is it faster?
# -------------
#
# The paper reports the accuracy of ResNet-50 in less time, and timm 78.0 % on ImageNet for SelecSLS-60 (reported there, not
# checked here: it takes ImageNet, and the paper's times are a GPU's). Speed needs no training, so random weights will do.
# Multiply-adds, and the numbers that are written to memory, are counted; time is measured, in turns, so that whatever else the
# machine does meets all networks alike.

NAMES = ["resnet50", "selecsls42b", "selecsls60", "selecsls60b"][: 2 if lesson.quick() else None]
ROUNDS = 2 if lesson.quick() else 9
models = {name: mv.create_model(name, img_size=SIZE).eval() for name in NAMES}
costs = {name: mv.profile(each, each.config.input_shape) for name, each in models.items()}
x, times = mv.tensor(rng.standard_normal((1, 3, SIZE, SIZE)).astype(np.float32)), np.zeros((ROUNDS + 1, len(NAMES)))
with mv.no_grad():
    for i, (j, each) in [(i, pair) for i in range(ROUNDS + 1) for pair in enumerate(models.values())]:
        start = time.perf_counter()
        each(x)
        times[i, j] = time.perf_counter() - start
faster = times[1:, :1] / times[1:]  # the first round warms up
low, middle, high = np.quantile(faster, [0.25, 0.5, 0.75], axis=0)
fewer = [costs["resnet50"].macs / each.macs for each in costs.values()]
written = [costs["resnet50"].activations / each.activations for each in costs.values()]
for name, *numbers in zip(NAMES, middle, low, high, fewer, written, strict=True):
    print(f"{name:12} {numbers[0]:.2f} times ResNet-50's speed (half of the rounds {numbers[1]:.2f} to {numbers[2]:.2f}), "
          f"{numbers[3]:.2f} times fewer multiply-adds, {numbers[4]:.2f} times fewer numbers written")  # fmt: skip

figure, axes = plt.subplots(figsize=(6.5, 3.3), layout="constrained")
bars = {"multiply-adds": fewer, "numbers written": written, "time, measured": middle}
for k, (name, heights) in enumerate(bars.items()):
    errors = np.abs(np.array([low, high]) - middle)[:, 1:] if k == 2 else None
    axes.bar(
        np.arange(len(NAMES) - 1) + 0.26 * (k - 1),
        heights[1:],
        0.24,
        yerr=errors,
        capsize=3,
        label=f"ResNet-50's {name} over its own",
    )
axes.axhline(1.0, color="k", linewidth=1)
axes.set(
    title="Better than ResNet-50 where above 1",
    xticks=range(len(NAMES) - 1),
    xticklabels=NAMES[1:],
    ylabel="ratio",
    ylim=(0, 1.4 * axes.get_ylim()[1]),  # room for the legend
)
axes.legend(fontsize=8, loc="upper right")

# %%
# What the long skip is for
# -------------------------
#
# On digits, with two stages of three blocks: forty convolutions, none of which is by-passed as in a ResNet. One network has the
# long skips. Its rival has none, and a chain that is wider, so that it has no fewer weights. Same images, same order, same rate.

digits = mv.data.load("digits")
SEEDS, EPOCHS, COUNT = (1, 1, 100) if lesson.quick() else (4, 10, 600)
mv.set_num_threads(1)  # so small a network is not worth a second thread


def small(long_skip, middle):
    stages = (middle, (12, 12, 12)), (middle, (16, 16, 16))
    return mv.create_model("selecsls_digits", stages=stages, head=((32, 3, 1),), long_skip=long_skip)


def size(model):
    return sum(int(np.prod(p.shape)) for p in model.parameters())


with_skip, wide = size(small(True, 12)), 12
while size(small(False, wide)) < with_skip:
    wide += 2
print(f"with long skips {with_skip:,} weights; without, the chains {wide} wide instead of 12, {size(small(False, wide)):,}")


def learn(long_skip, middle, seed, rate=3e-3):
    mv.manual_seed(seed)
    model, order, losses = small(long_skip, middle), np.random.default_rng(seed), []
    optimiser, steps = mv.optim.AdamW(model.parameters(), lr=rate), EPOCHS * (COUNT // 50)
    x, y = digits.train_images[:COUNT], digits.train_labels[:COUNT]
    for batch in [each for _ in range(EPOCHS) for each in np.array_split(order.permutation(COUNT), COUNT // 50)]:
        optimiser.lr = rate * min(1.0, 4 * (1 - len(losses) / steps))
        loss = F.cross_entropy(model(mv.tensor(x[batch])), y[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    with mv.no_grad():
        answers = model.eval()(mv.tensor(digits.test_images[:])).numpy().argmax(1)
    return np.array(losses).reshape(EPOCHS, -1).mean(1), np.mean(answers == digits.test_labels)


runs = {"long skips": (True, 12), "none, but wider": (False, wide)}
figure, axes, right, curves = *plt.subplots(figsize=(6.5, 3.3), layout="constrained"), [], []
for (name, settings), style in zip(runs.items(), ("o-", "s--"), strict=True):
    losses, answers = zip(*(learn(*settings, seed) for seed in range(SEEDS)), strict=True)
    right.append(answers)
    curves.append(np.array(losses))
    (line,) = axes.plot(range(1, EPOCHS + 1), np.mean(losses, axis=0), style, label=name)
    axes.fill_between(range(1, EPOCHS + 1), np.min(losses, axis=0), np.max(losses, axis=0), color=line.get_color(), alpha=0.2)
axes.set(title=f"Training loss, {SEEDS} seeds: mean and range", xlabel="epoch", ylabel="cross-entropy")
axes.legend()
more, ranges = np.subtract(*right), [f"{min(each):.0%} to {max(each):.0%}" for each in right]
print(f"test accuracy with long skips {ranges[0]}, without {ranges[1]}")

# %%
# Without the long skip, a gradient that goes to the start of a stage has to pass through every block of it; with it, one block
# is enough. On average the loss falls sooner with it, from the first epochs on, and the fewer weights do not hold it back. But
# the ranges overlap in the end, and not every seed answers more of the test: so few epochs say how soon a network learns, not
# where it ends. Of speed, what is counted (half of the numbers written) is not what a clock shows: here a convolution's time
# is its multiplications, and those are nearly ResNet-50's.

assert lesson.quick() or np.all(curves[0].mean(0)[1:6] < curves[1].mean(0)[1:6])
speeds = ", ".join(f"{name} at {each:.2f}" for name, each in zip(NAMES[1:], middle[1:], strict=True))
lesson.claim("C15", f"on this CPU {speeds} times ResNet-50's speed (one image, random weights; {min(fewer[1:]):.2f} to "
             f"{max(fewer[1:]):.2f} times fewer multiply-adds); its accuracy is quoted, not checked. On digits, after {EPOCHS} "
             f"epochs, the skips change right answers by {more.min():+.0%} to {more.max():+.0%} ({SEEDS} seeds, no more weights)",
             "holds at this scale" if np.all(low[1:] > 1.0) else "does not hold here")  # fmt: skip

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID``. ``selecsls-block``: what a block joins. ``selecsls-skips``: where the long skips start.
