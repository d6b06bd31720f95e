r"""
Swin step by step
=================

A ViT has one map of large patches. Small things want finer maps, and there attention between all patches costs too much. Can
attention stay inside small windows, and windows still speak with each other? We build Swin's parts by hand, hold each against
the library, and measure what its shift is good for.

:Prerequisites: :doc:`08_vit`, :doc:`11_attention_cost`
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images

import minivision as mv
from minivision import functional as F
from minivision import lesson, models, nn, schedule, train
from minivision.models import shifted_windows as sw
from minivision.models.swin import Block, SwinConfig, SwinTransformer, WindowAttention, merged

mv.set_num_threads(1)  # so small a network is not worth a second thread
rng = np.random.default_rng(0)
photo = load_sample_images().images[0][100:324, 150:374] / 255  # (224, 224, 3)
TINY, C, M, S = "swin_tiny_patch4_window7_224", 96, 7, 3  # the first map's channels; windows of M x M, shifted by S
swin = mv.create_model(TINY)

# %%
# Patches
# -------
#
# Every 4 x 4 pixels of three colours are a patch of 48 numbers, and one matrix makes 96 of them (Liu et al. 2021, section 3.1).
# A convolution whose stride is its size does the same. A LayerNorm follows.

patches = photo.reshape(56, 4, 56, 4, 3).swapaxes(1, 2).reshape(56, 56, 48)
proj = swin.patch_embed.proj
weight = proj.weight.numpy().transpose(2, 3, 1, 0).reshape(48, C)  # rows, columns and colours of a patch, as they lie in it
theirs = proj(mv.tensor(photo.transpose(2, 0, 1)[None].astype(np.float32))).numpy()[0].transpose(1, 2, 0)
np.testing.assert_allclose(patches @ weight + proj.bias.numpy(), theirs, rtol=1e-4, atol=1e-5)

# %%
# Merging
# -------
#
# Between two stages 2 x 2 patches become one: their :math:`4C` numbers side by side, a LayerNorm, and a matrix to :math:`2C`.

x = rng.standard_normal((1, 56, 56, C))
four = np.concatenate([x[:, i::2, j::2] for i, j in ((0, 0), (1, 0), (0, 1), (1, 1))], axis=-1)  # (1, 28, 28, 4 C)
np.testing.assert_array_equal(four, merged(mv.tensor(x)).numpy())
merging = swin.layers[1].downsample.double()
y = (four - four.mean(-1, keepdims=True)) / np.sqrt(four.var(-1, keepdims=True) + 1e-5) @ merging.reduction.weight.numpy().T
np.testing.assert_allclose(y, merging(mv.tensor(x)).numpy(), rtol=0, atol=1e-12)
rows = {row.path: row for row in mv.profile(swin.float(), (3, 224, 224)).rows}  # of the whole model, as it runs
maps = [rows[f"layers.{i}"].output[1:] for i in range(4)]
linear = [layer.downsample.reduction.weight.shape[::-1] for layer in swin.layers[1:]]  # from, to
assert [rows["patch_embed"].output[1:], *maps[1:]] == maps == [(56 >> i, 56 >> i, C << i) for i in range(4)]
assert linear == [(4 * C << i, 2 * C << i) for i in range(3)]
lesson.claim("S2", f"{photo.shape} -> patches {patches.shape} -> maps {', '.join(map(str, maps))}; merging's matrices "
             + ", ".join(f"{a} to {b}" for a, b in linear))  # fmt: skip

# %%
# Windows
# -------
#
# Attention stays inside windows of :math:`M \times M` patches, in all stages the same :math:`M = 7`. So a window sees more of
# the picture the deeper it is, and the last map is one window. Below, each patch has the mean colour of its pixels.

figure, axes = plt.subplots(1, 4, figsize=(7.5, 2.3), layout="constrained", subplot_kw={"xticks": [], "yticks": []})
for axis, (side, _, channels) in zip(axes, maps, strict=True):
    axis.imshow(photo.reshape(side, 224 // side, side, 224 // side, 3).mean((1, 3)))
    edges = np.arange(M, side, M) - 0.5
    axis.hlines(edges, -0.5, side - 0.5, color="w", linewidth=1)
    axis.vlines(edges, -0.5, side - 0.5, color="w", linewidth=1)
    axis.set_title(f"{side} x {side} patches,\n{(side // M) ** 2} window{'s' * (side > M)}, {channels} channels", fontsize=9)

# %%
# Attention, for any set of patches
# ---------------------------------
#
# Equation 4: :math:`\operatorname{softmax}(q k^\top / \sqrt D + B)\, v`. The bias :math:`B` of a query and a key is looked up
# by how far they are apart. In a window both displacements go from :math:`-(M-1)` to :math:`M-1`, so each head has a table of
# :math:`(2M-1)^2` numbers for :math:`M^4` pairs. We write it for patches at any places:


def attend(x, places, w):  # (N, C), (N, 2) rows and columns, the layer's arrays -> (N, C)
    heads = w["relative_position_bias_table"].shape[1]
    q, k, v = (x @ w["qkv.weight"].T + w["qkv.bias"]).reshape(len(x), 3, heads, -1).transpose(1, 2, 0, 3)  # (heads, N, D) each
    dh, dw = np.moveaxis(places[:, None] - places, -1, 0) + M - 1
    bias = w["relative_position_bias_table"].reshape(2 * M - 1, 2 * M - 1, heads)[dh, dw]  # (N, N, heads)
    p = np.exp(q @ k.swapaxes(1, 2) / q.shape[-1] ** 0.5 + bias.transpose(2, 0, 1))
    return (p / p.sum(-1, keepdims=True) @ v).swapaxes(0, 1).reshape(x.shape) @ w["proj.weight"].T + w["proj.bias"]


places = np.indices((M, M)).reshape(2, -1).T
attention = WindowAttention(swin.config, 2, (M, M)).double()  # of the third stage: 14 x 14 patches, 12 heads
nn.init.normal_(attention.relative_position_bias_table)
w, x = attention.state_dict(), rng.standard_normal((1, 14, 14, 4 * C))
np.testing.assert_allclose(attend(x[0, :M, :M].reshape(M * M, -1), places, w),
                           attention(mv.tensor(x[:, :M, :M].reshape(1, M * M, -1))).numpy()[0], rtol=0, atol=1e-12)  # fmt: skip

# %%
# The shift
# ---------
#
# With windows alone, neighbours on two sides of a border never meet. So every second block moves the grid by
# :math:`\lfloor M/2 \rfloor`. Now there are more windows than before, and those at the border are smaller: 3 x 3 in place of
# 2 x 2 in the third stage. By definition, each patch is attended to with those of its own window of the shifted grid:

band = (np.arange(14) + M - S) // M  # 0 0 0 1 1 1 1 1 1 1 2 2 2 2
grid = 3 * band[:, None] + band  # (14, 14): the window of the shifted grid that each patch is in
wanted = np.zeros_like(x)
for number in np.unique(grid):
    wanted[0, grid == number] = attend(x[0, grid == number], np.argwhere(grid == number), w)

# %%
# Nine windows of four sizes are unhandy, and padded to full ones they cost 9/4 as much. Swin rolls the map up and to the left:
# what is cut off comes in again at the other end, and four windows are full. But now patches meet that are not neighbours. The
# mask adds -100 to the score of every pair that is not of one region: of one window of the shifted grid.

rolled = np.roll(grid, (-S, -S), (0, 1))
each = rolled.reshape(2, M, 2, M).swapaxes(1, 2).reshape(4, 1, M * M)  # (windows, 1, patches): the regions in each
mask = np.where(each[..., :, None] == each[..., None, :], 0.0, -100.0)  # (4, 1, 49, 49)
np.testing.assert_array_equal(mask, sw.region_mask((14, 14), (M, M), (S, S), np.dtype(float)))
gap = np.abs(sw.in_windows(attention, mv.tensor(x), (M, M), (S, S)).numpy() - wanted).max()
assert (gap < 1e-12, len(np.unique(grid)), len(mask)) == (True, 9, 4)
lesson.claim("S3", f"on 14 x 14 patches with windows of {M} x {M}, roll and mask equal attention in the windows of the shifted "
             f"grid to {gap:.0e}; {len(np.unique(grid))} windows there, {len(mask)} after the roll")  # fmt: skip

figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.9), layout="constrained", subplot_kw={"xticks": [], "yticks": []})
TITLES = {"2 x 2 windows": [7], "the shifted grid: 3 x 3": [3, 10], "rolled: 2 x 2 again, nine regions": [7]}
for axis, (title, cuts) in zip(axes, TITLES.items(), strict=True):
    axis.imshow(np.roll(photo, (-16 * S, -16 * S), (0, 1)) if "rolled" in title else photo, extent=(0, 14, 14, 0))
    axis.hlines(cuts, 0, 14, color="w", linewidth=2)
    axis.vlines(cuts, 0, 14, color="w", linewidth=2)
    axis.set_title(title, fontsize=10)
for axis, regions in zip(axes[1:], (grid, rolled), strict=True):
    axis.imshow(regions, cmap="Set1", alpha=0.35, extent=(0, 14, 14, 0), vmin=0, vmax=8)

# %%
# Who hears whom
# --------------
#
# Which patches does the output at the red dot depend on, after one to four blocks? Those where its gradient is not 0. Without
# shift it is 0 beyond the window, to the last bit; with a shift in every second block it crosses borders. (A score of -100
# leaves about :math:`e^{-100}` of a patch that should not be met, which we take for nothing.)

config, dot, NOTHING = SwinConfig(16, (4,), (2,), patch_size=1, img_size=28), (12, 16), np.exp(-90)


def heard(shifts):  # -> (28, 28): the largest gradient at each patch, after as many blocks
    mv.manual_seed(0)
    blocks = nn.Sequential(*(Block(config, 0, shifted, 0.0) for shifted in shifts)).double()
    x = mv.tensor(rng.standard_normal((1, 28, 28, 16)), requires_grad=True)
    blocks(x)[(0, *dot)].sum().backward()
    return np.abs(x.grad.numpy()[0]).max(-1)


KINDS = {"never shifted": [False] * 4, "every second shifted": [False, True] * 2}
found = {kind: np.array([heard(shifts[:depth]) for depth in (1, 2, 3, 4)]) for kind, shifts in KINDS.items()}
count = {kind: (each > NOTHING).sum((1, 2)) for kind, each in found.items()}
assert np.all((found["never shifted"] > 0).sum((1, 2)) == M * M)  # its own window; all else is 0 itself
assert np.all(np.diff(count["every second shifted"]) > 0)
lesson.claim("S4", f"of 28 x 28 patches an output depends on {', '.join(map(str, count['never shifted']))} after 1 to 4 blocks "
             f"without shift (elsewhere exactly 0), on {', '.join(map(str, count['every second shifted']))} with")  # fmt: skip
figure, axes = plt.subplots(2, 4, figsize=(7.5, 3.8), layout="constrained", subplot_kw={"xticks": [], "yticks": []})
for row, (kind, some) in zip(axes, found.items(), strict=True):
    for axis, one, depth in zip(row, some, (1, 2, 3, 4), strict=True):
        shown = axis.imshow(np.log10(np.where(one > NOTHING, one, np.nan)), vmin=-7, vmax=0, extent=(0, 28, 28, 0))
        axis.hlines((7, 14, 21), 0, 28, color="0.7", linewidth=0.6)
        axis.vlines((7, 14, 21), 0, 28, color="0.7", linewidth=0.6)
        axis.plot(dot[1] + 0.5, dot[0] + 0.5, "r.")
        axis.set_title(f"{depth} block{'s' * (depth > 1)}: {count[kind][depth - 1]} patches", fontsize=9)
    row[0].set_ylabel(kind)
figure.colorbar(shown, ax=axes, shrink=0.7, label="log10 of the gradient")

# %%
# The size of a ResNet
# --------------------
#
# The depths 2, 2, 6, 2 and 2, 2, 18, 2 were chosen to be comparable with two well-known ResNets (section 3.3).

PAIRS = {TINY: "resnet50", "swin_small_patch4_window7_224": "resnet101"}
sizes = {name: mv.profile(mv.create_model(name), (3, 224, 224)) for name in (*PAIRS, *PAIRS.values())}
ratios = [(sizes[a].parameters / sizes[b].parameters, sizes[a].macs / sizes[b].macs) for a, b in PAIRS.items()]
assert 1.0 < min(map(min, ratios)) < max(map(max, ratios)) < 1.15
told = {name: f"{name.split('_patch')[0]} {size.parameters:,} and {size.macs:,}" for name, size in sizes.items()}
lesson.claim("S5", "parameters and multiply-adds: " + "; ".join(f"{told[a]}, {p:.2f} and {m:.2f} times those of {told[b]}"
             for (a, b), (p, m) in zip(PAIRS.items(), ratios, strict=True)))  # fmt: skip
trunk = [mv.profile(mv.create_model(TINY, img_size=n, num_classes=0), (3, n, n)).macs for n in (224, 448, 672)]
assert trunk[1:] == [4 * trunk[0], 9 * trunk[0]]  # as the area of the image: windows divide each map of the three sizes
print("without its head, at 224, 448 and 672 pixels:", ", ".join(f"{macs:,}" for macs in trunk))

# %%
# What the shift is good for
# --------------------------
#
# Digits of 16 x 16 pixels: 8 x 8 patches, then 4 x 4. In windows of 2 x 2 nothing but the shift joins the quarters of a digit
# before the last mean; in windows of 4 x 4 the second stage is one window. Each has its learning rate from held-out images.

SEEDS, STEPS, RATES = (*((1, 5) if lesson.quick() else (3, 180)), (0.004, 0.008))
SMALL = replace(models.entry("swin_digits").config, embed_dim=16, mlp_ratio=2.0, patch_size=2, img_size=16)


def trained(window, shifted, seed, lr):  # -> the share of right answers: held out, unseen
    data = mv.data.load("digits", seed)
    x, unseen = (F.interpolate(some[:], scale_factor=2, mode="bilinear") for some in (data.train_images, data.test_images))
    t, kept = data.train_labels, np.arange(len(data.train_labels)) % 5 > 0
    mv.manual_seed(seed)
    model = SwinTransformer(replace(SMALL, window_size=window))
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=layer.weight.shape[1] ** -0.5)  # so small a network learns faster
        if isinstance(layer, Block) and not shifted:
            layer.shift = (0, 0)
    optimiser = mv.optim.AdamW(model.parameters(), lr=lr)
    scheduler = schedule.Scheduler(optimiser, schedule.cosine(STEPS, warmup=STEPS // 10))
    for batch in np.random.default_rng(seed).choice(np.flatnonzero(kept), (STEPS, 16)):
        optimiser.zero_grad()
        F.cross_entropy(model(mv.tensor(x[batch])), t[batch]).backward()
        mv.optim.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        scheduler.step()
    sets = (x[~kept], t[~kept]), (unseen, data.test_labels)
    return [np.mean(train.predict(model, images, 512).argmax(1) == labels) for images, labels in sets]


figure, axis = plt.subplots(figsize=(6.5, 2.4), layout="constrained")
right = {}
for window, shifted in ((2, True), (2, False), (4, True), (4, False)):
    runs = {lr: np.array([trained(window, shifted, seed, lr) for seed in range(SEEDS)]) for lr in RATES}
    best = max(RATES, key=lambda lr: runs[lr][:, 0].mean())
    right[window, shifted] = unseen = runs[best][:, 1]
    name = f"{window} x {window}, {'shifted' if shifted else 'never shifted'}: {unseen.mean():.1%}"
    axis.plot(unseen, [name] * SEEDS, "o", color="C0" if shifted else "C1", alpha=0.6)
    axis.plot(unseen.mean(), name, "k|", markersize=16)
axis.set(title=f"Unseen digits right, {SEEDS} seeds (bar: mean)", ylabel="windows", ylim=(3.5, -0.5))
gain = {window: right[window, True] - right[window, False] for window in (2, 4)}  # of each seed
assert lesson.quick() or (gain[2].min() > 0.0 and gain[2].mean() > gain[4].mean())

# %%
# Where only the shift joins windows, it helps with each seed. Where the second stage sees all of the picture, there is less to
# gain. On ImageNet the paper reports 81.3 % with shifts and 80.2 % without (Swin-T, table 4), which is not checked here.
#
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``swin-mask``: who may meet after the roll; ``swin-bias-index``: where the bias
# of a pair stands; ``swin-merging``: 2 x 2 patches side by side; ``swin-windows``: attention in windows, from its parts.
