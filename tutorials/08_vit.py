r"""
The vision transformer, from pixels to class token
==================================================

A transformer reads a sequence of tokens, and an image is a square of pixels. How does one become the other, and what does the
network know of the square afterwards? This lesson computes a ViT (Dosovitskiy et al. 2021) on a photograph with nothing but
NumPy, compares each step with the library, and counts what it costs, up to the published 86 million parameters.

:Prerequisites: :doc:`05_attention`, :doc:`06_normalisation`
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import erf
from sklearn.datasets import load_sample_image

import minivision as mv
from minivision import functional as F
from minivision import lesson, models, train
from minivision.models import _resize

mv.set_num_threads(1)  # so small a network is not worth a second thread


def same(mine, theirs):
    np.testing.assert_allclose(mine, getattr(theirs, "data", theirs), rtol=1e-9, atol=1e-9)


# %%
# Patches are words
# -----------------
#
# One of scikit-learn's photographs, cropped to 224 pixels, in patches of :math:`P = 16`: :math:`N = (224/16)^2` tokens of
# :math:`16 \cdot 16 \cdot 3` numbers. To cut is no computation at all. A row of the image is a row of patches and one within it,
# :math:`y = P\, i + r`, a column alike; that is a reshape. Then the axes :math:`(i, j)` of the patches are put in front.

image = load_sample_image("china.jpg")[100:324, 150:374].transpose(2, 0, 1) / 127.5 - 1.0  # -1 to 1
P, C, H, W = 16, *image.shape


def cut(image):  # (C, H, W) -> (N, C P P)
    x = image.reshape(C, H // P, P, W // P, P)  # (C, H/P, P, W/P, P)
    return x.transpose(1, 3, 0, 2, 4).reshape(-1, C * P * P)


patches = cut(image)
N = len(patches)
assert patches.shape == (196, 768)
same(patches.T, F.unfold(mv.tensor(image[None]), P, stride=P)[0])
apart = np.ones((H // P, P + 2, W // P, P + 2, C))  # white between the patches
apart[:, 1:-1, :, 1:-1] = patches.reshape(H // P, W // P, C, P, P).transpose(0, 3, 1, 4, 2) / 2 + 0.5
figure, axes = plt.subplots(figsize=(6, 6.3), layout="constrained")
axes.imshow(apart.reshape(H + 2 * H // P, W + 2 * W // P, C))
axes.set(title="196 words of 768 numbers", xticks=[], yticks=[])

# %%
# A matrix :math:`E` of shape :math:`(768, D)` makes a token of each word: 768 to 768 in ViT-Base. Every pixel is used once, a
# patch begins where the last one ends: a convolution whose stride is its kernel. So to cut and multiply, to convolve, and the
# library's ``patch_embed`` are one. We take ViT-Tiny, :math:`D = 192`, in float64; its weights are random.

mv.manual_seed(0)
vit = mv.create_model("vit_tiny_patch16_224", num_classes=10, depth=2 if lesson.quick() else 12).double().eval()
for parameter in vit.parameters():
    parameter.data += 0.05 * mv.random.generator().standard_normal(parameter.shape)  # so that biases and tables count too
w, D = vit.state_dict(), vit.config.embed_dim
E = w["patch_embed.proj.weight"].reshape(D, -1).T  # (768, D)
tokens = patches @ E + w["patch_embed.proj.bias"]  # (N, D)
x = mv.tensor(image[None])
same(tokens, F.conv2d(x, vit.patch_embed.proj.weight, vit.patch_embed.proj.bias, stride=P)[0].flatten(1).T)
same(tokens, vit.patch_embed(x)[0])

# %%
# A token of its own, and positions
# ---------------------------------
#
# Whose output is the answer? No patch deserves it more than another. So a learned *class token* goes in front, that holds no
# pixels and can only gather. As attention does not see in which order its tokens stand, each gets a learned *position embedding*
# (eq. 1):  :math:`z_0 = [x_{class};\, x_p^1 E;\, \dots;\, x_p^N E] + E_{pos}`.

z = np.concatenate([w["cls_token"][0], tokens]) + w["pos_embed"][0]  # (1 + N, D)
same(z, vit.embed(x)[0])

# %%
# The block: normalise, look around, think, and add
# -------------------------------------------------
#
# .. math:: z' = \mathrm{MSA}(\mathrm{LN}(z)) + z, \qquad z'' = \mathrm{MLP}(\mathrm{LN}(z')) + z' .
#
# In this *pre-norm* order the sum itself is never normalised: a path of sums alone leads from the pixels to the last layer. We do
# attention head by head; each has its own three matrices, side by side in the rows of one.
# After the last block the class token alone is normalised, and read by one matrix (eq. 4).


def layer_norm(x, name):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * w[f"{name}.weight"] + w[f"{name}.bias"]


def linear(x, name):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def softmax(s):
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention(x, name, heads=3):
    q, k, v = np.split(linear(x, f"{name}.qkv"), 3, axis=-1)  # (T, D) each
    outs = []
    for one in np.split(np.arange(D), heads):  # this head's D_h columns
        A = softmax(q[:, one] @ k[:, one].T / len(one) ** 0.5)  # (T, T): row i says where token i looks
        outs.append(A @ v[:, one])
    return linear(np.concatenate(outs, axis=-1), f"{name}.proj")


def gelu(x):
    return x * (1 + erf(x / 2**0.5)) / 2


def block(z, name):
    z = z + attention(layer_norm(z, f"{name}.norm1"), f"{name}.attn")
    return z + linear(gelu(linear(layer_norm(z, f"{name}.norm2"), f"{name}.mlp.fc1")), f"{name}.mlp.fc2")


def answer(tokens, positions):
    z = np.concatenate([w["cls_token"][0], tokens]) + positions
    for i in range(vit.config.depth):
        z = block(z, f"blocks.{i}")
    return linear(layer_norm(z[0], "norm"), "head")


first, z_ = vit.blocks[0], mv.tensor(z[None])
normed = layer_norm(z, "blocks.0.norm1")
same(normed, first.norm1(z_)[0])
q, k, v = first.attn.heads(first.norm1(z_))  # (1, heads, T, D_h) each
same(np.split(linear(normed, "blocks.0.attn.qkv"), 9, axis=-1), np.concatenate([a.data[0] for a in (q, k, v)]))
same(softmax(q.data[0, 0] @ k.data[0, 0].T / 8), first.attn.weights(first.norm1(z_))[0, 0])
same(attention(normed, "blocks.0.attn"), first.attn(first.norm1(z_))[0])
same(linear(gelu(linear(z, "blocks.0.mlp.fc1")), "blocks.0.mlp.fc2"), first.mlp(z_)[0])
same(block(z, "blocks.0"), first(z_)[0])
same(answer(tokens, w["pos_embed"][0]), vit(x)[0])

# %%
# **What does it know of the square?** Shuffle the patches. Without positions the answer is the same to the last digits: to the
# encoder an image is a *bag* of patches. What it will know of up, down and beside, it must learn into the table.

order = np.random.default_rng(0).permutation(N)
same(answer(tokens[order], 0.0), answer(tokens, 0.0))
moved = np.linalg.norm(answer(tokens[order], w["pos_embed"][0]) - vit(x).data[0]) / np.linalg.norm(vit(x).data)
print(f"with positions, shuffled patches change the answer by {moved:.1%}")
assert moved > 1e-3

# %%
# What it costs
# -------------
#
# A block has :math:`4D^2` weights in attention and :math:`8D^2` in the MLP, :math:`9D` biases and :math:`4D` in its norms.
# Each weight is multiplied once for each of :math:`T = N + 1` tokens; attention's two products cost :math:`T^2 D` each. With
# :math:`L` blocks and :math:`K` classes
#
# .. math:: \text{parameters} &= L(12D^2 + 13D) + (P^2 C + 1)D + D + TD + 2D + K(D + 1) \\
#           \text{MACs} &= L(12TD^2 + 2T^2D) + N P^2 C D + KD .
#
# The library counts by running the model; both are held to timm's published counts, and to the paper's 86 M (table 1).


def parts(c):  # -> {part: (parameters, MACs)} of a configuration
    D, L, T, K, cells = c.embed_dim, c.depth, 1 + c.grid[0] * c.grid[1], c.num_classes, c.patch_size**2 * c.in_chans
    return {
        "patches, tables, norms": ((cells + 1) * D + D + T * D + 2 * D + L * 4 * D, (T - 1) * cells * D),
        "attention's matrices": (L * (4 * D * D + 4 * D), L * 4 * T * D * D),
        "attention's products": (0, L * 2 * T * T * D),
        "MLP": (L * (8 * D * D + 5 * D), L * 8 * T * D * D),
        "head": (K * (D + 1), K * D),
    }


sizes = ["tiny_patch16", "small_patch16", "base_patch32", "base_patch16", "large_patch16"]
counts = {}
for size in sizes:
    published = models.entry(f"vit_{size}_224")
    counts[size] = np.array([*parts(published.config).values()])
    profile = mv.profile(mv.create_model(published.name), published.config.input_shape)
    total = tuple(counts[size].sum(0))
    assert total == (profile.parameters, profile.macs) == (published.params, published.macs)
    print(f"{published.name}: {total[0]:,} parameters, {total[1]:,} MACs")
base = models.entry("vit_base_patch16_224").config
figure, axes = plt.subplots(1, 2, figsize=(6.5, 4), layout="constrained", sharey=True)
for axis, column, title in [(axes[0], 0, "Parameters"), (axes[1], 1, "Multiply-adds")]:
    table = np.array([counts[size][:, column] / counts[size][:, column].sum() for size in sizes]).T
    for part, widths, left in zip(parts(base), table, np.cumsum(table, axis=0) - table, strict=True):
        axis.barh([size.replace("_patch", "/") for size in sizes], widths, left=left, label=part)
    axis.set(title=title, xlabel="part of all", xlim=(0, 1))
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
headless = counts["base_patch16"].sum(0)[0] - 1000 * 769
assert round(headless / 1e6) == 86
lesson.claim("V1", f"{N} tokens of {patches.shape[1]} numbers, a map {E.shape[0]} to {base.embed_dim}, one class token; "
             f"{headless / 1e6:.1f} M parameters before the head")  # fmt: skip

# %%
# More patches than it was trained for
# ------------------------------------
#
# Only the table of positions fixes the number of tokens. For more patches section 3.2 resizes it like an image, along both axes
# of the grid: :math:`R\,x\,R^\top` for each channel. How far does that go? We train on digits of 8 x 8, in 4 x 4 patches,
# and read them at other sizes *without* more training; for contrast also with the table resized along its one axis of 16.

SIZES, EPOCHS, SEEDS = ([4, 8, 16], 1, 1) if lesson.quick() else ([4, 6, 8, 10, 12, 16, 24], 10, 3)
right = np.zeros((2, len(SIZES), SEEDS))
for seed in range(SEEDS):
    trainer = train.Trainer(train.Config("vit", epochs=EPOCHS, seed=seed))
    list(trainer.steps())  # an epoch after the other
    state, images = trainer.model.state_dict(), mv.tensor(trainer.data.test_images[:])
    first, cells = np.split(state["pos_embed"][0], [1])  # (1, D), (16, D)
    for i, size in enumerate(SIZES):
        resized, reader = (
            F.interpolate(images, (size, size), mode="bicubic", antialias=True),
            mv.create_model("vit", img_size=size),
        )
        R, row = (_resize.resize_matrix(*sides) for sides in ((size // 2, 4), (size**2 // 4, 16)))
        reader.load_state_dict(state)  # resizes the table
        square = np.einsum("ya,xb,abd->yxd", R, R, cells.reshape(4, 4, -1)).reshape(len(row), -1)
        np.testing.assert_allclose(reader.pos_embed.data[0], np.concatenate([first, square]), atol=1e-5)
        for how, table in enumerate((square, row @ cells)):
            reader.pos_embed.data[0, 1:] = table
            with mv.no_grad():
                right[how, i, seed] = np.mean(reader.eval()(resized).data.argmax(1) == trainer.data.test_labels)
figure, axes = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
for runs, name in zip(right, ("as a square", "in a row"), strict=True):
    axes.fill_between(
        SIZES, runs.min(1), runs.max(1), color=axes.plot(SIZES, runs.mean(1), "o-", label=name)[0].get_color(), alpha=0.2
    )
axes.set(title="Trained at 8 pixels, read at others", xlabel="pixels along a side", ylabel="right answers", xticks=SIZES)
axes.legend(title="positions resized")
own = right[0, SIZES.index(8)].mean()
share = dict(zip(SIZES, right[0].mean(-1) / own, strict=True))
moderate = [share[size] for size in SIZES if 8 < size <= 16]
lesson.claim("V9", f"a digits ViT trained at 8 px, {SEEDS} seeds: {own:.0%} right; read at up to twice the side, with no training"
             f" there, it keeps {min(moderate):.0%} to {max(moderate):.0%} of that, at 4 px {share[4]:.0%}",
             "holds at this scale" if min(moderate) > 0.8 > 0.5 > share[4] else "does not hold here")  # fmt: skip
assert lesson.quick() or np.delete(right[1], SIZES.index(8), axis=0).max() < 0.6 * right[0, SIZES.index(8)].min()

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``vit-head``: what is read at the end, one token or a mean. ``vit-embed``: eq. 1.
# ``attention-heads``: q, k and v of every head from one product. ``transformer-block``: pre-norm. ``resize-positions``: the table
# on another grid, the class token left alone.
